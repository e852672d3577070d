"""Training side by side: same weights, batches and sampled quantities; how far do they drift."""

import dataclasses

import numpy as np

from dias_jax.compare import ours
from dias_jax.compare.case import with_new_scenes
from dias_jax.compare.report import Section, Table
from dias_jax.compare.table import ZERO_GRADIENT
from dias_jax.compare.training_plot import plot_curves

HEADER = [
    "step",
    "loss, ours",
    "loss, reference",
    "gradient norm, ours",
    "gradient norm, reference",
]
TEXT = f"""Both start from the same weights and take the same steps: same scenes, new ones every
step, same initial slots, token orders and numbers of visible tokens. Drift is the distance between
the parameters of two runs, divided by the distance that the second run has travelled from the
start; {ZERO_GRADIENT} is left out, since its true gradient is zero and its steps are scaled-up
rounding.""".replace("\n", " ")
HALF_TEXT = """How large may the drift be in half precision? The yardsticks are each
implementation's own runs: bfloat16 against float32. A difference between the implementations that
is no larger is half precision's own doing. Ours computes in bfloat16; the reference under PyTorch's
autocast, in bfloat16 on a CPU, and on a GPU in float16 with its loss scaling. It would skip a step
that overflows; here it takes it again with a smaller scale, so that both take the same
steps.""".replace("\n", " ")


@dataclasses.dataclass
class Curves:
    """What is kept of all steps."""

    loss: dict  # {run: list of floats}
    gradient_norm: dict  # {run: list of floats}
    drift: dict  # {(run, run): list of floats}


def compare_training(pair, dtypes, batch_size, num_steps):
    """Section of losses, gradient norms and the drift of parameters in each of `dtypes`."""
    from dias_jax.compare.reference import passes  # needs torch

    runs = {}
    for dtype in dtypes:
        case = with_new_scenes(pair.case(dtype, batch_size, num_steps))
        runs["ours", dtype] = ours.training_steps(case)
        runs["reference", dtype] = passes.training_steps(case, pair.theirs(case), dtype)
    initial = ours.flatten("parameters", case.variables["params"])
    curves = follow(runs, initial, compared_runs(dtypes))
    tables = [training_table(curves, dtype) for dtype in dtypes]
    text = f"{TEXT}\n\n{HALF_TEXT}" if "bfloat16" in dtypes else TEXT
    caption = "Losses, gradient norms and drift of the parameters over the steps"
    return Section("Training", text, tables, [(caption, plot_curves(curves, dtypes))])


def compared_runs(dtypes):
    """Which runs are compared: the two implementations, and half precision with float32."""
    compared = [(("ours", dtype), ("reference", dtype)) for dtype in dtypes]
    if {"float32", "bfloat16"} <= set(dtypes):
        compared += [((who, "bfloat16"), (who, "float32")) for who in ("ours", "reference")]
    return compared


def follow(runs, initial, compared):
    """Go through all runs at the same time, keep little: -> Curves.

    runs: {name: iterable of {stage: array}}; initial: the parameters that all start from;
    compared: pairs of names.
    """
    names = [name for name in initial if not name.endswith(ZERO_GRADIENT)]
    start = join(initial, names)
    curves = Curves({run: [] for run in runs}, {run: [] for run in runs}, {p: [] for p in compared})
    for stages in zip(*runs.values(), strict=True):
        here = {}
        for run, values in zip(runs, stages):
            curves.loss[run].append(float(values["loss"]))
            curves.gradient_norm[run].append(float(values["gradient_norm"]))
            here[run] = join(values, names)
        for first, second in compared:
            curves.drift[first, second].append(drift(here[first], here[second], start))
    return curves


def join(stages, names):
    """All parameters in one vector."""
    return np.concatenate([np.ravel(stages[name]) for name in names])


def drift(here, there, start):
    """Distance of two vectors, divided by the way of the second; nan where it has not moved."""
    way = float(np.linalg.norm(there - start))
    return float(np.linalg.norm(here - there)) / way if way else float("nan")


def training_table(curves, dtype):
    """Losses, gradient norms and all drifts of one dtype."""
    drifts = {pair: values for pair, values in curves.drift.items() if pair[0][1] == dtype}
    rows = []
    total = len(curves.loss["ours", dtype])
    for step in (n for n in range(total) if is_reported(n + 1, total)):
        values = [
            quantity[run, dtype][step]
            for quantity in (curves.loss, curves.gradient_norm)
            for run in ("ours", "reference")
        ]
        shares = [f"{values[step]:.1e}" for values in drifts.values()]
        rows.append([str(step + 1), *(f"{value:.6f}" for value in values), *shares])
    return Table([*HEADER, *map(title, drifts)], rows, caption=dtype)


def title(compared):
    """What a drift is called: (run, run) -> string."""
    (first, dtype), (second, other) = compared
    if dtype == other:
        return f"drift, {first} to {second}, {dtype}"
    return f"drift, {first}, {dtype} to its {other}"


def is_reported(number, total):
    """Steps 1, 2, 5, 10, 20, 50 ... and the last."""
    leading = number / 10 ** (len(str(number)) - 1)
    return leading in (1, 2, 5) or number == total
