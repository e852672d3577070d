"""The PyTorch reference, run as it is: its passes, training, metrics and speed. Needs PyTorch."""
