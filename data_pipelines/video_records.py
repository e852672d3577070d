"""Random access to a prepared data set of videos, of which only the wanted frames are decoded."""

import numpy as np

from data_pipelines.images import decode
from data_pipelines.records import PreparedSplit
from dias_jax.errors import UserError

UNASKED = -1  # in place of an answer


class PreparedVideos(PreparedSplit):
    """One split of a video data set that `data_pipelines.prepare` built.

    `read(i, start, stop)` is a dict of some frames of video i: image (F, H, W, 3) uint8, index int
    and, if asked for and there, mask (F, H, W) uint8 and classes (K,) int32 of the objects 2, 3,
    ..; where something is asked about the video answer, a bool of numpy; where there are
    `scenarios` scenario, the number of the video's;
    `videos[i]` is that of all its frames. Arguments and errors: as of PreparedSplit.
    """

    def __init__(self, directory, split, with_masks=True):
        super().__init__(directory, split, with_masks)
        self.scenarios = tuple(self._metadata.get("scenarios", ()))  # older data sets tell none
        self.num_frames = np.array(self._metadata["num_frames"][split])
        # The bound holds for all splits, so that one compiled function serves them.
        self.max_frames = max(map(max, self._metadata["num_frames"].values()))

    def __getitem__(self, index):
        return self.read(index, 0, self.num_frames[index])

    def read(self, index, start, stop):
        """Frames `start` to `stop` - 1 of video `index`."""
        record = self._read(index)
        name = self._name(index, record)
        remedy = f"delete {self._directory} and prepare the data set again"
        frames = record["frames"]
        masks = record["masks"] if self.num_masks else frames
        if not len(frames) == len(masks) == self.num_frames[index]:
            raise UserError(f"{name} has not {self.num_frames[index]} frames and masks: {remedy}")
        times = range(start, stop)
        images = [decode(frames[i], f"frame {i} of {name}", remedy=remedy) for i in times]
        sample = {"image": np.stack(images), "index": int(index)}
        if self._with_masks:
            found = [decode(masks[i], f"mask {i} of {name}", "L", remedy) for i in times]
            sample |= {"mask": np.stack(found), "classes": record["classes"]}
            is_small = sample["mask"].max() <= self.num_masks > len(record["classes"])
            if sample["mask"].shape != sample["image"].shape[:-1] or not is_small:
                raise UserError(f"{name} contradicts its masks or their number: {remedy}")
        if record.get("answer", UNASKED) != UNASKED:
            sample["answer"] = np.bool_(record["answer"])
        if self.scenarios:
            sample["scenario"] = np.int32(record["scenario"])
        return sample
