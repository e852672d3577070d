"""A trained model, from the work directory of a run or from what ships with the package."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from dias_jax.checkpoint import Checkpoints
from dias_jax.config import load_config
from dias_jax.errors import UserError
from dias_jax.loop import train
from dias_jax.models import DIAS, build, shipped
from dias_jax.optimizer import build_optimizer
from dias_jax.state import create_state


class TrainedModel(NamedTuple):
    """What a checkpoint amounts to."""

    model: DIAS
    variables: Any  # {"params", "backbone"}
    config: ConfigDict
    step: int


def train_run(config, workdir):
    """Train `config` in `workdir` to its last step, continuing what is there: -> TrainedModel.

    The model is that of the last step. Raises UserError when a signal stops the run, and what
    `loop.train` raises.
    """
    train(config, workdir)
    trained = open_run(workdir, config, "latest")
    if trained.step < config.steps:
        raise UserError(f"{workdir} was stopped at step {trained.step}: the same command continues")
    return trained


def open_run(workdir, config, which="best"):
    """Load the "best" or "latest" checkpoint of `workdir`: -> TrainedModel.

    `config` is that of the run, possibly with changes. Raises UserError where there is no
    checkpoint yet, the backbone's weights are missing or others, or every slot has a Gaussian of
    its own and another number of slots is asked for.
    """
    check_num_slots(config, load_config(workdir))
    model, optimizer = build(config.model), build_optimizer(config)
    state, identity = create_state(config, model, optimizer)
    checkpoints = Checkpoints(workdir, identity)
    steps = checkpoints.steps()
    if not steps:
        raise UserError(f"{workdir} holds no checkpoint yet: train it first, or wait for one")
    state = checkpoints.restore(state, steps[which])
    checkpoints.close()
    return TrainedModel(model, state.variables, config, steps[which])


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
