"""Configs on disk, and the questions asked of one before anything is compiled."""

import json
import pathlib

from dias_jax import devices
from dias_jax.errors import UserError
from dias_jax.losses import DISTILLATION_FORMS, TEACHERS
from experiments.base import complete

FILE_NAME = "config.json"
# What may differ between a run and its continuation without changing what is computed.
FREE_KEYS = (
    "log_every",
    "evaluation.",
    "data.data_dir",
    "data.threads",
    "data.skip_damaged",
    "data.keep_in_memory",
    "model.backbone.weights",
)

# Counts of which at least one is needed.
POSITIVE_KEYS = (
    "steps",
    "accumulation",
    "log_every",
    "model.num_slots",
    "model.num_iterations",
    "model.token_stride",
    "model.backbone.position_grid",
    "model.backbone.width",
    "model.backbone.patch_size",
    "model.backbone.depth",
    "evaluation.every",
)

# Smallest and largest value.
RANGES = {
    "model.reinit.threshold": (0, 2),
    "model.reinit.probability": (0, 1),
    "model.reinit.probability_rise": (0, 1),
    "model.reinit.num_iterations": (0, 1_000),
    "model.reinit.min_clusters": (1, 1_000),
}

CHOICES = {
    "loss.distillation": DISTILLATION_FORMS,
    "loss.distillation_teacher": TEACHERS,
    "evaluation.best": ("decoder", "aggregator"),
}


def save_config(config, workdir):
    """Write `config` to config.json in `workdir`.

    Backbone weights inside `workdir` are named relative to it, so that it may be moved.
    """
    values, folder = config.to_dict(), pathlib.Path(workdir).resolve()
    weights = pathlib.Path(values["model"]["backbone"]["weights"]).resolve()
    if weights.is_file() and weights.is_relative_to(folder):
        values["model"]["backbone"]["weights"] = str(weights.relative_to(folder))
    (folder / FILE_NAME).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def holds_config(workdir):
    """Whether `workdir` is that of a run."""
    return (pathlib.Path(workdir) / FILE_NAME).is_file()


def load_config(workdir):
    """The config of a work directory; backbone weights that lie in it are found there.

    Raises UserError where there is no config.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not holds_config(workdir):
        raise UserError(f"{path} does not exist: --workdir must name a training run's directory")
    config = complete(json.loads(path.read_text()))
    weights = config.model.backbone.weights
    if weights and (path.parent / weights).is_file():
        config.model.backbone.weights = str(path.parent / weights)
    return config


def flatten(config, prefix=""):
    """{"model.num_slots": 7, ...} of a nested dict."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def check_continuation(config, workdir):
    """Raise UserError when `workdir` holds a run whose config computes something else."""
    if not holds_config(workdir):
        return
    before, now = flatten(load_config(workdir).to_dict()), flatten(config.to_dict())
    for key in sorted(before.keys() | now.keys()):
        if not key.startswith(FREE_KEYS) and before.get(key) != now.get(key):
            raise UserError(
                f"{workdir} holds a run with config.{key}={before.get(key)}, not {now.get(key)}: "
                "give the same value to continue it, or another --workdir"
            )


def check_config(config):
    """Raise UserError on what would fail later: counts, ranges, choices, batches."""
    values = flatten(config.to_dict())
    for key, options in CHOICES.items():
        if values[key] not in options:
            raise UserError(f'config.{key}="{values[key]}" is unknown: use one of {options}')
    for key in POSITIVE_KEYS:
        if values[key] < 1:
            raise UserError(f"config.{key}={values[key]}: must be at least 1")
    for key, (low, high) in RANGES.items():
        if not low <= values[key] <= high:
            raise UserError(f"config.{key}={values[key]}: must be between {low} and {high}")
    devices.check_batch_size(config.batch_size, "batch_size", config.accumulation)
    devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
