"""Both implementations trained independently with the same recipe: is there a difference?"""

import functools
import json

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from dias_jax.compare.metrics import COLUMNS
from dias_jax.compare.report import Section, Table
from dias_jax.errors import UserError
from dias_jax.evaluation.split import evaluate_model, protocol_line
from dias_jax.metrics import METRIC_TITLES
from dias_jax.training.train_model import train_model

SPLIT = "test"
HEADER = ["masks", "metric", "ours", "reference", "difference", "p"]


def compare_independent(config, seeds, directory):
    """Section with the metrics of both over `seeds`; results are kept in `directory`.

    What is in `directory` already is continued or not repeated. Raises UserError when that was
    made with another config.
    """
    config = config.copy_and_resolve_references()
    config.data.keep_in_memory = True  # all runs see the same scenes
    results = {}
    for seed in seeds:
        for name, run in (("ours", run_ours), ("reference", run_reference)):
            result = keep(
                directory / name / str(seed), config, functools.partial(run, config, seed)
            )
            results.setdefault(name, []).append(result)
    return section(results, seeds, config)


def keep(directory, config, run):
    """The result of `run(directory)`, from result.json there if it has been run before."""
    path, recipe = directory / "result.json", json.loads(json.dumps(config.to_dict()))
    if not path.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run(directory) | {"recipe": recipe}))
    result = json.loads(path.read_text())
    if result["recipe"] != recipe:
        raise UserError(f"{path} was made with another config: name another --out, or delete it")
    return result


def run_ours(config, seed, directory):
    """Train and evaluate this package: {"metrics": {name: percent}, "losses": [[step, loss]]}."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    trained = train_model(config, directory)
    trained.config.evaluation.limit = 0
    metrics, _ = evaluate_model(trained, SPLIT)
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    losses = [[line["step"], line["values"]["loss"]] for line in lines if line["split"] == "train"]
    return {"metrics": {name: metrics[name] for name in COLUMNS}, "losses": losses}


def run_reference(config, seed, directory):
    """The same of the reference; it cannot be continued, so `directory` gets no checkpoint."""
    from dias_jax.compare.reference import training  # needs torch

    wrapper, losses = training.train_reference(config, seed)
    return {"metrics": training.evaluate_reference(wrapper, config, SPLIT), "losses": losses}


def section(results, seeds, config):
    """{"ours" | "reference": one result a seed} -> Section."""
    values = {
        name: np.array([[one["metrics"][column] for column in COLUMNS] for one in many])
        for name, many in results.items()
    }
    rows, smallest = [], 1.0
    for number, column in enumerate(COLUMNS):
        ours, theirs = values["ours"][:, number], values["reference"][:, number]
        p = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
        smallest = min(smallest, p)
        masks, metric = column.split("/")
        difference = f"{ours.mean() - theirs.mean():+.1f}"
        rows.append(
            [masks, METRIC_TITLES[metric], spread(ours), spread(theirs), difference, f"{p:.2f}"]
        )
    text = (
        f"{config.steps:,} steps of {config.batch_size}, seeds {', '.join(map(str, seeds))}; "
        "initial weights, noise, orders and batches are each implementation's own, and so are the "
        "metrics. Mean ± sample standard deviation in percent; p of Welch's t-test. With "
        f"{len(COLUMNS)} tests a difference would be significant at p < {0.05 / len(COLUMNS):.3f} "
        f"(Bonferroni); the smallest is {smallest:.2f}. {protocol_line(config, SPLIT)}."
    )
    figures = (
        ("Metrics, a dot a seed", dots(values)),
        ("Training loss, a line a seed", curves(results)),
    )
    return Section("Trained independently", text, (Table(HEADER, rows),), figures)


def spread(values):
    """Mean and deviation."""
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def dots(values):
    """{name: (seeds, columns)} -> a column of dots for each metric and implementation."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    for number, (name, array) in enumerate(values.items()):
        for column in range(len(COLUMNS)):
            x = np.full(len(array), column + 0.24 * number - 0.12)
            label = name if column == 0 else None
            axis.plot(x, array[:, column], "o", color=f"C{number}", alpha=0.7, label=label)
    titles = [f"{METRIC_TITLES[name.split('/')[1]]}\n{name.split('/')[0]}" for name in COLUMNS]
    axis.set_xticks(range(len(COLUMNS)), titles)
    axis.set(ylabel="%")
    axis.legend()
    return figure


def curves(results):
    """Loss over steps of every run."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.subplots()
    for number, (name, many) in enumerate(results.items()):
        for index, result in enumerate(many):
            label = name if index == 0 else None
            axis.plot(*zip(*result["losses"]), color=f"C{number}", alpha=0.7, label=label)
    axis.set(xlabel="step", ylabel="loss", yscale="log")
    axis.legend()
    return figure
