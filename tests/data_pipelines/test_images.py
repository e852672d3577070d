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


def upright(picture, kind, **options):
    encoded = io.BytesIO()
    picture.save(encoded, format=kind, **options)
    return images.decode_upright(encoded.getvalue(), "x")


def test_a_photograph_is_turned_upright_and_a_published_image_is_not():
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned clockwise
    stored = np.zeros((4, 6, 3), np.uint8)
    stored[:, :3] = 200
    encoded = io.BytesIO()
    Image.fromarray(stored).save(encoded, "PNG", exif=orientation)
    np.testing.assert_array_equal(images.decode(encoded.getvalue(), "x"), stored)
    found = images.decode_upright(encoded.getvalue(), "x")
    np.testing.assert_array_equal(found, np.rot90(stored, -1))


def test_what_is_transparent_is_white():
    values = np.zeros((2, 3, 4), np.uint8)
    values[..., 3] = [0, 51, 255]
    np.testing.assert_array_equal(upright(Image.fromarray(values), "PNG")[0, :, 0], [255, 204, 0])
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([9, 9, 9, 70, 70, 70])
    assert (upright(palette, "PNG", transparency=1) == 255).all()
    assert (upright(palette, "PNG") == 70).all()


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([[0, 255, 256, 65535]], np.uint16), [0, 0, 1, 255]),
        (np.array([[0, 255, 256, 65535]], np.int32), [0, 0, 1, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[-3, 0.5, 7.4, 300]], np.float32), [0, 0, 7, 255]),
    ],
)
def test_more_than_eight_bits_by_one_rule(values, expected):
    found = upright(Image.fromarray(values), "TIFF")
    np.testing.assert_array_equal(found[0], np.transpose([expected] * 3))
    encoded = io.BytesIO()
    Image.fromarray(values).save(encoded, "TIFF")
    np.testing.assert_array_equal(images.decode(encoded.getvalue(), "x", "L")[0], expected)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.array([[0, np.nan]], np.float32), "x has values that are not finite"),
        (np.array([[0, np.inf]], np.float32), "x has values that are not finite"),
        (np.array([[0, 65536]], np.int32), "x has integers outside 0..65535"),
        (np.array([[-1, 0]], np.int32), "x has integers outside 0..65535"),
    ],
)
def test_values_without_a_meaning_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        upright(Image.fromarray(values), "TIFF")


def test_the_first_frame_counts():
    frames = [Image.new("L", (3, 3), value) for value in (10, 90, 200)]
    encoded = io.BytesIO()
    frames[0].save(encoded, "GIF", save_all=True, append_images=frames[1:])
    assert (images.decode_upright(encoded.getvalue(), "x") == 10).all()
    assert images.count_frames(encoded.getvalue()) == 3
    assert images.count_frames(encode(frames[0], "PNG")) == 1
    assert images.count_frames(b"no image") == 1
    encoded = io.BytesIO()
    frames[0].save(encoded, "MPO", save_all=True, append_images=frames[1:])
    assert images.count_frames(encoded.getvalue()) == 1  # as telephones store photographs


@pytest.mark.parametrize(
    ("owner", "bound", "value"),
    [(images, "MAX_PIXELS", 24), (images, "MAX_SIDE", 4), (Image, "MAX_IMAGE_PIXELS", 10)],
)
def test_an_image_beyond_all_bounds_is_refused(monkeypatch, owner, bound, value):
    monkeypatch.setattr(owner, bound, value)
    with pytest.raises(UserError, match="x is too large an image .*: store it smaller, with at mo"):
        upright(Image.new("L", (5, 5)), "PNG")
    assert upright(Image.new("L", (4, 2)), "PNG").shape == (2, 4, 3)


def test_other_programs_are_never_run(monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)  # reading one would call it
    encoded = encode(Image.new("L", (5, 5)), "EPS")
    with pytest.raises(UserError, match="x.png is a damaged image .of no known format"):
        images.decode(encoded, "x.png")


def test_a_palette_that_is_missing_is_named():
    palette = Image.new("P", (5, 5))
    palette.putpalette([1, 2, 3])
    encoded = encode(palette, "PNG").replace(b"PLTE", b"tESt")
    with pytest.raises(UserError, match="x (cannot become RGB|is a damaged image)"):
        images.decode(encoded, "x")


def test_which_files_are_images():
    for name in ("a.jpg", "a b/C.JPEG", "x.tiff", "ü.webp", "y.Gif"):
        assert images.is_image_name(name), name
    no_images = ("a.txt", "jpg", ".jpg", "._a.jpg", "a.pdf", "a.mpg", "a.npz", "a.jpg.part")
    for name in (*no_images, "a.jpg.segments.png", "a.jpg.Segments.PNG"):
        assert not images.is_image_name(name), name
