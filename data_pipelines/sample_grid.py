"""A picture of samples and their masks: the evaluation view beside random training views."""

import numpy as np

from data_pipelines.sources import open_split
from dias_jax import pictures


def draw_samples(data_config, split, count, num_views):
    """Returns a PIL image: a row a sample, its evaluation view and `num_views` training views."""
    source = open_split(data_config, split)
    count = min(count, len(source))
    rows = []
    for number in range(count):
        sample = source[number * len(source) // count]
        rng = np.random.default_rng(sample["index"])
        views = [source.evaluation_view(sample, data_config)]
        views += [source.training_view(sample, rng, data_config) for _ in range(num_views)]
        rows.append([tile for image, mask in views for tile in (image, _painted(image, mask))])
    titles = ["evaluation", "masks"]
    titles += [title for i in range(num_views) for title in (f"training view {i + 1}", "masks")]
    return pictures.grid(rows, titles)


def _painted(image, mask):
    return pictures.overlay(image, mask.astype(int) - 1)
