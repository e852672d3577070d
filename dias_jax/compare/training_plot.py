"""Losses, gradient norms and drift of runs side by side."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# The reference is broad and pale, ours lies on it.
LOOK = {
    "reference": {"color": "C0", "linewidth": 6, "alpha": 0.3},
    "ours": {"color": "C0", "linewidth": 1.2},
}
YARDSTICKS = {"ours": "--", "reference": ":"}  # half precision against float32


def plot_curves(curves, dtypes):
    """Curves -> Figure: loss and gradient norm, one row a dtype, and all drifts."""
    figure = Figure(figsize=(14, 1 + 3 * len(dtypes)), layout="constrained")
    grid = figure.add_gridspec(len(dtypes), 3)
    for row, dtype in enumerate(dtypes):
        quantities = {"loss": curves.loss, "gradient norm": curves.gradient_norm}
        for column, (name, values) in enumerate(quantities.items()):
            axis = figure.add_subplot(grid[row, column])
            for who, look in LOOK.items():
                draw_line(axis, values[who, dtype], label=who, **look)
            finish(axis, f"{name}, {dtype}")
    axis = figure.add_subplot(grid[:, 2])
    draw_drifts(axis, curves.drift, dtypes)
    finish(axis, "drift of the parameters")
    return figure


def draw_drifts(axis, drifts, dtypes):
    """One line a pair of runs: between implementations drawn through, the yardsticks not."""
    for ((who, dtype), (other, compared_dtype)), line in drifts.items():
        if who == other:
            look = {"color": "grey", "linestyle": YARDSTICKS[who]}
            draw_line(axis, line, label=f"{who}, {dtype} to its {compared_dtype}", **look)
        else:
            colour = f"C{dtypes.index(dtype)}"
            draw_line(axis, line, label=f"{who} to {other}, {dtype}", color=colour)
    axis.set_yscale("log")


def draw_line(axis, values, **look):
    """Values over the steps 1, 2, ...; a single step is a dot."""
    axis.plot(range(1, 1 + len(values)), values, marker="." if len(values) == 1 else "", **look)


def finish(axis, title):
    """What all panels have."""
    axis.set(title=title, xlabel="step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
