"""Evaluate a trained model: python -m dias_jax.evaluate --workdir=DIR [--split=validation].

Without --workdir, a checkpoint of the package: --model=NAME. The last line of stdout is one JSON
object: metrics in percent, protocol, step, number of samples. Any key of the model's config can be
changed: --config.data.data_dir=DIR, or --config.model.num_slots=24 where one Gaussian serves all
slots. --thresholds=0,0.05,0.1,0.2 prints the metrics for each threshold of the slot reduction
instead, and draws them. Of videos, --released_ari adds what the reference's code gives as ARI: its
integers overflow there, so it is good for a comparison with its published numbers only. The run of
what was trained on slots (recognition_shapes) is evaluated on a split of these: --split=test; that
of a prediction also with masks that the video model decodes, and OUT/horizon_SPLIT.png.
"""

import json
import pathlib

import numpy as np
from absl import flags

from dias_jax import devices
from dias_jax.cli import require
from dias_jax.config.checks import check_config
from dias_jax.errors import UserError
from dias_jax.evaluation import futures, thresholds
from dias_jax.evaluation.split import (
    evaluate_model,
    evaluate_split,
    open_evaluation,
    protocol_line,
)
from dias_jax.pictures.horizon import plot_horizon
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.segmentation import MASKS
from dias_jax.tasks import prediction, properties, reasoning, recognition
from dias_jax.video_metrics import ari_released

SPLIT = flags.DEFINE_string("split", None, "split to evaluate; default: the config's")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
SAVE = flags.DEFINE_bool(
    "save_predictions", False, "write both segmentations to OUT/predictions/SPLIT/*.npz"
)
THRESHOLDS = flags.DEFINE_list(
    "thresholds", None, "of the slot reduction, to compare: table and OUT/thresholds_SPLIT.png"
)
RELEASED_ARI = flags.DEFINE_bool(
    "released_ari", False, "of videos: ARI and FG-ARI as the reference's code has them, wrapped"
)
OUT = flags.DEFINE_string("out", None, "directory for what is written; default: the work directory")
REPORTS = {  # of what is trained on slots
    "recognition": recognition.report,
    "properties": properties.report,
    "prediction": prediction.report,
    "reasoning": reasoning.report,
}


def save_predictions(directory, batch, predictions):
    """One .npz a sample: "decoder" and "aggregator" (H, W) uint8 slot indices."""
    for i in np.flatnonzero(batch["valid"]):
        maps = {name: predictions[name][i] for name in MASKS}
        np.savez_compressed(directory / f"{batch['index'][i]:08d}.npz", **maps)


def add_released_ari(values, batch, predictions):
    """Append a batch's `ari_released` of all pixels and of objects: {name: list} of values."""
    for masks in MASKS:
        shared = predictions[f"{masks}_shared"][batch["valid"]]
        for name, counts in (("ari", shared), ("fg_ari", shared[..., 1:])):
            values.setdefault(f"{masks}/{name}_released", []).extend(ari_released(counts))


def check_video_flags(trained, split):
    """Raise UserError where a flag does not go with the model's kind or its data."""
    is_of_videos = trained.config.model.kind == "video"
    if is_of_videos and THRESHOLDS.value is not None:
        raise UserError(
            "--thresholds is for models of images: for videos run evaluate once for each "
            "--config.model.reinit.threshold"
        )
    if not RELEASED_ARI.value:
        return
    if not is_of_videos:
        raise UserError("--released_ari is for models of videos: leave it out")
    if not open_evaluation(trained.config, split).num_masks or devices.host_shard()[1] > 1:
        raise UserError("--released_ari needs ground truth, and one host")


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


def open_out():
    """The directory for results. Raises UserError where neither --out nor --workdir is given."""
    if OUT.value is None and flags.FLAGS.workdir is None:
        require("out")
    out = pathlib.Path(OUT.value or flags.FLAGS.workdir)
    out.mkdir(parents=True, exist_ok=True)
    return out


def compare_thresholds(trained, split, values, out):
    """Print the table, draw the plot: -> metrics as lists, number of samples."""
    num_masks = open_evaluation(trained.config, split).num_masks
    if not num_masks:
        raise UserError(
            f"--thresholds compares metrics, but {trained.config.data.name} was prepared without "
            "masks: leave it out, or prepare the data set with --masks=DIR"
        )
    step = thresholds.compile_sweep(trained.model, num_masks, values)
    metrics, count = evaluate_split(step, trained.variables, trained.config, split)
    print(thresholds.threshold_table(values, metrics))
    path = out / f"thresholds_{split}.png"
    thresholds.plot_thresholds(values, metrics, path)
    print(f"plot in {path}")
    return {"thresholds": values} | metrics, count


def evaluate_and_save(trained, split, out):
    """Evaluate as configured, saving predictions in `out` unless None: -> metrics, samples."""
    directory = out and out / "predictions" / split
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
    wrapped = {}

    def on_batch(number, batch, predictions):
        if directory or RELEASED_ARI.value:
            predictions = devices.to_host(predictions)
        if directory:
            save_predictions(directory, batch, predictions)
        if RELEASED_ARI.value:
            add_released_ari(wrapped, batch, predictions)

    metrics, count = evaluate_model(trained, split, on_batch)
    metrics |= {name: 100 * float(np.mean(values)) for name, values in wrapped.items()}
    if directory:
        print(f"predictions in {directory}")
    return metrics, count


def report_probe(config):
    """Evaluate what --workdir has trained on slots on a split of these, and print.

    Of a prediction there is a plot over the predicted frames.
    """
    require("workdir")
    if THRESHOLDS.value is not None or SAVE.value or RELEASED_ARI.value:
        raise UserError("a probe has no masks: leave out --thresholds, --save_predictions ...")
    check_config(config)
    split = SPLIT.value or config.evaluation.split
    workdir = flags.FLAGS.workdir
    report = REPORTS[config.task](config, workdir, split, CHECKPOINT.value)
    if report.get("curves"):
        path = pathlib.Path(OUT.value or workdir) / f"horizon_{split}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        plot_horizon(report["curves"], futures.PANELS, futures.TITLES, path)
        print(f"plot in {path}")
    print(json.dumps(report))


def main(arguments):
    """Evaluate and print."""
    config, sweep = flags.FLAGS.config, THRESHOLDS.value is not None
    if config.task != "discovery":
        report_probe(config)
        return
    values = read_thresholds() if sweep else None
    out = open_out() if sweep or SAVE.value else None
    split = SPLIT.value or config.evaluation.split
    open_evaluation(config, split)  # what is wrong with it shows before the model loads
    trained = open_model(CHECKPOINT.value)
    check_video_flags(trained, split)
    if sweep:
        metrics, count = compare_thresholds(trained, split, values, out)
    else:
        metrics, count = evaluate_and_save(trained, split, out)
    report = {
        "metrics": metrics,
        "protocol": protocol_line(config, split),
        "step": trained.step,
        "num_samples": count,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    run_on_model(main)
