"""Evaluate a training run: python -m dias_jax.evaluate --workdir=DIR [--split=validation].

The last line of stdout is one JSON object: metrics in percent, protocol, step, number of samples.
Any key of the run's config can be changed: --config.data.data_dir=DIR.
"""

import json
import pathlib

import numpy as np
from absl import flags

from data_pipelines import pipeline
from dias_jax import devices
from dias_jax.cli import require, run
from dias_jax.config import check_config
from dias_jax.evaluation import compile_evaluation, evaluate, protocol
from dias_jax.runs import open_run

SPLIT = flags.DEFINE_string("split", None, "split to evaluate; default: the config's")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
SAVE = flags.DEFINE_bool(
    "save_predictions", False, "write both segmentations to WORKDIR/predictions/SPLIT/*.npz"
)


def save_predictions(directory, batch, predictions):
    """One .npz a sample: "decoder" and "aggregator" (H, W) uint8 slot indices."""
    for i in np.flatnonzero(batch["valid"]):
        maps = {name: predictions[name][i] for name in ("decoder", "aggregator")}
        np.savez_compressed(directory / f"{batch['index'][i]:08d}.npz", **maps)


def main(arguments):
    """Evaluate and print."""
    require("workdir")
    config, workdir = flags.FLAGS.config, pathlib.Path(flags.FLAGS.workdir)
    check_config(config)
    split = SPLIT.value or config.evaluation.split
    num_masks = pipeline.open_split(config.data, split).num_masks
    trained = open_run(workdir, config, CHECKPOINT.value)
    directory = workdir / "predictions" / split
    if SAVE.value:
        directory.mkdir(parents=True, exist_ok=True)

    def on_batch(number, batch, predictions):
        if SAVE.value:
            save_predictions(directory, batch, devices.to_host(predictions))

    step = compile_evaluation(config, trained.model, num_masks)
    metrics, count = evaluate(step, trained.variables, config, split, on_batch)
    if SAVE.value:
        print(f"predictions in {directory}")
    report = {
        "metrics": metrics,
        "protocol": protocol(config, split),
        "step": trained.step,
        "num_samples": count,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    run(main, on_a_run=True)
