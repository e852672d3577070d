"""Training of any task: the loop, and the optimiser it uses."""
