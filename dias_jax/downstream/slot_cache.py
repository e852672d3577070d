"""Slots of a whole split and what they have found, in files: computed once, for many probes.

A sample is an image or, of videos, a frame: those of a clip follow one another, all clips have as
many, and no slot is in use in one that only fills.
"""

import hashlib
import json
import pathlib

import jax.numpy as jnp
import numpy as np

from dias_jax.sample_files import SampleFiles

SAMPLES_PER_FILE = 1024
# What differs between the splits of one extraction.
OF_SPLIT = ("model", "split", "num_samples", "protocol", "views", "crop_scale", "flip")
OF_SPLIT += ("clip_frames", "window", "questions", "queried", "scenarios", "features")


class SlotCache(SampleFiles):
    """Random access to the samples of an extraction: `cache[i]` is a dict as `record_type` has it.

    Raises UserError as `SampleFiles` does.
    """

    contents = "slots"
    command = "python -m dias_jax.extract --split={split} --out={out}"
    of_header = ("data", "split", "num_samples", "clip_frames", "views", "window", "parameters")
    of_header += ("config", "representation", "masks", "class_names", "protocol", "reduce_at")
    of_header += ("min_frames", "seed", "data_seed", "image_size", "model")

    @staticmethod
    def remedy(name, found):
        """As many images or clips as were begun with may be extracted to their end."""
        if name != "num_samples":
            return ""
        limit = found["num_samples"] // found["clip_frames"] // max(found["views"], 1)
        return f"set --config.evaluation.limit={limit} to continue them, "

    @staticmethod
    def record_type(header):
        """The layout of a sample: a numpy dtype, little-endian whatever the machine."""
        slots, width, things = (header[x] for x in ("num_slots", "slot_width", "num_things"))
        kinds, numbers = len(header["kinds"]), sum(header["numbers"].values())
        fields = [
            ("index", "<i4", ()),  # of the image or clip in its split; with views, of the view
            ("frame", "<i4", ()),  # of the clip
            ("slots", "<f4", (slots, width)),  # (S, D)
            ("slot_mask", "?", (slots,)),  # (S,), slots in use
            ("slot", "<i4", (things,)),  # (G,), the slot of each thing, -1: none
            ("iou", "<f4", (things,)),  # (G,), of its mask and the slot's
            ("overlap", "<f4", (slots, things)),  # (S, G), of all pairs, see `match_maps`
            ("segments", "u1", tuple(header["grid"])),  # (h, w), slot of each patch, 255: none
            ("classes", "<i4", (things,)),  # (G,), -1: there is no thing
            ("boxes", "<f4", (things, 4)),  # (G, 4), edges in sides of the view
            ("crowd", "?", (things,)),  # (G,), things that are crowds
            ("kinds", "<i4", (things, kinds)),  # (G, P), further properties, -1: unknown
            ("numbers", "<f4", (things, numbers)),  # (G, Q), those that are measured
            ("answers", "?", (len(header["questions"]),)),  # to the questions about the video
        ]
        if header.get("queried"):  # how many things the questions are about; None: not told
            fields.append(("queried", "<i4", (header["queried"],)))  # their numbers
        if header["window"]:
            fields.append(("video", "<i4", ()))  # that the window is cut from
        if header.get("scenarios"):  # None: the data set has none
            fields.append(("scenario", "<i4", ()))
        if header.get("features"):  # (h, w, C), of the frozen backbone; None: not wanted
            fields.append(("features", jnp.bfloat16, tuple(header["features"])))
        return np.dtype(fields)

    @staticmethod
    def samples_per_file(header):
        """How many samples a file holds: whole clips."""
        frames = header["clip_frames"]
        return max(SAMPLES_PER_FILE // frames, 1) * frames

    @classmethod
    def check_header(cls, header):
        """As of `SampleFiles`; clips are whole."""
        super().check_header(header)
        if header["num_samples"] % header["clip_frames"]:
            raise ValueError(f"{header['num_samples']} samples")

    def check_record(self, record):
        """Raise an error of any kind where a class or a kind is none of the header's."""
        counts = list(self.header["kinds"].values())
        is_wrong = (record["classes"] >= len(self.header["class_names"])).any()
        if is_wrong or (record["kinds"] >= counts).any():
            raise ValueError("classes or kinds that the header does not know")


def fingerprint(folder, split):
    """What tells the slots of a split from all others: the sha256 of their header."""
    header = SlotCache.read_header(pathlib.Path(folder) / split)
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


class Part:
    """Some samples of a source, in the order of `numbers`."""

    def __init__(self, source, numbers):
        self.source, self.numbers = source, numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return self.source[self.numbers[int(index)]]


def stack(samples):
    """All samples of a source as one dict of arrays."""
    samples = [samples[i] for i in range(len(samples))]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
