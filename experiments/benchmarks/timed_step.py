"""A training step that needs no data and no weights, to be timed."""

import functools

import jax
import numpy as np

from dias_jax import devices
from dias_jax.losses import dias_objective
from dias_jax.models.build import build
from dias_jax.runs.state import create_state
from dias_jax.steps.training import train_step
from dias_jax.tasks.discovery import discovery_loss, objective_options
from dias_jax.training.optimizer import build_optimizer


def prepare_training(config, is_split=True):
    """A function that takes one training step of an image config, and waits.

    is_split: whether all devices take part, or only the first.
    """
    model, optimizer = build(config.model), build_optimizer(config)
    state, _ = create_state(config, model, optimizer)
    objective = functools.partial(dias_objective, **objective_options(config))
    loss_fn = functools.partial(discovery_loss, model=model, objective=objective)
    step = functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer)
    size, count = config.data.image_size, config.batch_size
    images = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), np.uint8)
    batch, key = {"image": images, "index": np.arange(count, dtype=np.int32)}, jax.random.key(0)
    if is_split:
        step, batch = devices.compile_step(step, donate=True), devices.spread(batch)
    else:
        step, batch = jax.jit(step, donate_argnums=0), jax.device_put(batch)

    def advance():
        nonlocal state
        state, metrics = step(state, batch, key)
        jax.block_until_ready((state, metrics))

    return advance
