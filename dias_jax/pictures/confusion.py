"""Which classes are taken for which, as a picture."""

import numpy as np
from matplotlib.figure import Figure

LARGEST = 20  # classes with a line of their own, the most frequent
OTHERS = "others"


def count_confusions(classes, predicted, names):
    """How often a class (a line) was taken for another (a column): -> counts (R, R) int, labels.

    classes, predicted (M,) int; names: of all classes, a list. The `LARGEST` most frequent true
    classes come first; the last line and column is of all others, where there are any.
    """
    numbers, sizes = np.unique(classes, return_counts=True)
    shown = numbers[np.argsort(-sizes, kind="stable")][:LARGEST]
    place = np.full(len(names), len(shown))
    place[shown] = np.arange(len(shown))
    counts = np.zeros((len(shown) + 1, len(shown) + 1), int)
    np.add.at(counts, (place[classes], place[predicted]), 1)
    labels = [*(names[number] for number in shown), OTHERS]
    has_others = counts[-1].any() or counts[:, -1].any() or not len(shown)
    return (counts, labels) if has_others else (counts[:-1, :-1], labels[:-1])


def plot_confusions(counts, labels):
    """`count_confusions` -> Figure: shares of a line in percent, true classes down the side."""
    sizes = counts.sum(1)
    shares = 100 * counts / np.maximum(sizes, 1)[:, None]
    side = 2.4 + 0.36 * len(labels)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    places = np.arange(len(labels))
    axis.set_xticks(places, labels, rotation=90, fontsize=8)
    lines = [f"{label} ({size:,})" for label, size in zip(labels, sizes)]
    axis.set_yticks(places, lines, fontsize=8)
    axis.set_xticks(places[1:] - 0.5, minor=True)
    axis.set_yticks(places[1:] - 0.5, minor=True)
    axis.grid(which="minor", color="0.92", linewidth=0.6)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_color("0.8")
    axis.set_xlabel("predicted")
    axis.set_ylabel("true (pairs)")
    for row, column in zip(*np.nonzero(shares >= 0.5)):
        share = shares[row, column]
        colour = "white" if share > 55 else "0.2"
        axis.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=7)
    return figure
