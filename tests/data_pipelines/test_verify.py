"""Verification: silent on what is intact, names what is not."""

import json
import shutil

import numpy as np
import pytest

from data_pipelines.building.masks import boxes_of
from data_pipelines.building.verify import find_problem, verify
from data_pipelines.records import PREPARED
from dias_jax.errors import UserError


@pytest.fixture
def copy(coco, tmp_path):
    """A copy of the prepared data set, to be damaged."""
    return shutil.copytree(coco.data_dir / PREPARED["coco"], tmp_path / "coco" / "2.0.0")


def test_an_intact_data_set(copy):
    line = verify(copy)
    assert line.startswith("coco: every record is intact: 11 of 118287 published train, 7 of 5000")


def overwrite(path):
    content = bytearray(path.read_bytes())
    content[10_000:10_200] = bytes(200)
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:70_000])


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [overwrite, truncate, remove])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_damaged_file_is_named(copy, damage, split):
    (path,) = copy.glob(f"*-{split}.array_record*")
    damage(path)
    with pytest.raises(UserError, match=f"of {split} in {copy} cannot be read") as caught:
        verify(copy)
    assert "\n" not in str(caught.value)


def test_a_wrong_bound_is_found(copy):
    path = copy / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"num_masks": metadata["num_masks"] - 1}))
    with pytest.raises(UserError, match="has up to 6 masks an image but records 5"):
        verify(copy)


def test_problems_of_a_sample():
    mask = np.ones((4, 6), np.uint8)
    mask[1:3, 2:5] = 2
    sample = {
        "image": np.zeros((4, 6, 3)),
        "mask": mask,
        "classes": [7],
        "boxes": boxes_of(mask, 1),
    }
    np.testing.assert_allclose(sample["boxes"], [[2 / 6, 1 / 4, 5 / 6, 3 / 4]], rtol=1e-6)
    assert find_problem(sample) is None
    assert find_problem(sample | {"depth": mask}) is None
    for change, problem in [
        ({"mask": mask[1:]}, "mask and image of different size"),
        ({"depth": mask[1:]}, "depth and image of different size"),
        ({"mask": mask + 1}, "other masks than its 1 objects"),
        ({"classes": []}, "other masks than its 0 objects"),
        ({"boxes": sample["boxes"] * 0.9}, "boxes that do not surround"),
        ({"boxes": sample["boxes"][:0]}, "boxes that do not surround"),
    ]:
        assert problem in find_problem(sample | change)
