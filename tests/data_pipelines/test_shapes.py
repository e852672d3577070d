"""Drawn scenes: exact masks, visible objects, determinism, disjoint splits."""

import pickle

import numpy as np
import pytest

from data_pipelines.drawn import forms, shapes
from dias_jax.errors import UserError


def test_a_scene_is_a_pure_function_of_its_number():
    first = shapes.render(7, "train", 64)
    again = shapes.render(7, "train", 64)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_splits_seeds_and_numbers_differ():
    scenes = [
        shapes.render(index, split, 32, seed)[0].tobytes()
        for index in range(20)
        for split in shapes.SPLIT_SIZES
        for seed in (0, 1)
    ]
    assert len(set(scenes)) == len(scenes)


@pytest.mark.parametrize("size", [64, 96, 128])
def test_masks_show_three_to_six_visible_objects(size):
    numbers = set()
    for index in range(150):
        image, mask = shapes.render(index, "validation", size)
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        assert mask.shape == (size, size) and mask.dtype == np.uint8
        areas = np.bincount(mask.ravel())
        assert areas[0] == 0  # every pixel is annotated
        num_objects = len(areas) - 2
        assert shapes.MIN_OBJECTS <= num_objects <= shapes.MAX_OBJECTS
        assert areas[1:].min() >= 0.008 * size * size
        numbers.add(num_objects)
    assert numbers == {3, 4, 5, 6}


def test_a_scene_looks_the_same_at_every_size():
    for index in range(10):
        small, small_mask = shapes.render(index, "train", 64)
        large, large_mask = shapes.render(index, "train", 192)
        # Each small pixel's centre is the centre of a block of 3 x 3 large pixels. The pixels on
        # an outline's exact rounding and the few scenes where an attempt to place an object is
        # decided by a pixel are the slack.
        assert (large_mask[1::3, 1::3] == small_mask).mean() > 0.97
        blocks = large.reshape(64, 3, 64, 3, 3).mean((1, 3))
        assert np.abs(blocks - small).mean() < 8


def test_objects_differ_from_their_surroundings():
    """The mean colour of an object is told from the ground's in almost every scene."""
    distances = []
    for index in range(100):
        image, mask = shapes.render(index, "train", 64)
        ground = image[mask == 1].mean(0)
        distances += [
            np.linalg.norm(image[mask == number].mean(0) - ground)
            for number in range(2, mask.max() + 1)
        ]
    assert np.quantile(distances, 0.05) > 25


@pytest.mark.parametrize("form", forms.ALL_FORMS)
@pytest.mark.parametrize("style", [0.0, 0.4, 0.99])
def test_forms_are_signed_distances(form, style):
    steps = np.linspace(-1.6, 1.6, 321, dtype=np.float32)
    x, y = np.meshgrid(steps, steps)
    distance = form(x, y, style)
    assert distance.shape == x.shape and distance.dtype == np.float32
    radius = np.hypot(x, y)
    assert (distance[radius > 1.05] > 0).all()  # inside the window that is drawn
    assert 0.2 < (distance <= 0).mean() * 3.2**2 < 3.2  # an area, in squared radii
    # Near the outline the distance grows by about one unit a unit: edges are one pixel soft.
    down, across = np.gradient(distance, steps, steps)
    slope = np.hypot(down, across)[np.abs(distance) < 0.02]
    assert 0.7 < np.median(slope) < 1.3


def test_source():
    source = pickle.loads(pickle.dumps(shapes.Shapes("test", size=32, seed=5)))
    assert len(source) == shapes.SPLIT_SIZES["test"]
    assert source.num_masks == 7
    sample = source[np.int64(3)]
    image, mask = shapes.render(3, "test", 32, 5)
    np.testing.assert_array_equal(sample["image"], image)
    np.testing.assert_array_equal(sample["mask"], mask)
    assert sample["index"] == 3


def test_unknown_split():
    with pytest.raises(UserError, match="choose one of train"):
        shapes.Shapes("val")
