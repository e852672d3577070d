"""One config file per experiment; `base.py` documents every key."""
