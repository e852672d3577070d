"""Clips: samples that are some frames of a video, or all of them.

A source of videos has `num_frames` (V,) int, the length of every video; `max_frames`, the static
bound on these; `read(i, start, stop)`, a dict of some frames of video i, decoding no others; and
what every source has (`sources`), but for samples: these are cut here.
"""

import numpy as np

from dias_jax.errors import UserError

# Arrays with leading axis F.
_FRAMEWISE = ("image", "mask", "boxes", "visible", "hidden", "centres", "velocities")


class Clips:
    """A source whose samples are clips, in the order of the videos and of time.

    clip_frames: contiguous frames a clip. Clips begin at its multiples, the last one of a video
    earlier, so that it is whole; shorter videos are left out. 0: every video is one clip. Raises
    UserError when all videos are too short.
    """

    def __init__(self, videos, clip_frames=0):
        self.videos, self.num_masks = videos, videos.num_masks
        self.training_view, self.evaluation_view = videos.training_view, videos.evaluation_view
        self.max_frames = clip_frames or videos.max_frames
        self.windows = [
            (video, min(start, length - (clip_frames or length)))
            for video, length in enumerate(videos.num_frames)
            if length >= clip_frames
            for start in range(0, length, clip_frames or length)
        ]
        if not self.windows:
            raise UserError(
                f"no video has {clip_frames} frames, the longest has {max(videos.num_frames)}: "
                "take shorter clips, --config.data.clip_frames=N"
            )
        self.clip_frames = clip_frames
        self.min_frames = clip_frames or int(min(videos.num_frames))

    def __len__(self):
        return len(self.windows)

    @property
    def class_names(self):
        """The names of the classes by number."""
        return self.videos.class_names

    @property
    def properties(self):
        """The Properties that are told of objects."""
        return self.videos.properties

    @property
    def scenarios(self):
        """The names of the scenarios by number."""
        return self.videos.scenarios

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        cut = f"windows of {self.clip_frames} frames, the last of a video shifted back, shorter "
        what = f"{cut}videos left out" if self.clip_frames else "whole videos"
        return f"{what}, {self.videos.protocol(size)}"

    def __getitem__(self, index):
        video, start = self.windows[int(index)]
        stop = start + (self.clip_frames or self.videos.num_frames[video])
        clip = self.videos.read(video, int(start), int(stop))
        return clip | {"index": int(index), "video": np.int32(video)}


def pad_clip(view, num_frames):
    """A view of a clip with zeros up to `num_frames` frames, and "frame_valid" (F,) bool."""
    missing = num_frames - len(view["image"])
    padded = {
        name: np.pad(view[name], [(0, missing)] + [(0, 0)] * (view[name].ndim - 1))
        for name in _FRAMEWISE
        if name in view
    }
    return view | padded | {"frame_valid": np.arange(num_frames) < num_frames - missing}
