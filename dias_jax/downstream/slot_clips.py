"""Clips of an extraction's frames: slots over time, for what looks at more than one frame."""

import numpy as np

OF_FRAMES = ("slots", "slot_mask")
OF_VIDEO = ("answers", "scenario")  # the last of some data sets only
FOUND_ABOVE = 0.5  # IoU with the mask of a slot


class SlotClips:
    """Random access to clips: `clips[i]` is a dict, its "index" (int32) the number i.

    "slots" (F, S, D) and "slot_mask" (F, S) of every frame; "answers" (Q,) bool to the questions
    about the video, and "scenario" where it has one; "roles" (F, 2) int32, the slots of the things
    that are asked about, where that is told; "features" (targets, h, w, C) of the last so many
    frames, unless targets is 0. samples: frames of an extraction, `clip_frames` a video, one
    video after the other; length: F, 0: whole videos; stride: every so manieth frame is taken;
    every_start: windows begin at every frame from which they are whole, not only at the first.
    """

    def __init__(self, samples, clip_frames, length=0, stride=1, every_start=False, targets=0):
        self.samples, self.clip_frames, self.targets = samples, clip_frames, targets
        length = length or clip_frames
        self.window = range(0, length * stride, stride)
        self.starts = clip_frames - self.window[-1] if every_start else 1

    def __len__(self):
        return len(self.samples) // self.clip_frames * self.starts

    def __getitem__(self, index):
        video, start = divmod(int(index), self.starts)
        first = video * self.clip_frames + start
        frames = [self.samples[first + i] for i in self.window]
        clip = {name: np.stack([frame[name] for frame in frames]) for name in OF_FRAMES}
        if self.targets:
            clip["features"] = np.stack([x["features"] for x in frames[-self.targets :]])
        clip |= {name: frames[0][name] for name in OF_VIDEO if name in frames[0]}
        if "queried" in frames[0]:
            clip["roles"] = np.stack([slots_of(frame, frame["queried"]) for frame in frames])
        return clip | {"index": np.int32(index)}


def slots_of(frame, things):
    """Slots of some things (K,) of a frame: (K,) int32, -1: none has found it."""
    return np.where(frame["iou"][things] > FOUND_ABOVE, frame["slot"][things], -1)
