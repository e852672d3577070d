"""This package and the PyTorch reference side by side: python -m dias_jax.compare."""
