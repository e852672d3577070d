"""Kinds of runs. A task assembles data, model, loss and evaluation; the loop trains any of them."""
