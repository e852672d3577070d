"""Image files to arrays: published ones as their masks need them, photographs as people see them.

Both become 8 bits a channel by one rule. 16 bits (and 32-bit integers, which must lie in 0..65535):
the high byte. Floats: those within [0, 1] times 255, others clipped to 0..255; then rounded.
"""

import functools
import io
import os
import pathlib
import stat
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dias_jax.errors import UserError

# Larger images are refused before they are decoded: reading one takes up to 10 bytes a pixel.
MAX_PIXELS = 178_956_970  # as many as Pillow reads
MAX_SIDE = 65_535  # pixels, as in a JPEG
warnings.filterwarnings("ignore", module=r"PIL\.")  # of large and damaged ones: errors say it

SEGMENTS = ".segments.png"  # the end of an image's name that `dias_jax.segment` has painted on

# Formats that Pillow only recognises, or hands on to another program.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


def decode(encoded, name, mode="RGB", remedy="replace it"):
    """The pixels of an image file as they are stored: EXIF orientation and alpha are ignored.

    Published masks fit these. encoded: bytes of any format that Pillow reads; name and remedy: for
    messages; mode "RGB" (grey and CMYK are converted): -> (H, W, 3) uint8, mode "L": -> (H, W)
    uint8. Raises UserError when the bytes are no intact image.
    """
    return np.asarray(_convert(_eight_bits(_open(encoded, name, remedy), name), mode, name))


def decode_upright(encoded, name, remedy="replace it"):
    """A photograph as people see it: bytes -> (H, W, 3) uint8.

    EXIF orientation is honoured, what is transparent is white, of an animation or of pages the
    first is taken. name, remedy and errors: as in `decode`.
    """
    return upright(_open(encoded, name, remedy), name)


def upright(image, name):
    """What `decode_upright` does to a PIL image: -> (H, W, 3) uint8."""
    image = _eight_bits(_turn_upright(image), name)
    if image.has_transparency_data:
        image = _convert(image, "RGBA", name)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(_convert(image, "RGB", name))


def count_frames(encoded):
    """How many frames or pages an image file has, of which `decode_upright` takes the first.

    The further pictures of a multi-picture JPEG, as telephones make them, do not count.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=readable_formats())
        return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except Exception:  # a later frame is damaged, which may fail in any way
        return 1


def decode_indices(encoded, name, remedy="take the published one, a palette PNG"):
    """A mask's indices, of a palette picture not its colours: bytes -> (H, W) uint8.

    name and remedy: for messages. Raises UserError when the bytes are no intact image, or one of
    colours or of 16 bits a pixel.
    """
    image = _open(encoded, name, "replace it")
    if image.mode not in ("P", "L"):
        raise UserError(f"{name} is a picture of mode {image.mode}: {remedy}")
    return np.array(image)


def read_bytes(path):
    """A file's bytes. Raises UserError where it cannot be read, or is a folder or a pipe."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            raise UserError(f"cannot read {path}: it is no file")
        return pathlib.Path(path).read_bytes()
    except (OSError, ValueError) as error:  # the latter of a name that no file can have
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error


def is_image_name(path):
    """Whether a file's suffix, in upper or lower case, is that of a format which can be read.

    What `dias_jax.segment` has written is no image.
    """
    path = pathlib.Path(path)
    is_left_out = path.name.startswith(".") or path.name.lower().endswith(SEGMENTS)
    return path.suffix.lower() in _suffixes() and not is_left_out


def is_too_large(height, width):
    """Whether an image of this size is refused."""
    return height * width > MAX_PIXELS or max(height, width) > MAX_SIDE


@functools.cache
def _suffixes():
    formats = Image.registered_extensions()
    return {suffix for suffix, name in formats.items() if name in readable_formats()}


@functools.cache
def readable_formats():
    """The formats that are read, the common ones first."""
    Image.preinit()
    Image.init()
    return [name for name in Image.ID if name not in _NOT_READ]


def _open(encoded, name, remedy):
    try:
        image = Image.open(io.BytesIO(encoded), formats=readable_formats())
        if is_too_large(image.height, image.width):
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
        image.decodermaxblock = len(encoded)  # one call of the decoder; it is 64 KiB a call else
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{name} is too large an image ({error}): store it smaller, with at most "
            f"{MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is a damaged image (of no known format): {remedy}") from error
    except Exception as error:  # a damaged file may fail in any way
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"{name} is a damaged image ({reason}): {remedy}") from error
    return image


def _turn_upright(image):
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # metadata that cannot be read may fail in any way, and turn nothing
        return image


def _eight_bits(image, name):
    """An image of 8 bits a channel, by the rule that this file begins with."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if image.mode not in ("I", "F"):
        return image
    values = np.array(image)
    if image.mode == "I":
        if values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name} has integers outside 0..65535: store it in 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if not np.isfinite(values).all():
        raise UserError(f"{name} has values that are not finite: store it in 8 bits")
    is_unit = values.min() >= 0 and values.max() <= 1
    values = values * 255 if is_unit else values.clip(0, 255)
    return Image.fromarray(np.round(values).astype(np.uint8))


def _convert(image, mode, name):
    try:
        return image if image.mode == mode else image.convert(mode)
    except Exception as error:  # of CIELAB, of a palette that is missing
        reason = str(error) or type(error).__name__
        raise UserError(f"{name} cannot become {mode} ({reason}): store it as RGB") from error
