"""What the builders of video data sets share: one record a video, its frames apart.

A record holds every frame's bytes as published, an index map for every frame (0 = not annotated,
1 = background, 2.. = objects, the same number in all frames), and the class of every object.
`data_pipelines.video_records` reads it, and decodes no more frames than are asked for.
"""

import io
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.building.builder import ObjectDataSet, require_size
from data_pipelines.building.listing import plain
from data_pipelines.images import decode
from dias_jax.errors import UserError


class Video(NamedTuple):
    """A video with its objects."""

    name: str  # for messages, and the record's
    frames: list  # of bytes, as published
    masks: np.ndarray  # (F, H, W) uint8
    classes: list  # category of each object


class VideoDataSet(ObjectDataSet, skip_registration=True):
    """Builds a data set of videos; a data set is a subclass, whose samples are a Video each."""

    HAS_RELEASE = False

    def __init__(self, *, source, data_dir, max_side=0):
        if max_side:
            raise UserError("--max_side is for images: videos are stored as published")
        super().__init__(source=source, data_dir=data_dir)

    def _features(self):
        return tfds.features.FeaturesDict(
            {
                "frames": tfds.features.Sequence(tfds.features.Text()),  # encoded, as are masks
                "masks": tfds.features.Sequence(tfds.features.Text()),
                "classes": tfds.features.Tensor(shape=(None,), dtype=np.int32),
                "file_name": tfds.features.Text(),
            }
        )

    def _split_generators(self, dl_manager):
        generators = super()._split_generators(dl_manager)
        self.info.metadata["num_frames"] = {split: [] for split in generators}
        return generators

    def _generate_examples(self, split, items, read):
        for number, record in super()._generate_examples(split, items, read):
            self.info.metadata["num_frames"][split].append(len(record["frames"]))
            yield number, record

    def _record(self, video):
        for time, encoded in enumerate(video.frames):
            name = f"frame {time} of {video.name}"
            size = decode(encoded, name).shape[:2]
            require_size(video.masks[time], f"the mask of {name}", size, name)
        metadata = self.info.metadata
        metadata["num_masks"] = max(metadata["num_masks"], int(video.masks.max()))
        return {
            "frames": video.frames,
            "masks": [_encode(mask) for mask in video.masks],
            "classes": np.array(video.classes, np.int32),
            "file_name": plain(video.name),
        }


def _encode(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "png")
    return stream.getvalue()
