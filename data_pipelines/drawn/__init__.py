"""Scenes that are drawn when they are asked for: nothing to download, nothing to store."""
