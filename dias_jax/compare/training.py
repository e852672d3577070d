"""Training side by side: same weights, batches and sampled quantities; how far do they drift."""

import numpy as np

from dias_jax.compare import ours
from dias_jax.compare.table import markdown

HEADER = [
    "step",
    "loss, ours",
    "loss, reference",
    "gradient norm, ours",
    "gradient norm, reference",
    "distance of parameters / distance travelled",
]


def compare_training(case, wrapper):
    """Markdown table of losses, gradient norms and the drift of parameters."""
    from dias_jax.compare import theirs  # needs torch

    steps = zip(ours.train(case), theirs.train(case, wrapper), strict=True)
    initial = ours.flatten("parameters", case.variables["params"])
    start, rows = join(initial, initial), []
    for number, (mine, other) in enumerate(steps, start=1):
        if not is_reported(number, len(case.draws)):
            continue
        here, there = join(mine, initial), join(other, initial)
        drift = np.linalg.norm(here - there) / np.linalg.norm(there - start)
        values = [x[name] for name in ("loss", "gradient_norm") for x in (mine, other)]
        rows.append([str(number), *(f"{value:.6f}" for value in values), f"{drift:.1e}"])
    return markdown(HEADER, rows)


def join(stages, names):
    """All parameters in one vector."""
    return np.concatenate([np.ravel(stages[name]) for name in names])


def is_reported(number, total):
    """Steps 1, 2, 5, 10, 20, 50 ... and the last."""
    leading = number / 10 ** (len(str(number)) - 1)
    return leading in (1, 2, 5) or number == total
