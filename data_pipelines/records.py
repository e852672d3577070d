"""Random access to a prepared data set: encoded images and index maps in array_record files."""

import pathlib
import re

import tensorflow_datasets as tfds

from data_pipelines import transforms
from data_pipelines.images import decode
from dias_jax.errors import UserError

# Where TensorFlow Datasets puts what `data_pipelines.prepare` built, below the data directory.
# `prepare folder` gives a user's own images any other name as well.
PREPARED = {
    name: f"{name}/2.0.0"
    for name in ("coco", "coco_panoptic", "voc", "voc_trainaug", "clevrtex", "folder")
}
_INFO = "dataset_info.json"
BUILT_IN = ("shapes", *(name for name in PREPARED if name != "folder"))


def is_valid_name(name):
    """Returns whether a data set can be called so."""
    return re.fullmatch("[a-z][a-z0-9_]*", name) is not None


def prepared_directory(name, data_dir):
    """Returns the directory of a prepared data set below `data_dir`.

    Raises:
      UserError: the data set is unknown or not prepared there.
    """
    parent = pathlib.Path(data_dir or ".")
    directory = parent / name / "2.0.0"
    if is_valid_name(name) and (directory / _INFO).is_file():
        return directory
    if name in PREPARED:
        raise UserError(
            f"data set {name!r} is not prepared in {data_dir!r}: run python -m "
            f"data_pipelines.prepare {name} --source=DIR --data_dir={data_dir or 'DIR'}"
        )
    found = ", ".join(sorted(path.parts[-3] for path in parent.glob(f"*/2.0.0/{_INFO}")))
    raise UserError(
        f"unknown data set {name!r}: choose one of {', '.join(BUILT_IN)}, or one prepared in "
        f"{str(data_dir)!r} ({found or 'there is none'})"
    )


class PreparedSplit:
    """One split of a data set that `data_pipelines.prepare` built.

    `source[i]` is a dict: image (H, W, 3) uint8, index int and, if asked for, mask (H, W) uint8,
    classes (G,) int32 and boxes (G, 4) float32 (left, top, right, bottom in image widths and
    heights) of the objects, which are 2.. in the mask, and depth (H, W) uint8. A data set that was
    prepared without masks (`has_masks` is False, `num_masks` 0) has none of these.

    Args:
      directory: the prepared data set: the directory that holds dataset_info.json.
      split: the split's name.
      with_masks: whether masks are decoded; classes and boxes come with them.
      with_depth: whether depth is decoded.

    Raises:
      UserError: the data set has no such split. Reading raises it for a damaged file or image.
    """

    def __init__(self, directory, split, with_masks=True, with_depth=False):
        builder = tfds.builder_from_directory(directory)
        if split not in builder.info.splits:
            known = ", ".join(builder.info.splits)
            raise UserError(f"{directory} has no split {split!r}: choose one of {known}")
        # The static bound on ground-truth masks (the background is one), recorded when prepared.
        self.num_masks = builder.info.metadata["num_masks"]
        self.has_masks = builder.info.metadata.get("has_masks", True)
        self._max_side = builder.info.metadata["max_side"]  # of the stored images; 0: as published
        self._directory = pathlib.Path(directory)
        self._split = split
        self._with_masks, self._with_depth = with_masks and self.has_masks, with_depth
        encoded = {"image", "mask", "depth"} & set(builder.info.features)
        skip = tfds.decode.SkipDecoding()
        self._records = builder.as_data_source(split, decoders=dict.fromkeys(encoded, skip))

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        try:
            record = self._records[int(index)]
            if any(
                value is None for value in record.values()
            ):  # a file cut short may give empty records
                raise RuntimeError("parts of it are missing")
        except RuntimeError as error:
            raise UserError(
                f"sample {index} of {self._split} in {self._directory} cannot be read ({error}): "
                "prepare the data set again"
            ) from error
        name = (
            f"{record['file_name'].decode()} (sample {index} of {self._split}, {self._directory})"
        )
        remedy = "prepare the data set again"
        sample = {"image": decode(record["image"], name, remedy=remedy), "index": int(index)}
        if self._with_masks:
            sample["mask"] = decode(record["mask"], f"the mask of {name}", "L", remedy)
            sample |= {"classes": record["classes"], "boxes": record["boxes"]}
        if self._with_depth:
            sample["depth"] = decode(record["depth"], f"the depth of {name}", "L", remedy)
        return sample

    def training_view(self, sample, rng, data_config):
        """A random crop, perhaps mirrored: image, and mask or None."""
        size, crop_scale = data_config.image_size, tuple(data_config.crop_scale)
        image, mask = sample["image"], sample.get("mask")
        return transforms.training_view(image, mask, rng, size, crop_scale, data_config.flip)

    def evaluation_view(self, sample, data_config):
        """The centred square: image, and mask or None."""
        image, mask = sample["image"], sample.get("mask")
        return transforms.evaluation_view(image, mask, data_config.image_size)

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        stored = f"stored with at most {self._max_side} pixels a side, " if self._max_side else ""
        masks = "background counted" if self.has_masks else "no masks"
        return f"{stored}centre square crop, resize {size}, {masks}"
