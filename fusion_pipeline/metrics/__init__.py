"""How good detections are, by the rules of public benchmarks."""
