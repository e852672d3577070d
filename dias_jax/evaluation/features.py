"""The frozen features of a whole split written into files, from where it was stopped."""

import functools
import pathlib

import jax
import numpy as np

from data_pipelines import pipeline
from dias_jax import devices, feeding
from dias_jax.evaluation.filling import check_one_host, fill
from dias_jax.feature_cache import FeatureCache, clip_frames, describe
from dias_jax.models.build import build
from dias_jax.runs.state import start_variables
from dias_jax.steps.features import feature_step


def extract_features(config, split, out):
    """Write the features of `split` into out/SPLIT, those that are not there yet: -> the folder.

    Of "train" `data.views` random views of training of each image, of another split what an
    evaluation sees, `evaluation.limit` samples. Raises UserError where there is another cache, and
    as an evaluation does.
    """
    check_one_host("features")
    devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
    header, model = describe(config, split), build(config.model)
    variables, header["weights"] = start_variables(config, model)
    variables = {"backbone": variables["backbone"]}
    step = functools.partial(feature_step, model=model)
    found = jax.eval_shape(step, variables, next(read_views(config, split)), jax.random.key(0))[1]
    header["shape"] = list(found.shape[1:])
    step = devices.compile_step(step, split_results=True)

    def samples_of(numbers):
        for batch, fed in feeding.ahead(read_views(config, split, numbers.start, numbers.stop)):
            batch["features"] = devices.to_host(step(variables, fed, jax.random.key(0))[1])
            for i in np.flatnonzero(batch["valid"]):
                yield {name: batch[name][i] for name in ("index", "replaced", "features")}

    folder = pathlib.Path(out) / split
    unit = "clip" if config.model.kind == "video" else "image"
    fill(FeatureCache, folder, header, samples_of, unit)
    return folder


def read_views(config, split, start=0, limit=0):
    """Batches of the images of a split, of "train" in views of training: `start` to `limit`."""
    return pipeline.view_batches(
        config.data,
        split,
        config.evaluation.batch_size,
        views=config.data.views if split == "train" else 0,
        start=start,
        limit=limit,
        num_threads=config.data.threads,
        clip_frames=clip_frames(config, split),
    )
