"""MOVi-C, MOVi-D and MOVi-E: rendered videos of falling objects, 24 frames, 256 x 256 pixels.

The source holds the publisher's shards, as movi_e-train.tfrecord-00000-of-01024, and those of the
splits validation and, if wanted, test. Flow, depth and normals stay there.
"""

import re

import numpy as np

from data_pipelines.building.masks import renumber
from data_pipelines.building.tfrecord import import_checksum, read_examples
from data_pipelines.building.video_builder import Video, VideoDataSet
from data_pipelines.images import decode_indices
from dias_jax.errors import UserError

CATEGORIES = (
    *("unknown", "Action Figures", "Bag", "Board Games", "Bottles and Cans and Cups", "Camera"),
    *("Car Seat", "Consumer Goods", "Hat", "Headphones", "Keyboard", "Legos", "Media Cases"),
    *("Mouse", "None", "Shoe", "Stuffed Toys", "Toys"),
)


class Movi(VideoDataSet, skip_registration=True):
    """What the three variants share; objects that no frame shows are left out."""

    HOMEPAGE = "https://github.com/google-research/kubric/tree/main/challenges/movi"
    LICENSE = "Apache-2.0 (the code); see the homepage for the objects and backgrounds."
    CITATION = """@inproceedings{greff2022kubric, title={Kubric: a scalable dataset generator},
author={Greff, Klaus and Belletti, Francois and Beyer, Lucas and others}, booktitle={Conference on
Computer Vision and Pattern Recognition}, year={2022}}"""

    @property
    def FILES(self):  # noqa: N802 - a constant of the other data sets
        """Which files to fetch."""
        address = f"gs://kubric-public/tfds/{self.name}/256x256/1.0.0"
        return f"fetch {self.name}-*.tfrecord-* of {address} into one folder"

    def categories(self):
        """The kinds of scanned objects; "None" is the publisher's word."""
        return dict(enumerate(CATEGORIES))

    def published_splits(self):
        """The videos in the order of the shards."""
        import_checksum()  # what is not installed shows before anything is read
        splits = {}
        for split in ("train", "validation", "test"):
            paths = find_shards(self.source, self.name, split, needed=split != "test")
            if paths:
                splits[split] = read_shards(paths), read_video
        return splits


class MoviC(Movi, skip_registration=True):
    """MOVi-C: 3 to 10 scanned objects, before a camera that stands."""

    name = "movi_c"


class MoviD(Movi, skip_registration=True):
    """MOVi-D: 11 to 23 scanned objects, most of them at rest, before a camera that stands."""

    name = "movi_d"


class MoviE(Movi, skip_registration=True):
    """MOVi-E: 11 to 23 scanned objects, most of them at rest, before a camera that moves."""

    name = "movi_e"


def find_shards(folder, name, split, needed):
    """The shards of a split in order, [] where there are none and they are not needed.

    Raises UserError when some are missing.
    """
    pattern = re.compile(rf"{name}-{split}\.tfrecord-(\d+)-of-(\d+)")
    found = [(pattern.fullmatch(path.name), path) for path in folder.iterdir()]
    shards = {(int(match[2]), int(match[1])): path for match, path in found if match}
    if not shards:
        if needed:
            raise UserError(f"{folder} has no {name}-{split}.tfrecord-*: fetch the shards there")
        return []
    total = max(shards)[0]
    missing = [number for number in range(total) if (total, number) not in shards]
    if missing or len(shards) > total:
        wrong = f"lacks shard {missing[0]}" if missing else f"has more than the {total} shards"
        raise UserError(f"{folder} {wrong} of {name}-{split}: fetch all of one publication")
    return [path for _, path in sorted(shards.items())]


def read_shards(paths):
    """The examples of shards, each with a name: one by one, since a video takes up to 30 MB."""
    for path in paths:
        for number, example in enumerate(read_examples(path)):
            yield f"video {number} of {path.name}", example


def read_video(item):
    """The Video of a named example. Raises UserError where it is not MOVi's."""
    name, example = item
    try:
        frames, segmentations = list(example["video"]), list(example["segmentations"])
        categories = [int(category) for category in example["instances/category"]]
    except (KeyError, ValueError) as error:
        raise UserError(f"{name} is not MOVi's ({error}): take the published file") from error
    if not frames or len(frames) != len(segmentations):
        raise UserError(f"{name} has {len(frames)} frames but {len(segmentations)} segmentations")
    masks = [decode_indices(encoded, f"a mask of {name}") for encoded in segmentations]
    if len({mask.shape for mask in masks}) > 1:
        raise UserError(f"{name} has masks of different sizes: take the published file")
    masks, objects = renumber(np.stack(masks), name)
    if max(objects, default=0) > len(categories) or not set(categories) < set(range(17)):
        raise UserError(f"{name} has other masks than its instances: take the published file")
    return Video(name, frames, masks, [1 + categories[index - 1] for index in objects])
