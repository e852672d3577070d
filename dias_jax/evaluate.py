"""Evaluate a training run: python -m dias_jax.evaluate --workdir=DIR [--split=validation].

The last line of stdout is one JSON object: metrics in percent, protocol, step, number of samples.
Any key of the run's config can be changed: --config.data.data_dir=DIR, or
--config.model.num_slots=24 where one Gaussian serves all slots. --thresholds=0,0.05,0.1,0.2 prints
the metrics for each threshold of the slot reduction instead, and draws them.
"""

import json
import pathlib

import numpy as np
from absl import flags

from data_pipelines import pipeline
from dias_jax import devices, thresholds
from dias_jax.cli import require, run
from dias_jax.config import check_config
from dias_jax.errors import UserError
from dias_jax.evaluation import compile_evaluation, evaluate, protocol
from dias_jax.runs import open_run

SPLIT = flags.DEFINE_string("split", None, "split to evaluate; default: the config's")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
SAVE = flags.DEFINE_bool(
    "save_predictions", False, "write both segmentations to WORKDIR/predictions/SPLIT/*.npz"
)
THRESHOLDS = flags.DEFINE_list(
    "thresholds", None, "of the slot reduction, to compare: table and WORKDIR/thresholds_SPLIT.png"
)


def save_predictions(directory, batch, predictions):
    """One .npz a sample: "decoder" and "aggregator" (H, W) uint8 slot indices."""
    for i in np.flatnonzero(batch["valid"]):
        maps = {name: predictions[name][i] for name in ("decoder", "aggregator")}
        np.savez_compressed(directory / f"{batch['index'][i]:08d}.npz", **maps)


def read_thresholds():
    """The values of --thresholds in order. Raises UserError on what is no threshold."""
    try:
        values = sorted({float(value) for value in THRESHOLDS.value})
    except ValueError:
        values = []
    if not values or not all(0 <= value <= 2 for value in values):  # nor NaN
        raise UserError(
            f"--thresholds={','.join(THRESHOLDS.value)}: give numbers between 0 and 2, "
            "like 0,0.05,0.1,0.2"
        )
    return values


def compare_thresholds(trained, split, num_masks, workdir):
    """Print the table, draw the plot: -> metrics as lists, number of samples."""
    values = read_thresholds()
    step = thresholds.compile_sweep(trained.model, num_masks, values)
    metrics, count = evaluate(step, trained.variables, trained.config, split)
    print(thresholds.table(values, metrics))
    path = workdir / f"thresholds_{split}.png"
    thresholds.plot(values, metrics, path)
    print(f"plot in {path}")
    return {"thresholds": values} | metrics, count


def score_run(trained, split, num_masks, workdir):
    """Evaluate as configured, saving predictions if asked: -> metrics, number of samples."""
    directory = workdir / "predictions" / split
    if SAVE.value:
        directory.mkdir(parents=True, exist_ok=True)

    def on_batch(number, batch, predictions):
        if SAVE.value:
            save_predictions(directory, batch, devices.to_host(predictions))

    step = compile_evaluation(trained.config, trained.model, num_masks)
    metrics, count = evaluate(step, trained.variables, trained.config, split, on_batch)
    if SAVE.value:
        print(f"predictions in {directory}")
    return metrics, count


def main(arguments):
    """Evaluate and print."""
    require("workdir")
    config, workdir = flags.FLAGS.config, pathlib.Path(flags.FLAGS.workdir)
    check_config(config)
    split = SPLIT.value or config.evaluation.split
    num_masks = pipeline.open_split(config.data, split).num_masks
    trained = open_run(workdir, config, CHECKPOINT.value)
    evaluation = score_run if THRESHOLDS.value is None else compare_thresholds
    metrics, count = evaluation(trained, split, num_masks, workdir)
    report = {
        "metrics": metrics,
        "protocol": protocol(config, split),
        "step": trained.step,
        "num_samples": count,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    run(main, on_a_run=True)
