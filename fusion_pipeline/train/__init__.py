"""Training of the shipped networks on the simulated world; needs the [train] extra."""
