"""What merging slots costs, as a share of the full-size training step.

python -m dias_jax.experiments.benchmarks.reduction_cost [--images=256] [--slots=24]

Both are timed in turn, with their gradients, on random weights and images; the time of a training
step of --step_images images is scaled to --images (a CPU has no patience for 256).
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dias_jax.cli import run
from dias_jax.config import defaults
from dias_jax.models.build import DTYPES
from dias_jax.models.reduction import reduce_slots

from .timed_steps import prepare_training, random_batch, seconds_of

IMAGES = flags.DEFINE_integer("images", 256, "samples whose slots are merged", 1)
SLOTS = flags.DEFINE_integer("slots", 24, "slots of a sample", 2)
STEP_IMAGES = flags.DEFINE_integer("step_images", 256, "images of the timed training step", 1)
DTYPE = flags.DEFINE_enum("dtype", "float32", list(DTYPES), "of the training step")
REPEATS = flags.DEFINE_integer("repeats", 5, "timings of each", 1)


def prepare_reduction(width, threshold):
    """A function that merges random slots, half of which are near copies, and waits."""
    half = jax.random.normal(jax.random.key(0), (IMAGES.value, -(-SLOTS.value // 2), width))
    copies = half + 0.1 * jax.random.normal(jax.random.key(1), half.shape)
    slots = jnp.concatenate([half, copies], 1)[:, : SLOTS.value]

    @jax.jit
    def reduce(slots):
        return jax.grad(lambda slots: jnp.square(reduce_slots(slots, threshold)[0]).sum())(slots)

    return lambda: jax.block_until_ready(reduce(slots))


def main(arguments):
    """Time both and print the share."""
    config = defaults.get_config()
    config.model.dtype, config.model.num_slots = DTYPE.value, SLOTS.value
    config.model.backbone.weights, config.batch_size = "random", STEP_IMAGES.value
    reduction = prepare_reduction(config.model.slot_width, config.model.reinit.threshold)
    training = prepare_training(config, itertools.repeat(random_batch(config)))
    functions = reduction, training
    for function in functions:
        function()  # compiles
    timings = [[seconds_of(function) for function in functions] for _ in range(REPEATS.value)]
    reducing, training = np.array(timings).T
    shares = 100 * reducing / (training * IMAGES.value / STEP_IMAGES.value)
    print(
        f"{jax.devices()[0].device_kind}: merging the slots of {IMAGES.value} images takes "
        f"{np.median(shares):.3f} % of their training step "
        f"({shares.min():.3f} to {shares.max():.3f} in {REPEATS.value} turns)"
    )


if __name__ == "__main__":
    run(main)
