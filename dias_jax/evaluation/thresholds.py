"""How a trained model fares at other thresholds of the reduction: table and plot."""

import functools

import matplotlib.pyplot as plt

from dias_jax import devices
from dias_jax.metrics import METRICS
from dias_jax.pictures.tables import markdown_table
from dias_jax.segmentation import MASKS
from dias_jax.steps.evaluation import threshold_step

COLUMNS = ("active_slots", "slot_count_error") + tuple(
    f"{masks}/{metric}" for masks in MASKS for metric in METRICS
)


def compile_sweep(model, num_masks, thresholds):
    """`threshold_step` compiled for all devices; with it `evaluate_split` gives lists."""
    step = functools.partial(
        threshold_step, model=model, num_masks=num_masks, thresholds=thresholds
    )
    return devices.compile_step(step, split_results=True)


def threshold_table(thresholds, values):
    """Markdown, one line a threshold; values {name: K numbers}."""
    titles = ("threshold", *(name.replace("_", " ").replace("/", " ") for name in COLUMNS))
    rows = [
        [f"{threshold:g}", *(f"{values[name][row]:.1f}" for name in COLUMNS)]
        for row, threshold in enumerate(thresholds)
    ]
    return markdown_table(titles, rows)


def plot_thresholds(thresholds, values, path):
    """Left the metrics of both kinds of masks, right the slots in use, over the threshold."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for number, metric in enumerate(METRICS):
        for masks, style in zip(MASKS, (".--", ".-")):
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
