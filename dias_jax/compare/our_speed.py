"""This package's training step and evaluation pass, to be timed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax import schedules, steps
from dias_jax.compare.case import draw_images
from dias_jax.compare.ours import constant_rate_optimizer
from dias_jax.segmentation import segment
from dias_jax.state import TrainState


def device_batch(case):
    """The case's scenes as the steps take them, on the device."""
    count, size = case.images.shape[:2]
    images, indices = draw_images(range(count), size), np.arange(count, dtype=np.int32)
    return jax.device_put({"image": images, "index": indices})


def training(case):
    """-> a function that runs `count` training steps and waits for them."""
    optimizer, batch = constant_rate_optimizer(case), device_batch(case)
    params, backbone = jax.tree.map(
        jnp.array, (case.variables["params"], case.variables["backbone"])
    )
    state = TrainState(jnp.int32(0), params, optimizer.init(params), backbone)
    step = functools.partial(
        steps.train_step,
        model=case.model,
        optimizer=optimizer,
        distillation_weight=schedules.half_cosine_rise(1.0, 1000),
        reduce_probability=schedules.half_cosine_rise(1.0, 0),
    )
    key = jax.random.key(0)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch, key).compile()

    def run(count):
        nonlocal state
        for _ in range(count):
            state, metrics = compiled(state, batch, key)
        jax.block_until_ready(metrics)

    return run


def evaluation(case):
    """-> a function that segments the batch `count` times and waits."""
    variables, batch = jax.tree.map(jnp.array, case.variables), device_batch(case)

    @jax.jit
    def forward(variables, batch):
        streams = steps.random_streams(jax.random.key(0))
        images = steps.normalize(batch["image"])
        output = case.model.apply(variables, images, rngs=streams)
        return segment(output.decoder_attention, images.shape[1:3]), output

    compiled = forward.lower(variables, batch).compile()

    def run(count):
        for _ in range(count):
            result = compiled(variables, batch)
        jax.block_until_ready(result)

    return run


PASSES = {"training": training, "evaluation": evaluation}
