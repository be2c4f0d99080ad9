"""A model judged on labelled or simulated data: figures, plots, pictures of failures, and the model card."""
