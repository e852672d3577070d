"""What the builders of video data sets share: one record a video, its frames apart.

A record holds every frame's bytes as published, an index map for every frame (0 = not annotated,
1 = background, 2.. = objects, the same number in all frames), and the class of every object; of a
data set without masks no more than the frames. One that asks about its videos keeps the answer, one
that has scenarios the number of the video's.
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
from data_pipelines.video_records import UNASKED
from dias_jax.errors import UserError


class Video(NamedTuple):
    """A video with its objects."""

    name: str  # for messages, and the record's
    frames: list  # of bytes, as published
    masks: np.ndarray | None = None  # (F, H, W) uint8, for a data set that has masks
    classes: list | None = None  # category of each object, likewise
    answer: bool | None = None  # to the question about it; None: nothing is asked
    scenario: int | None = None  # its number, for a data set that has scenarios


class VideoDataSet(ObjectDataSet, skip_registration=True):
    """Builds a data set of videos; a data set is a subclass, whose samples are a Video each."""

    HAS_RELEASE = False
    ASKS = False  # whether a question with the answer yes or no belongs to some of the videos
    SCENARIOS = ()  # names; every video has one

    def __init__(self, *, source, data_dir, max_side=0):
        if max_side:
            raise UserError("--max_side is for images: videos are stored as published")
        super().__init__(source=source, data_dir=data_dir)

    def _features(self):
        features = {
            "frames": tfds.features.Sequence(tfds.features.Text()),  # encoded, as are masks
            "file_name": tfds.features.Text(),
        }
        if self.HAS_MASKS:
            features["masks"] = tfds.features.Sequence(tfds.features.Text())
            features["classes"] = tfds.features.Tensor(shape=(None,), dtype=np.int32)
        if self.ASKS:
            features["answer"] = tfds.features.Tensor(shape=(), dtype=np.int32)
        if self.SCENARIOS:
            features["scenario"] = tfds.features.Tensor(shape=(), dtype=np.int32)
        return tfds.features.FeaturesDict(features)

    def _split_generators(self, dl_manager):
        generators = super()._split_generators(dl_manager)
        self.info.metadata["num_frames"] = {split: [] for split in generators}
        self.info.metadata["scenarios"] = list(self.SCENARIOS)
        return generators

    def _generate_examples(self, split, items, read):
        for number, record in super()._generate_examples(split, items, read):
            self.info.metadata["num_frames"][split].append(len(record["frames"]))
            yield number, record

    def _record(self, video):
        record = {"frames": video.frames, "file_name": plain(video.name)}
        if self.HAS_MASKS:
            record |= self._record_masks(video)
        if self.ASKS:
            record["answer"] = UNASKED if video.answer is None else int(video.answer)
        if self.SCENARIOS:
            record["scenario"] = video.scenario
        return record

    def _record_masks(self, video):
        for time, encoded in enumerate(video.frames):
            name = f"frame {time} of {video.name}"
            size = decode(encoded, name).shape[:2]
            require_size(video.masks[time], f"the mask of {name}", size, name)
        metadata = self.info.metadata
        metadata["num_masks"] = max(metadata["num_masks"], int(video.masks.max()))
        masks = [_encode(mask) for mask in video.masks]
        return {"masks": masks, "classes": np.array(video.classes, np.int32)}


def _encode(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "png")
    return stream.getvalue()
