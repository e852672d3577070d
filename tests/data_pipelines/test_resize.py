"""Resizing gives PyTorch's results bit for bit; make_golden_views.py wrote them down."""

import json
import os
import pathlib
import zlib

import numpy as np
import pytest
from PIL import Image

from data_pipelines import resize, transforms
from data_pipelines.resize import resize_image, resize_mask

HERE = pathlib.Path(__file__).parent
SHARED = pathlib.Path(os.environ.get("DIAS_JAX_SHARED", HERE.parents[2] / "shared"))


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("num_values", [2**22, 1000])  # at once, and in parts
def test_resizing_equals_pytorch(number, num_values, monkeypatch):
    monkeypatch.setattr(resize, "_VALUES", num_values)
    golden = np.load(HERE / "golden_resize.npz")
    expected, expected_mask = golden[f"resized_image{number}"], golden[f"resized_mask{number}"]
    size = len(expected)
    np.testing.assert_array_equal(resize_image(golden[f"image{number}"], size), expected)
    np.testing.assert_array_equal(resize_mask(golden[f"mask{number}"], size), expected_mask)


@pytest.mark.parametrize("number", range(4))
def test_evaluation_view_equals_the_reference(number):
    path = SHARED / "golden" / "metrics.npz"
    if not path.exists():
        pytest.skip(f"golden numbers of the reference are not at {path}")
    golden = np.load(path)
    image, mask = transforms.evaluation_view(
        golden[f"prep{number}/image_u8"], golden[f"prep{number}/mask"]
    )
    np.testing.assert_array_equal(image, golden[f"prep{number}/image_resized_u8"])
    np.testing.assert_array_equal(mask, golden[f"prep{number}/mask_resized"])


def test_crops_of_photographs_equal_the_reference():
    folder = SHARED / "data" / "coco_mini"
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}")
    for view in json.loads((HERE / "golden_coco_views.json").read_text()):
        masks = folder / "annotations" / "panoptic_val2017"
        photograph = Image.open(folder / "val2017" / f"{view['file']}.jpg").convert("RGB")
        mask = np.array(Image.open(masks / f"{view['file']}.png"))[..., 0]
        image, mask = transforms._cut(np.array(photograph), mask, view["crop"], view["size"])
        found = {"image": zlib.crc32(image), "mask": zlib.crc32(mask)}
        assert found == {name: view[name] for name in found}, view["file"]


def test_what_is_enlarged_or_kept_stays_in_range():
    random = np.random.default_rng(0)
    image = random.choice(np.array([0, 255], np.uint8), (31, 17, 3))
    np.testing.assert_array_equal(resize_image(image[:17], 17), image[:17])
    for size in (1, 16, 31, 100):
        constant = resize_image(np.full((31, 17, 3), 255, np.uint8), size)
        np.testing.assert_array_equal(constant, 255)
        assert resize_image(image, size).shape == (size, size, 3)
