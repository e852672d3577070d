"""Training steps to be timed, which need no data set."""

import functools
import time

import jax
import numpy as np

from dias_jax import devices
from dias_jax.models.build import build
from dias_jax.runs.state import create_state
from dias_jax.steps.training import train_step
from dias_jax.training.accumulation import parts_of
from dias_jax.training.optimizer import build_optimizer

from .step_shapes import loss_of


def random_batch(config):
    """A training batch of images that need no data set."""
    size, count = config.data.image_size, config.batch_size
    images = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), np.uint8)
    return {"image": images, "index": np.arange(count, dtype=np.int32)}


def prepare_training(config, batches, is_split=True):
    """A function that takes one training step, on the next of the batches, and waits.

    is_split: whether all devices take part, or only the first.
    """
    model, optimizer = build(config.model), build_optimizer(config)
    state, _ = create_state(config, model, optimizer)
    step = functools.partial(
        train_step,
        loss_fn=loss_of(config, model),
        optimizer=optimizer,
        accumulation=parts_of(config, config.batch_size // (jax.device_count() if is_split else 1)),
    )
    if is_split:
        step, put = devices.compile_step(step, donate=True), devices.spread
    else:
        step, put = jax.jit(step, donate_argnums=0), jax.device_put
    key = jax.random.key(0)

    def advance():
        nonlocal state
        state, metrics = step(state, put(next(batches)), key)
        jax.block_until_ready((state, metrics))

    return advance


def seconds_of(function):
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
