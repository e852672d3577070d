"""Anybody's image files: any format that Pillow reads becomes an upright RGB image of 8 bits."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from dias_jax.errors import UserError


class Photograph(NamedTuple):
    """An image file's first frame, and how many frames there are."""

    image: np.ndarray  # (H, W, 3) uint8
    num_frames: int


def read_photograph(path):
    """Reads an image file as its viewer sees it.

    The EXIF orientation is applied. Of an animation the first frame is read, of 16 bits a channel
    the high byte. Floats in [0, 1] are scaled by 255, others clipped to [0, 255]. Grey, palette
    and CMYK images are converted to RGB; transparency is dropped.

    Args:
      path: of the file.

    Returns:
      A Photograph.

    Raises:
      UserError: the file cannot be read or is no intact image.
    """
    try:
        with Image.open(path) as image:
            num_frames = getattr(image, "n_frames", 1)
            image.load()
            upright = _eight_bits(ImageOps.exif_transpose(image))
            return Photograph(np.array(upright.convert("RGB")), num_frames)
    except Exception as error:  # a damaged image may fail in any way, by its format
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(
            f"{path} cannot be read as an image ({reason or type(error).__name__}): "
            "replace it, or save it as PNG or JPEG"
        ) from error


def suffixes():
    """Returns the set of file suffixes, in lower case, of the formats that Pillow reads."""
    Image.init()
    return {name for name, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def _eight_bits(image):
    """Reduces integers of 16 bits and floats, which Pillow's own conversion would clip."""
    if image.mode.startswith("I"):  # I;16, or I where a format has more than 8 bits
        values = np.clip(np.array(image).astype(np.int64), 0, 65_535) >> 8
    elif image.mode == "F":
        values = np.nan_to_num(np.array(image))
        if values.min() >= 0 and values.max() <= 1:
            values = np.round(values * 255)
        values = np.clip(values, 0, 255)
    else:
        return image
    return Image.fromarray(values.astype(np.uint8))


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
