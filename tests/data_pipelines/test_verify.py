"""Verification: silent on what is intact, names what is not."""

import json
import shutil

import numpy as np
import pytest

from data_pipelines.building.build import build
from data_pipelines.building.masks import boxes_of
from data_pipelines.building.verify import find_problem, verify
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets.coco import Coco
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


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("num_masks", "message"),
    [(7, "has up to 6 masks an image but records 7"), (5, "contradicts its mask or the number of")],
)
def test_a_wrong_bound_is_found(copy, num_masks, message):
    change(copy / "metadata.json", num_masks=num_masks)
    with pytest.raises(UserError, match=message):
        verify(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_masks": "6"}, "num_masks is '6' in metadata.json"),
        ({"num_masks": 300}, "num_masks or max_side is out of range"),
        ({"max_side": -1}, "num_masks or max_side is out of range"),
        ({"max_side": None}, "max_side is None in metadata.json"),
        ({"upright": []}, r"upright is \[\] in metadata.json"),
        ({"annotation": 1.5}, "annotation is 1.5 in metadata.json"),
        ({"published_sizes": 3}, "published_sizes is 3 in metadata.json"),
        ({"kinds": [3]}, r"kinds is \[3\] in metadata.json"),
        ({"kinds": {"form": []}}, "a property has no kinds in metadata.json"),
    ],
)
@pytest.mark.parametrize(
    "read",
    [
        verify,
        lambda copy: PreparedSplit(copy, "train"),
        lambda copy: build(Coco(source=copy, data_dir=copy.parents[1])),
    ],
)
def test_damaged_metadata_is_named_wherever_it_is_read(copy, changes, message, read):
    change(copy / "metadata.json", **changes)
    with pytest.raises(UserError, match=f"2.0.0 (is damaged .*{message}|was prepared with --max_)"):
        read(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fileFormat", "file", "is damaged"),
        ('"11"', '"0"', "is damaged .*no sample in train"),
        ('"11"', '"9"', "is damaged .*11 records in train, not 9"),
        ('"11"', '"12"', "sample 11 of train in .* cannot be read"),
        ("array_record", "tfrecord", "is damaged"),
        ("train", "test", "cannot be read|is damaged"),
    ],
)
def test_damaged_descriptions_of_splits_are_named(copy, old, new, message):
    path = copy / "dataset_info.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        verify(copy)


def test_missing_features_are_named(copy):
    path = copy / "features.json"
    path.write_text(path.read_text().replace('"mask"', '"other"'))
    with pytest.raises(UserError, match="mask missing in features.json"):
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
