"""Random access to a prepared data set: encoded images and index maps in array_record files."""

import io
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dias_jax.errors import UserError


class PreparedSplit:
    """One split of a data set that `data_pipelines.prepare` built.

    `source[i]` is a dict: image (H, W, 3) uint8, index int and, if asked for, mask (H, W) uint8.

    Args:
      directory: the prepared data set: the directory that holds dataset_info.json.
      split: the split's name.
      with_masks: whether masks are decoded.

    Raises:
      UserError: the data set has no such split. Reading raises it for a damaged file or image.
    """

    def __init__(self, directory, split, with_masks=True):
        builder = tfds.builder_from_directory(directory)
        if split not in builder.info.splits:
            known = ", ".join(builder.info.splits)
            raise UserError(f"{directory} has no split {split!r}: choose one of {known}")
        # The static bound on ground-truth masks (the background is one), recorded when prepared.
        self.num_masks = builder.info.metadata["num_masks"]
        self._directory = pathlib.Path(directory)
        self._split = split
        self._with_masks = with_masks
        skip = tfds.decode.SkipDecoding()
        self._records = builder.as_data_source(split, decoders={"image": skip, "mask": skip})

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        try:
            record = self._records[int(index)]
            if None in record.values():  # a file cut short may give empty records
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
        return sample


def decode(encoded, name, mode="RGB", remedy="replace it"):
    """Decodes an image file.

    The EXIF orientation is ignored: the published masks fit the pixels as they are stored.

    Args:
      encoded: bytes of any format that Pillow reads.
      name: what an error message calls the image.
      mode: "RGB" (grey and CMYK images are converted) or "L" (index maps).
      remedy: what an error message tells the user to do.

    Returns:
      uint8, (H, W, 3) for "RGB" and (H, W) for "L".

    Raises:
      UserError: the bytes are no intact image.
    """
    try:
        image = Image.open(io.BytesIO(encoded))
        image.decodermaxblock = len(encoded)  # one call of the decoder; it is 64 KiB a call else
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} is a damaged image ({error}): {remedy}") from error
