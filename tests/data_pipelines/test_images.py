"""Decoding: every kind of picture that publishers have, and refusal of what a mask cannot be."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines import images
from dias_jax.errors import UserError


def encode(picture, kind):
    encoded = io.BytesIO()
    picture.save(encoded, format=kind, **({"quality": 95} if kind == "JPEG" else {}))
    return encoded.getvalue()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_jpegs_of_every_mode_become_rgb(mode):
    picture = Image.new("RGB", (8, 8), (200, 200, 200)).convert(mode)
    image = images.decode(encode(picture, "JPEG"), "picture")
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image.astype(int), 200, atol=2)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sixteen_bits_lose_the_low_byte(mode):
    values = (np.arange(256).reshape(16, 16) * 257).astype(np.uint16)
    image = images.decode(encode(Image.fromarray(values), "PNG"), "picture", mode)
    np.testing.assert_array_equal(image if mode == "L" else image[..., 1], values >> 8)


def test_indices_are_not_colours():
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    picture = Image.fromarray(indices)
    np.testing.assert_array_equal(images.decode_indices(encode(picture, "PNG"), "x"), indices)
    picture.putpalette([value for number in range(256) for value in (255 - number, 3, 9)])
    np.testing.assert_array_equal(images.decode_indices(encode(picture, "PNG"), "x"), indices)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1"])
def test_other_masks_are_refused(mode):
    with pytest.raises(UserError, match=f"x.png is a picture of mode {mode}"):
        images.decode_indices(encode(Image.new(mode, (4, 4)), "PNG"), "x.png")
    with pytest.raises(UserError, match="x.png is a damaged image"):
        images.decode_indices(b"\x89PNG", "x.png")
