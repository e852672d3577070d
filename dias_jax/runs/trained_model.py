"""A trained model, from the work directory of a run or from what ships with the package."""

import functools
from typing import Any, NamedTuple

import jax
from etils import epath
from ml_collections import ConfigDict

from dias_jax.config.defaults import flatten
from dias_jax.errors import UserError
from dias_jax.models import shipped
from dias_jax.models.build import build
from dias_jax.models.dias import DIAS
from dias_jax.models.inputs import initialize
from dias_jax.runs.checkpoints import Checkpoints
from dias_jax.runs.config_file import holds_config, load_config
from dias_jax.runs.state import start_variables


class TrainedModel(NamedTuple):
    """What a checkpoint amounts to."""

    model: DIAS
    variables: Any  # {"params", "backbone"}
    config: ConfigDict
    step: int


def open_by_name(name_or_workdir):
    """A checkpoint that ships, by name, or the best one of a work directory: -> TrainedModel.

    Raises UserError where there is neither.
    """
    if holds_config(name_or_workdir):
        return open_run(name_or_workdir, load_config(name_or_workdir))
    if epath.Path(name_or_workdir).is_dir():
        raise UserError(
            f"{name_or_workdir} holds no config.json: name the work directory of a training run"
        )
    return open_shipped(name_or_workdir, shipped.shipped_config(name_or_workdir))


def open_run(workdir, config, which="best"):
    """Load the "best" or "latest" checkpoint of `workdir`: -> TrainedModel.

    `config` is that of the run, possibly with changes. Raises UserError where there is no
    sound checkpoint, the backbone's weights are missing or others, or `config` asks for parameters
    of other shapes.
    """
    check_discovers(config, workdir)
    check_fits(config, load_config(workdir))
    return restore(workdir, config, build(config.model), which)


def check_discovers(config, workdir):
    """Raise UserError where a run is none of a model of images or videos."""
    if config.task != "discovery":
        raise UserError(
            f"{workdir} holds what was trained on slots, which train, evaluate and gallery "
            "understand: name a run of a model of images or videos"
        )


def restore(workdir, config, model, which):
    """`open_run` of a model that is built: -> TrainedModel."""
    variables, identity = start_variables(config, model)
    checkpoints = Checkpoints(workdir, identity)
    params, step = checkpoints.restore_params(variables["params"], which)
    checkpoints.close()
    return TrainedModel(model, variables | {"params": params}, config, step)


def open_shipped(name, config):
    """Load a checkpoint that ships with the package: -> TrainedModel.

    `config` is the checkpoint's, possibly with changes; raises UserError as `open_run` does.
    """
    check_fits(config, shipped.shipped_config(name))
    variables = shipped.read_variables(name)
    return TrainedModel(build(config.model), variables, config, shipped.read_record(name)["step"])


def check_fits(config, trained_config):
    """Raise UserError where `config` asks for other parameters than were trained."""
    before, now = (flatten(c.model) for c in (trained_config, config))
    changed = [key for key in sorted(now) if now[key] != before.get(key)]
    if changed and parameter_shapes(config) != parameter_shapes(trained_config):
        changes = ", ".join(f"config.model.{key}={now[key]}" for key in changed)
        values = ", ".join(str(before.get(key)) for key in changed)
        raise UserError(
            f"{changes}: what was learnt has other shapes, of {values} (the number "
            'of slots may change only with model.initializer="shared")'
        )


def parameter_shapes(config):
    """{name: shape} of what a config trains. Raises UserError on a config that cannot be built."""
    model, key = build(config.model), jax.random.key(0)
    start = functools.partial(initialize, model, image_size=config.data.image_size)
    return jax.tree.map(jax.numpy.shape, flatten(jax.eval_shape(start, key)["params"]))
