"""How much faster the full-size training step is on features in files than on images.

python -m dias_jax.experiments.benchmarks.cached_features [--step_images=8]

Both are timed in turn, on random weights. Features are read from files, as in training; images come
from memory, without what decoding them would take.
"""

import functools
import itertools
import pathlib
import tempfile

import jax
import numpy as np
from absl import flags

from data_pipelines import pipeline
from dias_jax.cli import run
from dias_jax.config import defaults
from dias_jax.feature_cache import FeatureCache
from dias_jax.models.build import DTYPES, build
from dias_jax.runs.state import start_variables
from dias_jax.steps.features import feature_step

from .timed_steps import prepare_training, random_batch, seconds_of

STEP_IMAGES = flags.DEFINE_integer("step_images", 8, "images of a training step", 1)
DTYPE = flags.DEFINE_enum("dtype", "float32", list(DTYPES), "of computation")
REPEATS = flags.DEFINE_integer("repeats", 5, "timings of each", 1)


def feature_batches(config, folder):
    """Training batches of the features of `random_batch`, from files in a folder."""
    batch, model = random_batch(config), build(config.model)
    step = jax.jit(functools.partial(feature_step, model=model))
    features = np.asarray(step(start_variables(config, model)[0], batch, None)[1])
    header = dict.fromkeys(FeatureCache.of_header)
    header |= {"num_samples": len(features), "shape": features.shape[1:], "data.views": 1}
    (path,) = FeatureCache.missing_files(folder / "train", header)
    samples = [
        {"index": index, "replaced": False, "features": sample}
        for index, sample in enumerate(features)
    ]
    FeatureCache.write(path, header, samples)
    cache, threads = FeatureCache(folder, "train"), config.data.threads
    return pipeline.feature_batches(cache, 1, config.batch_size, config.seed, 0, (0, 1), threads)


def main(arguments):
    """Time both and print the ratio."""
    config = defaults.get_config()
    config.model.dtype, config.batch_size = DTYPE.value, STEP_IMAGES.value
    config.model.backbone.weights = "random"
    with tempfile.TemporaryDirectory() as folder:
        batches = (
            itertools.repeat(random_batch(config)),
            feature_batches(config, pathlib.Path(folder)),
        )
        functions = [prepare_training(config, source) for source in batches]
        for function in functions:
            function()  # compiles
        timings = [[seconds_of(function) for function in functions] for _ in range(REPEATS.value)]
    ratios = np.divide(*np.transpose(timings))
    print(
        f"{jax.devices()[0].device_kind}: a training step of {STEP_IMAGES.value} images takes "
        f"{np.median(ratios):.2f} times as long as on their features in files "
        f"({ratios.min():.2f} to {ratios.max():.2f} in {REPEATS.value} turns)"
    )


if __name__ == "__main__":
    run(main)
