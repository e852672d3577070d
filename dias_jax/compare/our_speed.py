"""This package's training step and evaluation pass, to be timed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.compare.case import draw_images
from dias_jax.compare.ours import constant_rate_optimizer, start_state
from dias_jax.losses import dias_objective
from dias_jax.models.parts import fitting_parts
from dias_jax.models.prediction import predict
from dias_jax.segmentation import slot_map
from dias_jax.steps.schedules import half_cosine_rise
from dias_jax.steps.training import train_step
from dias_jax.tasks.discovery import discovery_loss


def device_batch(case):
    """The case's scenes as the steps take them, on the device."""
    count, size = case.images.shape[:2]
    images, indices = draw_images(range(count), size), np.arange(count, dtype=np.int32)
    return jax.device_put({"image": images, "index": indices})


def prepare_training(case):
    """-> a function that runs `count` training steps and waits for them."""
    optimizer, batch, key = constant_rate_optimizer(case), device_batch(case), jax.random.key(0)
    objective = functools.partial(
        dias_objective,
        distillation_weight=half_cosine_rise(1.0, 1000),
        reduce_probability=half_cosine_rise(1.0, 0),
    )
    loss_fn = functools.partial(discovery_loss, model=case.model, objective=objective)
    step = functools.partial(
        train_step,
        loss_fn=loss_fn,
        optimizer=optimizer,
        accumulation=fitting_parts(len(batch["index"])),
    )
    state = start_state(case, optimizer)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch, key).compile()

    def run(count):
        nonlocal state
        for _ in range(count):
            state, metrics = compiled(state, batch, key)
        jax.block_until_ready(metrics)

    return run


def prepare_evaluation(case):
    """-> a function that segments the batch `count` times and waits."""
    variables, batch = jax.tree.map(jnp.array, case.variables), device_batch(case)

    @jax.jit
    def forward(variables, batch):
        images = batch["image"]
        output = predict(case.model, variables, images, jax.random.key(0), batch["index"])
        return slot_map(output.decoder_attention, images.shape[1:3]), output

    compiled = forward.lower(variables, batch).compile()

    def run(count):
        for _ in range(count):
            result = compiled(variables, batch)
        jax.block_until_ready(result)

    return run


PASSES = {"training": prepare_training, "evaluation": prepare_evaluation}
