"""The config of a work directory."""

import json
import pathlib

from etils import epath

from dias_jax.config.checks import is_of_images
from dias_jax.config.defaults import complete, flatten
from dias_jax.errors import UserError, reason
from dias_jax.files import appearing_file, reaching

FILE_NAME = "config.json"
# What may differ between a run and its continuation without changing what is computed.
FREE_KEYS = (
    "log_every",
    "steps_per_call",
    "evaluation.",
    "optimizer.skip_limit",
    "data.data_dir",
    "data.threads",
    "data.processes",
    "data.skip_damaged",
    "data.keep_in_memory",
    "data.views",  # what is in the files is checked
    "model.backbone.weights",
    "probe.slots",
)
# What `--allow_change` lets a continuation change: how long and how strongly it learns, and
# whether from features in files.
SCHEDULE_KEYS = (
    "steps",
    "optimizer.learning_rate",
    "optimizer.warmup_fraction",
    "optimizer.final_fraction",
    "optimizer.clip_norm",
    "data.features",
    "loss.distillation_weight",
    "loss.contrast_weight",
    "loss.similarity_weight",
    "model.reinit.probability",
    "model.reinit.probability_rise",
)


def save_config(config, workdir):
    """Write `config` to config.json in `workdir`.

    Backbone weights inside `workdir` are named relative to it, so that it may be moved.
    """
    values, folder = config.to_dict(), pathlib.Path(workdir).resolve()
    weights = pathlib.Path(values["model"]["backbone"]["weights"]).resolve()
    if weights.is_file() and weights.is_relative_to(folder):
        values["model"]["backbone"]["weights"] = str(weights.relative_to(folder))
    with appearing_file(epath.Path(workdir) / FILE_NAME) as incomplete:
        incomplete.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def holds_config(workdir):
    """Whether `workdir` is that of a run."""
    with reaching(workdir):
        return (epath.Path(workdir) / FILE_NAME).exists()  # etils 1.9: is_file is true of nothing


def load_config(workdir):
    """The config of a work directory; backbone weights that lie in it are found there.

    Raises UserError where there is no config, or a damaged one.
    """
    path = epath.Path(workdir) / FILE_NAME
    if not holds_config(workdir):
        raise UserError(f"{path} does not exist: name the work directory of a training run")
    try:
        config = complete(json.loads(path.read_text()))
    except Exception as error:  # of JSON or types, by what is damaged
        raise UserError(
            f"{path} is damaged ({reason(error)}): restore it, or name another work directory"
        ) from error
    weights = config.model.backbone.weights
    if weights and (path.parent / weights).exists():
        config.model.backbone.weights = str(path.parent / weights)
    return config


def check_continuation(config, workdir, allow_change=False):
    """{key: value} of what `config` changes in the run that `workdir` holds.

    Only how long and how strongly to learn may change, and that with `allow_change`; raises
    UserError on everything else that changes what is computed.
    """
    if not holds_config(workdir):
        return {}
    before, now = (flatten(json.loads(c.to_json())) for c in (load_config(workdir), config))
    changes = {key: now[key] for key in sorted(now) if bare(before[key]) != bare(now[key])}
    changes = {key: value for key, value in changes.items() if not key.startswith(FREE_KEYS)}
    # Parts of images change the order of sums only; what is no image is taken whole by 0, as by 1.
    if is_of_images(config) or max(before["accumulation"], 1) == max(now["accumulation"], 1):
        changes.pop("accumulation", None)
    for key, value in changes.items():
        if key in SCHEDULE_KEYS and allow_change:
            continue
        ways = ["give the same value to continue it", "name another --workdir"]
        if key in SCHEDULE_KEYS:
            ways.insert(1, "add --allow_change")
        raise UserError(
            f"{workdir} holds a run with config.{key}={before[key]}, not {value}: "
            f"{', or '.join(ways)}"
        )
    return changes


def bare(value):
    """A value of a config; of a folder's name without a slash at its end."""
    return value.rstrip("/") if isinstance(value, str) else value
