"""Data sets stored with smaller images: what changes, and where it is said."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines import sources
from data_pipelines.building.build import build
from data_pipelines.building.builder import Sample
from data_pipelines.building.shrink import shrink
from data_pipelines.building.verify import verify
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.sets.coco import Coco
from dias_jax.errors import UserError


def encoded(array, image_format):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, image_format)
    return stream.getvalue()


def make_sample(mask, classes):
    image = np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), np.uint8)
    depth = encoded((mask * 9).astype(np.uint8), "png")
    return Sample("image", "mask", encoded(image, "png"), mask, classes, depth, image)


def test_masks_keep_their_classes_and_lost_objects_go():
    mask = np.ones((8, 16), np.uint8)
    mask[0, 0] = 2  # no pixel of it is looked at
    mask[2:6, 4:12], mask[6:, 12:] = 3, 4
    sample = make_sample(mask, [7, 8, 9])
    kinds = [[0, 1], [2, -1], [4, 5]]
    small = shrink(sample._replace(crowd=[False, False, True], kinds=kinds), 8)
    expected = np.ones((4, 8), np.uint8)
    expected[1:3, 2:6], expected[3:, 6:] = 2, 3
    np.testing.assert_array_equal(small.mask, expected)
    assert small.classes == [8, 9] and small.crowd == [False, True]
    assert small.kinds == kinds[1:]
    assert shrink(sample, 8).crowd is None and shrink(sample, 8).kinds is None
    assert Image.open(io.BytesIO(small.image)).size == (8, 4)
    depth = np.asarray(Image.open(io.BytesIO(small.depth)))
    np.testing.assert_array_equal(depth, np.array([0, 9, 27, 36])[expected])


def test_small_images_stay_as_published():
    sample = make_sample(np.ones((8, 16), np.uint8), [])
    assert shrink(sample, 16) is sample


def test_a_data_set_of_smaller_images_says_so(coco, coco_config, tmp_path):
    build(Coco(source=coco.source, data_dir=tmp_path, max_side=48))
    coco_config.data_dir = str(tmp_path)
    directory = prepared_directory("coco", tmp_path)
    assert "every record is intact" in verify(directory)
    split = PreparedSplit(directory, "validation")
    assert {max(split[i]["image"].shape) for i in range(len(split))} == {48}
    assert (
        sources.open_split(coco_config, "validation")
        .protocol(24)
        .startswith("stored with at most 48 pixels a side, ")
    )
    with pytest.raises(UserError, match="prepared with --max_side=48, not 0.*another --data_dir"):
        build(Coco(source=coco.source, data_dir=tmp_path))
