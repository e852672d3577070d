"""Random access to a prepared data set: encoded images and index maps in array_record files."""

import io
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines import transforms
from dias_jax.errors import UserError

# Where TensorFlow Datasets puts what `data_pipelines.prepare` built, below the data directory.
PREPARED = {
    name: f"{name}/2.0.0" for name in ("coco", "coco_panoptic", "voc", "voc_trainaug", "clevrtex")
}


def prepared_directory(name, data_dir):
    """Returns the directory of a prepared data set below `data_dir`.

    Raises:
      UserError: the data set is unknown or not prepared there.
    """
    if name not in PREPARED:
        known = ", ".join(["shapes", *PREPARED])
        raise UserError(f"unknown data set {name!r}: choose one of {known}")
    directory = pathlib.Path(data_dir or ".") / PREPARED[name]
    if not (directory / "dataset_info.json").is_file():
        raise UserError(
            f"data set {name!r} is not prepared in {data_dir!r}: run python -m "
            f"data_pipelines.prepare {name} --source=DIR --data_dir={data_dir or 'DIR'}"
        )
    return directory


class PreparedSplit:
    """One split of a data set that `data_pipelines.prepare` built.

    `source[i]` is a dict: image (H, W, 3) uint8, index int and, if asked for, mask (H, W) uint8,
    classes (G,) int32 and boxes (G, 4) float32 (left, top, right, bottom in image widths and
    heights) of the objects, which are 2.. in the mask, and depth (H, W) uint8.

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
        self._max_side = builder.info.metadata["max_side"]  # of the stored images; 0: as published
        self._directory = pathlib.Path(directory)
        self._split = split
        self._with_masks, self._with_depth = with_masks, with_depth
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
        """The centred square: image, mask."""
        return transforms.evaluation_view(sample["image"], sample["mask"], data_config.image_size)

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        stored = f"stored with at most {self._max_side} pixels a side, " if self._max_side else ""
        return f"{stored}centre square crop, resize {size}, background counted"


def decode(encoded, name, mode="RGB", remedy="replace it"):
    """Decodes an image file.

    The EXIF orientation is ignored: the published masks fit the pixels as they are stored. Of 16
    bits a pixel the high byte is kept.

    Args:
      encoded: bytes of any format that Pillow reads.
      name: what an error message calls the image.
      mode: "RGB" (grey and CMYK images are converted) or "L" (one channel).
      remedy: what an error message tells the user to do.

    Returns:
      uint8, (H, W, 3) for "RGB" and (H, W) for "L".

    Raises:
      UserError: the bytes are no intact image.
    """
    image = _open(encoded, name, remedy)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    return np.asarray(image if image.mode == mode else image.convert(mode))


def decode_indices(encoded, name):
    """Decodes a published mask: the indices of a palette picture, not its colours.

    Args:
      encoded: bytes of a palette or grey PNG of 8 bits a pixel.
      name: what an error message calls the mask.

    Returns:
      (H, W) uint8.

    Raises:
      UserError: the bytes are no intact image, or one of colours or of 16 bits a pixel.
    """
    image = _open(encoded, name)
    if image.mode not in ("P", "L"):
        raise UserError(
            f"{name} is a picture of mode {image.mode}: take the published one, a palette PNG"
        )
    return np.array(image)


def _open(encoded, name, remedy="replace it"):
    try:
        image = Image.open(io.BytesIO(encoded))
        image.decodermaxblock = len(encoded)  # one call of the decoder; it is 64 KiB a call else
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} is a damaged image ({error}): {remedy}") from error
    return image
