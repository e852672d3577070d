"""Weights of frozen backbones: files in, whatever their layout, and where to get them."""
