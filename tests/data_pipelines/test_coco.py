"""COCO: what is read is what was published; whatever contradicts itself is refused by name."""

import json
import os
import pathlib
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines import coco as builder_module
from data_pipelines import pipeline
from data_pipelines.records import PreparedSplit
from dias_jax.errors import UserError

SHARED = pathlib.Path(
    os.environ.get("DIAS_JAX_SHARED", pathlib.Path(__file__).parents[3] / "shared")
)
TRAIN_TABLE = "annotations/panoptic_train2017.json"


def prepared_directory(data_dir):
    return pathlib.Path(data_dir) / pipeline.PREPARED["coco"]


def test_samples_are_the_published_ones(coco):
    for split, folder in builder_module.SOURCE_SPLITS.items():
        source = PreparedSplit(prepared_directory(coco.data_dir), split)
        assert len(source) == len(list((coco.source / folder).iterdir()))
        for index in range(len(source)):
            stem = f"{split}_{index:03d}"
            sample = source[index]
            published = Image.open(coco.source / folder / f"{stem}.jpg").convert("RGB")
            np.testing.assert_array_equal(sample["image"], np.array(published))
            np.testing.assert_array_equal(sample["mask"], coco.expected[stem])
            assert sample["index"] == index


def test_number_of_masks_is_recorded(coco):
    largest = max(int(mask.max()) for mask in coco.expected.values())
    source = PreparedSplit(prepared_directory(coco.data_dir), "train")
    assert source.num_masks == largest
    assert f"11 train, 7 validation images, at most {largest} masks" in coco.summary
    metadata = json.loads((prepared_directory(coco.data_dir) / "metadata.json").read_text())
    assert metadata["num_masks"] == largest


def test_source_pickles_and_skips_masks(coco):
    source = PreparedSplit(prepared_directory(coco.data_dir), "train", with_masks=False)
    sample = pickle.loads(pickle.dumps(source))[np.int64(2)]
    assert set(sample) == {"image", "index"}
    np.testing.assert_array_equal(sample["image"], source[2]["image"])


def test_preparing_twice_keeps_the_first(coco):
    stamp = (prepared_directory(coco.data_dir) / "dataset_info.json").stat().st_mtime_ns
    assert builder_module.prepare(coco.source, coco.data_dir) == coco.summary
    assert (prepared_directory(coco.data_dir) / "dataset_info.json").stat().st_mtime_ns == stamp


def edit_table(source, edit):
    path = source / TRAIN_TABLE
    table = json.loads(path.read_text())
    edit(table["annotations"][5])
    path.write_text(json.dumps(table))


def remove_image(source):
    (source / "train2017" / "train_005.jpg").unlink()


def truncate_image(source):
    path = source / "train2017" / "train_005.jpg"
    path.write_bytes(path.read_bytes()[:900])


def resize_mask(source):
    path = source / "annotations/panoptic_train2017/train_005.png"
    Image.open(path).resize((40, 30), Image.Resampling.NEAREST).save(path)


def drop_segment(source):
    edit_table(source, lambda entry: entry["segments_info"].pop())


def add_segment(source):
    extra = {"id": 12, "category_id": 1}
    edit_table(source, lambda entry: entry["segments_info"].append(extra))


def change_category(source):
    edit_table(source, lambda entry: entry["segments_info"][0].update(category_id=55))


def add_many_segments(source):
    extra = [{"id": 1000 + number, "category_id": 1} for number in range(255)]
    edit_table(source, lambda entry: entry["segments_info"].extend(extra))


def remove_categories(source):
    (source / "panoptic_coco_categories.json").unlink()


def break_table(source):
    (source / TRAIN_TABLE).write_text('{"annotations": [{"bbox": []}]}')


def truncate_table(source):
    (source / TRAIN_TABLE).write_text('{"annotations": [')


@pytest.mark.parametrize(
    "damage, message",
    [
        (remove_image, "cannot read .*train_005.jpg"),
        (truncate_image, "train_005.jpg is a damaged image"),
        (resize_mask, "train_005.png is .30, 40. pixels but .*train_005.jpg"),
        (drop_segment, "train_005.png shows a segment that its JSON does not list"),
        (add_segment, "train_005.png lacks a segment"),
        (change_category, "train_005.png has segments of category 55"),
        (add_many_segments, "train_005.png has .* segments; at most 254"),
        (remove_categories, "cannot read .*panoptic_coco_categories.json"),
        (break_table, "panoptic_train2017.json holds no panoptic annotations"),
        (truncate_table, "panoptic_train2017.json is not valid JSON"),
    ],
)
def test_a_bad_source_is_named_and_leaves_nothing(coco, tmp_path, damage, message):
    source = tmp_path / "source"
    shutil.copytree(coco.source, source)
    damage(source)
    with pytest.raises(UserError, match=message) as caught:
        builder_module.prepare(source, tmp_path / "prepared")
    assert "\n" not in str(caught.value)
    assert not prepared_directory(tmp_path / "prepared").exists()


def test_index_map_orders_things_by_segment_id():
    identifiers = np.array([[300, 0, 70_000], [5, 5, 16_777_215]])
    segments = np.stack([identifiers >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    infos = {70_000: 1, 5: 1, 300: 100, 16_777_215: 1}
    annotation = {"segments_info": [{"id": i, "category_id": c} for i, c in infos.items()]}
    table = builder_module.new_segment_table()
    for _ in range(2):  # the table is left as it was
        mask = builder_module.index_map(
            segments.astype(np.uint8), annotation, {1: True, 100: False}, "x.png", table
        )
        np.testing.assert_array_equal(mask, [[1, 0, 3], [2, 2, 4]])


def test_real_photographs(tmp_path):
    source = SHARED / "data" / "coco_mini"
    if not source.is_dir():
        pytest.skip(f"no photographs at {source}")
    summary = builder_module.prepare(source, tmp_path)
    assert "100 train, 100 validation images, at most 43 masks" in summary
    split = PreparedSplit(prepared_directory(tmp_path), "validation")
    samples = [split[index] for index in range(len(split))]
    assert max(int(sample["mask"].max()) for sample in samples) <= split.num_masks
    for sample in samples:
        assert sample["image"].shape == (*sample["mask"].shape, 3)
