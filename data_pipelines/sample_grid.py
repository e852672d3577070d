"""A picture of samples, with masks if there are any: as evaluated, beside random training views."""

import numpy as np

from data_pipelines.sources import open_split
from dias_jax.pictures import overlays


def draw_samples(data_config, split, count, num_views):
    """A row a sample, its evaluation view and `num_views` training views: -> PIL image."""
    source = open_split(data_config, split)
    count = min(count, len(source))
    rows = []
    for number in range(count):
        sample = source[number * len(source) // count]
        rng = np.random.default_rng(sample["index"])
        views = [source.evaluation_view(sample, data_config)]
        views += [source.training_view(sample, rng, data_config) for _ in range(num_views)]
        rows.append([tile for view in views for tile in _tiles(*view)])
    titles = ["evaluation", *(f"training view {i + 1}" for i in range(num_views))]
    if source.num_masks:
        titles = [title for view in titles for title in (view, "masks")]
    return overlays.grid(rows, titles)


def _tiles(image, mask):
    return [image] if mask is None else [image, overlays.overlay(image, mask.astype(int) - 1)]
