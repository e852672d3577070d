"""A work directory: its config, training state, checkpoints, logs, and the model in it."""
