"""Configs: every key with its default, its meaning and its bounds; experiments by name."""
