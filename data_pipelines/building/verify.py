"""Reads every record of a prepared data set again and compares it with what was recorded."""

import numpy as np
from array_record.python import array_record_module as array_record

from data_pipelines.building.build import describe
from data_pipelines.building.masks import boxes_of
from data_pipelines.records import PreparedSplit, open_builder, refuse_damage
from data_pipelines.video_records import PreparedVideos
from dias_jax.errors import UserError


def verify(directory):
    """Read a prepared data set again: directory that holds dataset_info.json -> a one-line summary.

    Raises UserError when a file is missing or damaged, or a sample contradicts its record.
    """
    info = open_builder(directory).info
    with_depth = "depth" in info.features
    largest = min(info.metadata["num_masks"], 1)
    for split in info.splits:
        if info.metadata.get("num_frames"):
            source = PreparedVideos(directory, split)
        else:
            source = PreparedSplit(directory, split, with_depth=with_depth)
        for index in range(len(source)):
            sample = source[index]
            problem = find_problem(sample)
            if problem:
                raise UserError(
                    f"sample {index} of {split} in {directory} {problem}: delete that and prepare "
                    "the data set again"
                )
            if "mask" in sample:
                largest = max(largest, int(sample["mask"].max()))
        _require_all_records(directory, info.splits[split])
    if largest != info.metadata["num_masks"]:
        raise UserError(
            f"{directory} has up to {largest} masks an image but records "
            f"{info.metadata['num_masks']}: prepare it again"
        )
    return f"{info.name}: every record is intact: {describe(info)}"


def _require_all_records(directory, split):
    """Raises UserError where the files hold more records than dataset_info.json says."""
    with refuse_damage(directory):
        count = sum(array_record.ArrayRecordReader(str(p)).num_records() for p in split.filepaths)
        if count > split.num_examples:
            raise ValueError(f"{count} records in {split.name}, not {split.num_examples}")


def find_problem(sample):
    """What contradicts itself in a sample of PreparedSplit; None: nothing does."""
    if "mask" not in sample:
        return None
    mask, boxes = sample["mask"], sample.get("boxes")  # of a video there are none
    for name in ("mask", "depth"):
        if name in sample and sample[name].shape != sample["image"].shape[:-1]:
            return f"has {name} and image of different size"
    num_objects = len(sample["classes"])
    if set(np.unique(mask[mask > 1])) != set(range(2, 2 + num_objects)):
        return f"has other masks than its {num_objects} objects"
    if boxes is None:
        return None
    if boxes.shape != (num_objects, 4) or (boxes != boxes_of(mask, num_objects)).any():
        return "has boxes that do not surround its masks"
    return None
