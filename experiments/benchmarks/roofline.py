"""How near a training step on CPUs comes to the fastest that their cores multiply matrices.

python -m dias_jax.experiments.benchmarks.roofline --config=coco [--images=16] [--repeats=5]

Random weights and images, float32. A step and a product of two square matrices take turns, so that
other work on the machine meets both. The arithmetic is that of the step as it is lowered; no
implementation of the same model can be faster than its share of the product's speed allows.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dias_jax.cli import require, run
from dias_jax.config.checks import check_config
from dias_jax.config.experiments import define_config_flag
from dias_jax.pictures.tables import markdown_table

from .step_shapes import count_operations, training_of
from .timed_steps import prepare_training, random_batch, seconds_of

SIDE = 4096  # of the matrices, far more than what fits into caches

IMAGES = flags.DEFINE_integer("images", 16, "of a step", 1)
REPEATS = flags.DEFINE_integer("repeats", 5, "turns", 1)


def prepare_product():
    """A function that multiplies two matrices, and its floating point operations."""
    x = jnp.ones((SIDE, SIDE))
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(x, x).block_until_ready(), 2 * SIDE**3


def main(arguments):
    """Measure in turns, print speeds and the share."""
    require("config")
    config = flags.FLAGS.config
    config.model.backbone.weights, config.batch_size = "random", IMAGES.value
    check_config(config)
    operations = count_operations(*training_of(config))
    step = prepare_training(config, itertools.repeat(random_batch(config)), is_split=False)
    product, operations_of_product = prepare_product()
    for function in (step, product):
        function()  # compiles
    turns = [[seconds_of(step), seconds_of(product)] for _ in range(REPEATS.value)]
    speeds = np.array([operations, operations_of_product]) / np.array(turns) / 1e9  # (repeats, 2)
    shares = speeds[:, 0] / speeds[:, 1]
    rows = [
        ["training step, GFLOP/s", f"{np.median(speeds[:, 0]):.0f}"],
        ["product of matrices, GFLOP/s", f"{np.median(speeds[:, 1]):.0f}"],
        ["share", f"{np.median(shares):.2f} ({shares.min():.2f} to {shares.max():.2f})"],
        ["arithmetic, GFLOP an image", f"{operations / IMAGES.value / 1e9:.1f}"],
    ]
    print(markdown_table(["what", f"{config.batch_size} images, {jax.devices()[0]}"], rows))


if __name__ == "__main__":
    run(main, define_config_flag)
