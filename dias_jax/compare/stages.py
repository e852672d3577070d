"""Stage by stage: both implementations on the same images, weights and sampled quantities."""

import numpy as np

from dias_jax.compare import ours
from dias_jax.compare.report import Section, Table
from dias_jax.compare.stages_plot import SMALLEST, plot_differences
from dias_jax.compare.table import ZERO_GRADIENT, Difference, differences

HEADER = [
    "stage",
    "numbers",
    "largest difference",
    "mean difference",
    "relative, largest",
    "relative, mean",
]
SUMMARY = ["pass", "relative, largest", "where", "relative, mean"]
TEXT = f"""Both get the same images, weights, initial slots, token orders and numbers of visible
tokens; the steps are consecutive steps of the optimiser. Differences are relative to an array's
largest magnitude, but at least a thousandth of the largest of its kind. A group of parameters is
as far away as its furthest tensor. {ZERO_GRADIENT} is left out: its true gradient is zero, so
both have rounding noise there, which Adam scales up.""".replace("\n", " ")


def record(evaluation, steps):
    """All stages of an evaluation pass and of consecutive training steps, by pass.

    Gradients are kept of the first step and parameters of the last: what is between decides both.
    """
    passes = {"evaluation": evaluation}
    steps = list(steps)
    for index, stages in enumerate(steps):
        dropped = ["gradients/"] * (index > 0) + ["parameters/"] * (index + 1 < len(steps))
        passes[f"step {index + 1}"] = {
            name: np.asarray(value)
            for name, value in stages.items()
            if not name.startswith(tuple(dropped))
        }
    return passes


def record_ours(case):
    """`record` of this package."""
    return record(ours.evaluation_pass(case), ours.training_steps(case))


def record_reference(case, wrapper):
    """`record` of the reference, which is trained in place."""
    from dias_jax.compare.reference import passes  # needs torch

    return record(passes.evaluation_pass(case, wrapper), passes.training_steps(case, wrapper))


def compare_stages(our_passes, their_passes):
    """Section of the differences between two records: {pass: {stage: array}} of both."""
    found = {name: differences(our_passes[name], their_passes[name]) for name in their_passes}
    summary = Table(SUMMARY, [summary_row(name, rows) for name, rows in found.items()])
    tables = [
        Table(HEADER, [row.cells() for row in rows], caption=name) for name, rows in found.items()
    ]
    figure = plot_differences({name: floats(rows) for name, rows in found.items()})
    caption = (
        "Relative difference of every stage: the largest (filled) and the mean (hollow); "
        f"equal numbers stand at {SMALLEST:g}"
    )
    return Section("Stages", TEXT, [summary, *tables], [(caption, figure)])


def floats(rows):
    """Without the maps of indices."""
    return [row for row in rows if isinstance(row, Difference)]


def summary_row(name, rows):
    """One row a pass: the stage that is furthest away, and the mean over all numbers."""
    worst = max(floats(rows), key=lambda row: row.relative_largest)
    sizes = [row.size for row in floats(rows)]
    mean = np.average([row.relative_mean for row in floats(rows)], weights=sizes)
    return [name, f"{worst.relative_largest:.1e}", worst.name, f"{mean:.1e}"]
