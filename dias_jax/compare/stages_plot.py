"""Every stage's relative difference as dots on a logarithmic scale."""

import numpy as np
from matplotlib.figure import Figure

PANELS = {  # prefix of a stage's name: title
    "": "what a pass computes",
    "gradients/": "gradients, first step",
    "parameters/": "parameters, last step",
}
SMALLEST = 1e-10  # equal numbers are drawn here: zero has no place on a logarithmic scale
ROUNDING = float(np.finfo(np.float32).eps)


def plot_differences(passes):
    """{pass: list of Difference} -> Figure: a panel a kind, a line a stage, a colour a pass."""
    stages = {prefix: stage_names(passes, prefix) for prefix in PANELS}
    shown = [prefix for prefix in PANELS if stages[prefix]]
    height = 1.4 + 0.24 * max(map(len, stages.values()))
    figure = Figure(figsize=(4.6 * len(shown), height), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False, sharex=True)[0]
    for axis, prefix in zip(axes, shown):
        draw_panel(axis, passes, prefix, stages[prefix])
        axis.set_title(PANELS[prefix], fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure


def draw_panel(axis, passes, prefix, names):
    """Largest and mean of every stage; a dotted line where float32 rounds."""
    for number, (title, rows) in enumerate(passes.items()):
        rows = [row for row in rows if kind(row.name) == prefix]
        if not rows:
            continue
        places = [names.index(row.name) for row in rows]
        largest = np.maximum([row.relative_largest for row in rows], SMALLEST)
        mean = np.maximum([row.relative_mean for row in rows], SMALLEST)
        axis.plot(largest, places, "o", color=f"C{number}", ms=5, label=title)
        axis.plot(mean, places, "o", color=f"C{number}", ms=5, mfc="none")
    axis.axvline(ROUNDING, color="grey", linestyle=":", label="rounding of float32")
    axis.set_xscale("log")
    axis.set_yticks(range(len(names)), [name.removeprefix(prefix) for name in names], fontsize=8)
    axis.invert_yaxis()
    axis.grid(alpha=0.3)
    axis.set_xlabel("relative difference")


def stage_names(passes, prefix):
    """Names of one kind in the order in which they occur."""
    names = (row.name for rows in passes.values() for row in rows if kind(row.name) == prefix)
    return list(dict.fromkeys(names))


def kind(name):
    """The prefix of a stage's name among PANELS."""
    return next(prefix for prefix in reversed(PANELS) if name.startswith(prefix))
