"""Arms of a study: the same recipe with changes, trained with several seeds, once each."""

import itertools
import json

import numpy as np
import scipy.stats
from absl import flags

from dias_jax.errors import UserError
from dias_jax.pictures.tables import markdown_table

OUT = flags.DEFINE_string("out", None, "directory for all runs and what is made of them")
SEEDS = flags.DEFINE_list("seeds", ["42", "43", "44"], "seeds to train with")
ARMS = flags.DEFINE_multi_string("arm", None, "train only this arm; may be given several times")
STEPS = flags.DEFINE_integer("steps", 0, "of every run; 0: those of the recipe", 0)
CONFIDENCE = 0.95
RESULT = "test.json"  # in OUT/ARM/SEED


def chosen_arms(arms):
    """(seed, name) of the runs asked for. Raises UserError on a name that is no arm."""
    for name in ARMS.value or ():
        if name not in arms:
            raise UserError(f'--arm="{name}" is unknown: use one of {tuple(arms)}')
    return itertools.product(map(int, SEEDS.value), ARMS.value or list(arms))


def keep_result(directory, metrics, protocol):
    """Write what an arm reached on the test split."""
    (directory / RESULT).write_text(json.dumps({"metrics": metrics, "protocol": protocol}))


def read_results(out, arms):
    """{arm: {seed: metrics}} of the arms that have a result."""
    results = {}
    for name in arms:
        paths = sorted((out / name).glob(f"*/{RESULT}"))
        if paths:
            results[name] = {p.parent.name: json.loads(p.read_text())["metrics"] for p in paths}
    return results


def interval(values):
    """Mean and half the width of Student's confidence interval, infinite for one value."""
    if len(values) == 1:
        return values[0], np.inf
    quantile = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return np.mean(values), quantile * np.std(values, ddof=1) / len(values) ** 0.5


def results_table(results, columns, digits=1):
    """Markdown: mean and, of several seeds, sample standard deviation; columns: {name: title}."""
    rows = []
    for name, seeds in results.items():
        values = [[metrics[column] for metrics in seeds.values()] for column in columns]
        cells = [f"{np.mean(v):.{digits}f}" for v in values]
        if len(seeds) > 1:
            spread = [np.std(v, ddof=1) for v in values]
            cells = [f"{mean} ± {s:.{digits}f}" for mean, s in zip(cells, spread)]
        rows.append([name, *cells, str(len(seeds))])
    return markdown_table(["", *columns.values(), "seeds"], rows)
