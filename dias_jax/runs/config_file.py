"""The config of a work directory."""

import json
import pathlib

from dias_jax.config.defaults import complete, flatten
from dias_jax.errors import UserError

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

    Raises UserError where there is no config, or a damaged one.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not holds_config(workdir):
        raise UserError(f"{path} does not exist: --workdir must name a training run's directory")
    try:
        config = complete(json.loads(path.read_text()))
    except Exception as error:  # of JSON or types, by what is damaged
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} is damaged ({reason}): restore it, or name another --workdir"
        ) from error
    weights = config.model.backbone.weights
    if weights and (path.parent / weights).is_file():
        config.model.backbone.weights = str(path.parent / weights)
    return config


def check_continuation(config, workdir):
    """Raise UserError when `workdir` holds a run whose config computes something else."""
    if not holds_config(workdir):
        return
    before, now = (flatten(json.loads(c.to_json())) for c in (load_config(workdir), config))
    for key in sorted(before.keys() | now.keys()):
        if not key.startswith(FREE_KEYS) and before.get(key) != now.get(key):
            raise UserError(
                f"{workdir} holds a run with config.{key}={before.get(key)}, not {now.get(key)}: "
                "give the same value to continue it, or another --workdir"
            )
