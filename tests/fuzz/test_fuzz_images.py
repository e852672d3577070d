"""Damaged pictures of every common format become an array or one line."""

import io

import numpy as np
from damage import damaged_bytes, right_or_one_line
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_pipelines import images
from data_pipelines.building.builder import Sample
from data_pipelines.building.shrink import shrink


def encode(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def examples():
    """Small pictures: formats, depths, palettes, transparency, orientation, frames."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (9, 14, 3), np.uint8))
    grey, alpha = colour.convert("L"), colour.convert("RGBA")
    orientation = Image.Exif()
    orientation[0x0112] = 6
    wide = Image.fromarray(rng.integers(0, 65536, (9, 14)).astype(np.uint16))
    real = Image.fromarray(rng.random((9, 14), np.float32))
    found = [encode(picture, "PNG") for picture in (colour, grey, alpha, wide)]
    found += [encode(colour.quantize(16), "PNG", transparency=3, exif=orientation)]
    found += [encode(picture, "JPEG", exif=orientation) for picture in (colour, grey)]
    found += [encode(colour.convert("CMYK"), "JPEG"), encode(colour, "JPEG", progressive=True)]
    found += [encode(picture, "TIFF") for picture in (colour, wide, real)]
    found += [encode(colour, "TIFF", compression="tiff_lzw", exif=orientation)]
    found += [encode(grey, "GIF", save_all=True, append_images=[grey.rotate(90)] * 2)]
    for kind in ("BMP", "PPM", "TGA", "PCX", "ICO", "WEBP", "JPEG2000", "AVIF", "DDS", "MPO"):
        if kind in Image.registered_extensions().values() and kind in Image.SAVE:
            found.append(encode(alpha if kind == "ICO" else colour, kind))
    return found


ENCODED = st.sampled_from(examples()).flatmap(damaged_bytes)


@given(ENCODED)
def test_photographs(encoded):
    with right_or_one_line():
        image = images.decode_upright(encoded, "x")
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert images.count_frames(encoded) >= 1


@given(ENCODED, st.sampled_from(["RGB", "L"]))
def test_published_images(encoded, mode):
    with right_or_one_line():
        image = images.decode(encoded, "x", mode)
        assert image.dtype == np.uint8 and image.ndim == (3 if mode == "RGB" else 2)
        if mode == "RGB" and image.size < 10**6:
            smaller = shrink(Sample("x", "", encoded, pixels=image), 5)
            assert max(smaller.pixels.shape) <= max(5, 3)
