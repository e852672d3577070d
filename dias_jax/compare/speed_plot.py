"""Speed and memory over batch size."""

import numpy as np
from matplotlib.figure import Figure

LOOK = {  # of a bar: implementation by its place in `peaks`
    "ours": {"color": "C0"},
    "reference": {"color": "C0", "alpha": 0.3},
}


def plot_ratios(measured):
    """Measurements -> Figure: median ratio over batch size with its spread, one panel a pass."""
    passes = list(dict.fromkeys(line.name for line in measured))
    figure = Figure(figsize=(4.8 * len(passes), 3.6), layout="constrained")
    axes = figure.subplots(1, len(passes), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, passes):
        for dtype in dict.fromkeys(line.dtype for line in measured):
            lines = [line for line in measured if (line.name, line.dtype) == (name, dtype)]
            median = np.array([np.median(line.ratios) for line in lines])
            ends = np.array([(line.ratios.min(), line.ratios.max()) for line in lines]).T
            sizes = [line.batch_size for line in lines]
            spread = np.abs(ends - median)
            axis.errorbar(sizes, median, spread, marker="o", capsize=4, label=dtype)
        axis.axhline(1, color="grey", linestyle=":")
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, sizes)
        axis.minorticks_off()
        axis.set(title=name, xlabel="batch size", ylabel="times as fast as the reference")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylim(0, 1.1 * max(1.0, *(line.ratios.max() for line in measured)))
    return figure


def plot_memory(measured):
    """Measurements -> Figure: bars of both implementations, one panel a pass and dtype."""
    panels = list(dict.fromkeys((line.name, line.dtype) for line in measured))
    figure = Figure(figsize=(3.6 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels):
        lines = [line for line in measured if (line.name, line.dtype) == panel]
        places = np.arange(len(lines))
        for number, (who, look) in enumerate(LOOK.items()):
            heights = [(line.peaks[number] or 0) / 2**30 for line in lines]
            axis.bar(places + 0.4 * (number - 0.5), heights, 0.4, label=who, **look)
        axis.set_xticks(places, [line.batch_size for line in lines])
        axis.set(title=", ".join(panel), xlabel="batch size", ylabel="peak memory, GiB")
        axis.legend(fontsize=7)
    return figure
