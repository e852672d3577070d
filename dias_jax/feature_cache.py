"""Features of the frozen backbone in files: computed once, for as many runs as have the same.

FOLDER/train holds K views of each image, one after the other, FOLDER/SPLIT of another split what an
evaluation sees. A sample is an image or, of videos, a clip.
"""

import pathlib

import jax.numpy as jnp
import numpy as np

from data_pipelines.sources import open_split
from dias_jax.config.defaults import flatten
from dias_jax.errors import UserError
from dias_jax.sample_files import SampleFiles

BYTES_PER_FILE = 2**27
# Keys that decide features, and those that decide the views of training beside them.
DECISIVE = ("data.name", "data.image_size", "data.seed", "model.dtype", "model.backbone.")
OF_VIEWS = ("data.views", "data.crop_scale", "data.flip")
WEIGHTS = "model.backbone.weights"  # a path: what tells the weights apart has a name of its own


class FeatureCache(SampleFiles):
    """Random access to the features of a split: `cache[i]` is a dict as `record_type` has it.

    Raises UserError as `SampleFiles` does.
    """

    contents = "features"
    command = "python -m dias_jax.extract --features --config=NAME --out={out}"
    of_header = ("split", "num_samples", "shape", "weights", "protocol", "frames", *OF_VIEWS)

    @property
    def views(self):
        """How many samples an image has."""
        return self.header["data.views"] or 1

    @staticmethod
    def remedy(name, found):
        """A key of the config may be set to what the files have."""
        return f"set --config.{name}={found.get(name)}, " if "." in name else ""

    @staticmethod
    def record_type(header):
        """The layout of a sample: a numpy dtype."""
        fields = [
            ("index", "<i4", ()),  # of the image or clip in its split
            ("replaced", "?", ()),  # whether it stands in for one that is damaged
            ("features", jnp.bfloat16, tuple(header["shape"])),  # (h, w, C) or (F, h, w, C)
        ]
        return np.dtype(fields)

    @classmethod
    def samples_per_file(cls, header):
        """How many samples a file holds: some batches."""
        return max(BYTES_PER_FILE // cls.record_type(header).itemsize // 32, 1) * 32


def open_features(config, split):
    """The features of a split that a config wants: -> FeatureCache, None where it computes them.

    Raises UserError where files are missing or damaged, or hold something else than the config
    would compute, weights apart.
    """
    if not config.data.features:
        return None
    cache = FeatureCache(config.data.features, split)
    wanted = describe(config, split)
    # An evaluation may be on fewer samples than there are.
    leave_out = () if split == "train" else ("num_samples",)
    cache.check_same(cache.folder, cache.header, wanted, leave_out)
    if len(cache) < wanted["num_samples"]:
        raise UserError(
            f"{cache.folder} holds features of {len(cache)} samples, {wanted['num_samples']} are "
            "wanted: name another folder, or delete it and extract again"
        )
    return cache


def check_weights(config, identity):
    """Raise UserError where the features that a config wants are of other weights.

    identity: what `dias_jax.pretrained.backbone.load_backbone` says of them.
    """
    for split in ("train", config.evaluation.split) if config.data.features else ():
        folder = pathlib.Path(config.data.features) / split
        FeatureCache.check_same(folder, FeatureCache.read_header(folder), {"weights": identity})


def describe(config, split):
    """The header of the features of a split, but for their weights and shape.

    Raises UserError where the data set has no such split, or is not there.
    """
    values, is_training = flatten(config), split == "train"
    header = {name: values[name] for name in values if name.startswith(DECISIVE)}
    del header[WEIGHTS]
    header |= {name: values[name] if is_training else None for name in OF_VIEWS}
    if is_training:
        header["data.crop_scale"] = list(header["data.crop_scale"])  # as JSON has it
    source = open_split(config.data, split, clip_frames=clip_frames(config, split))
    size = len(source)
    count = size * config.data.views if is_training else min(config.evaluation.limit or size, size)
    protocol = source.protocol(config.data.image_size)
    header |= {"split": split, "num_samples": count, "protocol": protocol}
    return header | {"frames": source.max_frames}


def clip_frames(config, split):
    """Frames of the clips of a split, 0: whole videos."""
    return config.data.clip_frames if split == "train" else config.evaluation.clip_frames
