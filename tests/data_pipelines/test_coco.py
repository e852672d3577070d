"""COCO: what is read is what was published; whatever contradicts itself is refused by name."""

import json
import pathlib
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets import coco as builder_module
from dias_jax.errors import UserError

TRAIN_TABLE = "annotations/panoptic_train2017.json"


def prepared_directory(data_dir):
    return pathlib.Path(data_dir) / PREPARED["coco"]


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
    assert "11 of 118287 published train, 7 of 5000 published" in coco.summary
    assert f"at most {largest} masks" in coco.summary
    metadata = json.loads((prepared_directory(coco.data_dir) / "metadata.json").read_text())
    assert metadata["num_masks"] == largest


def test_source_pickles_and_skips_masks(coco):
    source = PreparedSplit(prepared_directory(coco.data_dir), "train", with_masks=False)
    sample = pickle.loads(pickle.dumps(source))[np.int64(2)]
    assert set(sample) == {"image", "index"}
    np.testing.assert_array_equal(sample["image"], source[2]["image"])


def test_preparing_twice_keeps_the_first(coco):
    stamp = (prepared_directory(coco.data_dir) / "dataset_info.json").stat().st_mtime_ns
    assert build(builder_module.Coco(source=coco.source, data_dir=coco.data_dir)) == coco.summary
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
    path = source / "annotations/panoptic_val2017.json"
    path.write_text(json.dumps({"annotations": json.loads(path.read_text())["annotations"]}))


def break_table(source):
    (source / TRAIN_TABLE).write_text('{"annotations": [{"bbox": []}]}')


def lead_outside(source):
    edit_table(source, lambda entry: entry.update(file_name="../../x.png"))


def repeat_segment(source):
    edit_table(source, lambda entry: entry["segments_info"].append(entry["segments_info"][0]))


def damage_segment(source):
    edit_table(source, lambda entry: entry["segments_info"][0].update(id=-5))


def damage_crowd(source):
    edit_table(source, lambda entry: entry["segments_info"][0].update(iscrowd="no"))


def repeat_picture(source):
    edit_table(source, lambda entry: entry.update(file_name="train_006.png"))


def nest_deeply(source):
    (source / TRAIN_TABLE).write_text("[" * 100_000)


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
        (remove_categories, "panoptic_val2017.json holds no categories"),
        (break_table, "panoptic_train2017.json has a damaged entry in annotations, .*bbox"),
        (lead_outside, "train2017.json has a damaged entry in annotations, .*'../../x.png'"),
        (repeat_segment, "train2017.json has a damaged entry in annotations, .*'train_005.png'"),
        (damage_segment, "train2017.json has a damaged entry in annotations, .*'train_005.png'"),
        (damage_crowd, "train2017.json has a damaged entry in annotations, .*'train_005.png'"),
        (repeat_picture, "has two annotations of file_name 'train_006.png'"),
        (nest_deeply, "panoptic_train2017.json is not valid JSON"),
        (truncate_table, "panoptic_train2017.json is not valid JSON"),
    ],
)
def test_a_bad_source_is_named_and_leaves_nothing(coco, tmp_path, damage, message):
    source = tmp_path / "source"
    shutil.copytree(coco.source, source)
    damage(source)
    with pytest.raises(UserError, match=message) as caught:
        build(builder_module.Coco(source=source, data_dir=tmp_path / "prepared"))
    assert "\n" not in str(caught.value)
    assert not prepared_directory(tmp_path / "prepared").exists()


@pytest.mark.parametrize("table", ["[]", "3", "null", '{"annotations": {"a": 1}}', "[[[]]]"])
def test_tables_of_another_kind(tmp_path, table):
    (tmp_path / "table.json").write_text(table)
    with pytest.raises(UserError, match="table.json holds no annotations: take the published one"):
        builder_module.read_annotations(tmp_path / "table.json")


def test_links_out_of_the_source_are_followed(coco, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(coco.source, source)
    path = source / "train2017" / "train_005.jpg"
    path.rename(tmp_path / "elsewhere.jpg")
    path.symlink_to(tmp_path / "elsewhere.jpg")
    assert "11 of 118287" in build(builder_module.Coco(source=source, data_dir=tmp_path / "data"))


def test_index_map_orders_things_by_segment_id():
    identifiers = np.array([[300, 0, 70_000], [5, 5, 16_777_215]])
    segments = np.stack([identifiers >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    infos = {70_000: 1, 5: 1, 300: 100, 16_777_215: 1}
    segments_info = [{"id": i, "category_id": c, "iscrowd": int(i == 5)} for i, c in infos.items()]
    del segments_info[0]["iscrowd"]  # it may be left out
    annotation = {"segments_info": segments_info}
    table = builder_module.new_segment_table()
    for _ in range(2):  # the table is left as it was
        mask, classes, crowd = builder_module.index_map(
            segments.astype(np.uint8), annotation, {1: True, 100: False}, "x.png", table
        )
        np.testing.assert_array_equal(mask, [[1, 0, 3], [2, 2, 4]])
        assert classes == [1, 1, 1] and crowd == [True, False, False]


def test_every_segment_is_an_object_in_panoptic_mode(coco, tmp_path):
    build(builder_module.CocoPanoptic(source=coco.source, data_dir=tmp_path))
    table = json.loads((coco.source / TRAIN_TABLE).read_text())["annotations"]
    split = PreparedSplit(tmp_path / PREPARED["coco_panoptic"], "train")
    for index, annotation in enumerate(table):
        sample, things = (
            split[index],
            PreparedSplit(prepared_directory(coco.data_dir), "train")[index],
        )
        segments = sorted(annotation["segments_info"], key=lambda info: info["id"])
        assert sample["classes"].tolist() == [info["category_id"] for info in segments]
        assert not (sample["mask"] == 1).any()
        np.testing.assert_array_equal(sample["mask"] == 0, things["mask"] == 0)
        stuff = np.isin(sample["mask"], 2 + np.flatnonzero(sample["classes"] >= 100))
        np.testing.assert_array_equal(stuff, things["mask"] == 1)


def test_classes_and_boxes_belong_to_the_masks(coco):
    table = json.loads((coco.source / TRAIN_TABLE).read_text())["annotations"]
    split = PreparedSplit(prepared_directory(coco.data_dir), "train")
    for index in range(len(table)):
        sample = split[index]
        assert sample["classes"].tolist() == [1] * (sample["mask"].max() - 1)
        assert sample["boxes"].dtype == np.float32
        height, width = sample["mask"].shape
        for number, box in enumerate(sample["boxes"], start=2):
            rows, columns = np.nonzero(sample["mask"] == number)
            edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box * [width, height, width, height], edges, rtol=1e-5)
    names = json.loads((prepared_directory(coco.data_dir) / "metadata.json").read_text())
    assert names["categories"] == {"1": "object", "100": "ground", "101": "other ground"}


def crowds_of(entry):
    """Of the things of an entry, by segment id."""
    segments = sorted(entry["segments_info"], key=lambda info: info["id"])
    return [bool(info["iscrowd"]) for info in segments if info["category_id"] < 100]


def test_crowds_are_told(coco, coco_config):
    table = json.loads((coco.source / TRAIN_TABLE).read_text())["annotations"]
    split = PreparedSplit(prepared_directory(coco.data_dir), "train")
    expected = [crowds_of(entry) for entry in table]
    assert [split[index]["crowd"].tolist() for index in range(len(table))] == expected
    assert any(map(any, expected)) and not all(map(all, expected))
    (batch,) = pipeline.evaluation_batches(coco_config, "train", len(table))
    assert batch["crowd"].shape == batch["classes"].shape and batch["crowd"].dtype == bool
    for crowd, classes, told in zip(batch["crowd"], batch["classes"], expected):
        is_seen = classes[: len(told)] >= 0
        assert crowd[: len(told)].tolist() == (np.array(told) & is_seen).tolist()
        assert not crowd[len(told) :].any()
    assert batch["crowd"].any()


def test_what_was_prepared_before_crowds_were_told(coco, coco_config, tmp_path, monkeypatch):
    """It stays as it is when it is prepared again, and batches tell of no crowd."""
    monkeypatch.setattr(builder_module.Coco, "HAS_CROWDS", False)
    summary = build(builder_module.Coco(source=coco.source, data_dir=tmp_path))
    monkeypatch.undo()
    directory = prepared_directory(tmp_path)
    assert "crowd" not in (directory / "features.json").read_text()
    files = {path: path.read_bytes() for path in directory.iterdir()}
    assert build(builder_module.Coco(source=coco.source, data_dir=tmp_path)) == summary
    assert {path: path.read_bytes() for path in directory.iterdir()} == files
    assert "every record is intact" in verify(directory)
    old, new = (
        PreparedSplit(path, "train")[2] for path in (directory, prepared_directory(coco.data_dir))
    )
    assert old.keys() == new.keys() - {"crowd"}
    coco_config.data_dir = str(tmp_path)
    batch = next(pipeline.evaluation_batches(coco_config, "train", 4))
    assert batch["crowd"].shape == batch["classes"].shape and not batch["crowd"].any()


def test_real_photographs(shared_data, tmp_path):
    summary = build(builder_module.Coco(source=shared_data("coco_mini"), data_dir=tmp_path))
    assert "100 of 118287 published train, 100 of 5000 published validation images" in summary
    assert "at most 43 masks" in summary
    split = PreparedSplit(prepared_directory(tmp_path), "validation")
    samples = [split[index] for index in range(len(split))]
    assert max(int(sample["mask"].max()) for sample in samples) <= split.num_masks
    for sample in samples:
        assert sample["image"].shape == (*sample["mask"].shape, 3)
        assert len(sample["classes"]) == max(int(sample["mask"].max()) - 1, 0)
    path = shared_data("coco_mini") / "annotations/panoptic_val2017.json"
    annotations = json.loads(path.read_text())["annotations"]
    count = sum(info["iscrowd"] for entry in annotations for info in entry["segments_info"])
    assert count == sum(int(sample["crowd"].sum()) for sample in samples) > 0
