"""Curves over the steps of a prediction."""

import matplotlib.pyplot as plt


def plot_horizon(curves, titles, labels, path):
    """A panel for each metric, a line for everybody who predicts.

    curves: {"NAME/METRIC": (K,)}; titles: {METRIC: of its panel}; labels: {NAME: of its line}.
    """
    figure, axes = plt.subplots(
        1, len(titles), figsize=(3.6 * len(titles), 3.4), layout="constrained"
    )
    for axis, (metric, title) in zip(axes, titles.items()):
        for number, (name, label) in enumerate(labels.items()):
            values = curves.get(f"{name}/{metric}")
            if values is not None:
                axis.plot(range(1, len(values) + 1), values, color=f"C{number}", label=label)
        axis.set(title=title, xlabel="predicted frame")
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)
