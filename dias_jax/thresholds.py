"""How a trained model fares at other thresholds of the reduction: table and plot."""

import functools

import matplotlib.pyplot as plt

from dias_jax import devices
from dias_jax.metrics import METRICS
from dias_jax.steps import threshold_step

COLUMNS = ("active_slots", "slot_count_error") + tuple(
    f"{masks}/{metric}" for masks in ("decoder", "aggregator") for metric in METRICS
)


def compile_sweep(model, num_masks, thresholds):
    """`threshold_step` compiled for all devices; `evaluate` gives lists of K values with it."""
    step = functools.partial(
        threshold_step, model=model, num_masks=num_masks, thresholds=thresholds
    )
    return devices.compile_step(step, split_results=True)


def table(thresholds, values):
    """Markdown, one line a threshold; values {name: K numbers}."""
    titles = ("threshold", *(name.replace("_", " ").replace("/", " ") for name in COLUMNS))
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row, threshold in enumerate(thresholds):
        cells = (f"{values[name][row]:.1f}" for name in COLUMNS)
        lines.append(f"| {threshold:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(thresholds, values, path):
    """Left the metrics of both kinds of masks, right the slots in use, over the threshold."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for number, metric in enumerate(METRICS):
        for masks, style in (("decoder", ".--"), ("aggregator", ".-")):
            line = values[f"{masks}/{metric}"]
            axes[0].plot(thresholds, line, style, color=f"C{number}", label=f"{masks} {metric}")
    axes[0].set(xlabel="threshold (1 - cosine)", ylabel="%")
    axes[1].plot(thresholds, values["active_slots"], ".-", label="slots in use")
    axes[1].plot(thresholds, values["slot_count_error"], ".-", label="error of their number")
    axes[1].set(xlabel="threshold (1 - cosine)")
    for axis in axes:
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)
