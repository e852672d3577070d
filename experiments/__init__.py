"""One config file per experiment; `dias_jax/config/defaults.py` documents every key."""
