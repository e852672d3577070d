"""A picture of samples and their masks: the evaluation view beside random training views."""

import numpy as np

from data_pipelines.sources import open_split
from dias_jax.pictures import overlays


def draw_samples(data_config, split, count, num_views):
    """Returns a PIL image: a row a sample, its evaluation view and `num_views` training views.

    Beside each view are its masks, if the data set has any.
    """
    source = open_split(data_config, split)
    count = min(count, len(source))
    rows = []
    for number in range(count):
        sample = source[number * len(source) // count]
        rng = np.random.default_rng(sample["index"])
        views = [source.evaluation_view(sample, data_config)]
        views += [source.training_view(sample, rng, data_config) for _ in range(num_views)]
        rows.append([tile for image, mask in views for tile in _tiles(image, mask)])
    masks = ["masks"] if source.num_masks else []
    names = ["evaluation", *(f"training view {i + 1}" for i in range(num_views))]
    return overlays.grid(rows, [title for name in names for title in (name, *masks)])


def _tiles(image, mask):
    return [image] if mask is None else [image, overlays.overlay(image, mask.astype(int) - 1)]
