"""Images per second of both implementations, measured in turn in one process."""

import functools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax import schedules, steps
from dias_jax.compare.case import draw_images, image_size
from dias_jax.compare.ours import constant_rate_optimizer
from dias_jax.segmentation import segment
from dias_jax.state import TrainState

HEADER = [
    "pass",
    "batch",
    "images/s, ours",
    "images/s, reference",
    "ratio (smallest to largest)",
    "peak GiB, ours",
    "peak GiB, reference",
]
STEPS_PER_TIMING = {"cpu": 1, "gpu": 10, "tpu": 10}  # an accelerator is not waited for each step


def compare_speed(case, wrapper, dtype, repeats, trace=None):
    """Rows of the table for one batch size: training step, evaluation pass.

    The two take turns, so that what else the machine does meets both. `trace`: a directory for
    a profile of ours.
    """
    from dias_jax.compare import their_speed  # needs torch

    batch = jax.device_put(
        {
            "image": draw_images(len(case.images), image_size(case.model)),
            "index": np.arange(len(case.images), dtype=np.int32),
        }
    )
    theirs = their_speed.prepare(case, wrapper, dtype)
    passes = {
        "training": (our_training(case, batch), theirs["training"]),
        "evaluation": (our_evaluation(case, batch), theirs["evaluation"]),
    }
    rows = []
    for name, ((ours, our_peak), reference) in passes.items():
        seconds = take_turns([ours, reference], repeats, STEPS_PER_TIMING[jax.default_backend()])
        peaks = (our_peak, their_speed.peak_bytes(reference))
        rows.append(speed_row(name, len(case.images), seconds, peaks))
        if trace:
            with jax.profiler.trace(os.path.join(trace, f"{name}_{len(case.images)}")):
                ours(3)
    return rows


def take_turns(runs, repeats, count):
    """Seconds of one step of each of `runs`, after a warm-up: (2, repeats)."""
    for run in runs:
        run(count)
    seconds = np.zeros((len(runs), repeats))
    for repeat in range(repeats):
        for index, run in enumerate(runs):
            start = time.perf_counter()
            run(count)
            seconds[index, repeat] = (time.perf_counter() - start) / count
    return seconds


def speed_row(name, batch_size, seconds, peaks):
    """seconds (2, repeats), peaks in bytes or None -> strings: median speeds, median ratio."""
    speeds = batch_size / np.median(seconds, axis=1)
    ratios = seconds[1] / seconds[0]
    return [
        name,
        str(batch_size),
        *(f"{speed:.2f}" for speed in speeds),
        f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
        *("not measured" if peak is None else f"{peak / 2**30:.2f}" for peak in peaks),
    ]


def our_training(case, batch):
    """-> a function that runs `count` training steps and waits for them, peak bytes."""
    optimizer = constant_rate_optimizer(case)
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

    return run, peak_bytes(compiled)


def our_evaluation(case, batch):
    """-> a function that segments the batch `count` times and waits, peak bytes."""
    variables = jax.tree.map(jnp.array, case.variables)

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

    return run, peak_bytes(compiled)


def peak_bytes(compiled):
    """Arguments, results and temporary memory of a compiled function, as XLA planned them."""
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
