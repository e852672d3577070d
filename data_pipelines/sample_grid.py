"""A picture of samples, with masks if there are any: as evaluated, beside random training views."""

import numpy as np

from data_pipelines.sources import open_split
from dias_jax.pictures import overlays


def draw_samples(data_config, split, count, num_views):
    """A row a sample, its evaluation view and `num_views` training views: -> PIL image.

    Of a video instead 1 + `num_views` frames of its evaluation view, evenly spread.
    """
    source = open_split(data_config, split)
    count = min(count, len(source))
    views_of = _frames if source.max_frames else _views
    rows = []
    for number in range(count):
        sample = source[number * len(source) // count]
        titles, views = views_of(source, sample, data_config, num_views)
        rows.append([tile for view in views for tile in _tiles(*view)])
    if source.num_masks:
        titles = [title for view in titles for title in (view, "masks")]
    return overlays.grid(rows, titles)


def _views(source, sample, data_config, num_views):
    rng = np.random.default_rng(sample["index"])
    views = [source.evaluation_view(sample, data_config)]
    views += [source.training_view(sample, rng, data_config) for _ in range(num_views)]
    return ["evaluation", *(f"training view {i + 1}" for i in range(num_views))], views


def _frames(source, sample, data_config, num_views):
    image, mask = source.evaluation_view(sample, data_config)
    times = np.linspace(0, len(image) - 1, 1 + num_views).round().astype(int)
    views = [(image[time], None if mask is None else mask[time]) for time in times]
    titles = ["first frame", *(f"{i + 1} of {num_views}" for i in range(num_views))]
    return titles, views


def _tiles(image, mask):
    return [image] if mask is None else [image, overlays.overlay(image, mask.astype(int) - 1)]
