"""A trained model, from the work directory of a run or from what ships with the package."""

import pathlib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dias_jax.errors import UserError
from dias_jax.models import shipped
from dias_jax.models.build import build
from dias_jax.models.dias import DIAS
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
    if pathlib.Path(name_or_workdir).is_dir():
        raise UserError(f"{name_or_workdir} holds no config.json: it is not a training run")
    return open_shipped(name_or_workdir, shipped.shipped_config(name_or_workdir))


def open_run(workdir, config, which="best"):
    """Load the "best" or "latest" checkpoint of `workdir`: -> TrainedModel.

    `config` is that of the run, possibly with changes. Raises UserError where there is no
    sound checkpoint, the backbone's weights are missing or others, or every slot has a Gaussian of
    its own and another number of slots is asked for.
    """
    check_num_slots(config, load_config(workdir))
    model = build(config.model)
    variables, identity = start_variables(config, model)
    checkpoints = Checkpoints(workdir, identity)
    params, step = checkpoints.restore_params(variables["params"], which)
    checkpoints.close()
    return TrainedModel(model, variables | {"params": params}, config, step)


def open_shipped(name, config):
    """Load a checkpoint that ships with the package: -> TrainedModel.

    `config` is the checkpoint's, possibly with changes; raises UserError as `open_run` does.
    """
    check_num_slots(config, shipped.shipped_config(name))
    variables = shipped.read_variables(name)
    return TrainedModel(build(config.model), variables, config, shipped.read_record(name)["step"])


def check_num_slots(config, trained_config):
    """Raise UserError where the number of slots is tied to what was learnt and differs."""
    trained_slots = trained_config.model.num_slots
    if config.model.initializer == "separate" and config.model.num_slots != trained_slots:
        raise UserError(
            f"config.model.num_slots={config.model.num_slots}: a Gaussian was learnt for each of "
            f'{trained_slots} slots; only with model.initializer="shared" may their number change'
        )
