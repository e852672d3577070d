"""COCO from instance annotation: polygons and run lengths, who is on top, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines.building.build import build
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.sets import coco_instance
from data_pipelines.sets.coco import Coco
from data_pipelines.sets.coco_instance import CocoInstance
from dias_jax.errors import UserError

HEIGHT, WIDTH = 12, 16


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(mask):
    """COCO's uncompressed form: down the columns, zeros first."""
    pixels = mask.T.ravel()
    ends = np.flatnonzero(np.diff(pixels)) + 1
    lengths = np.diff([0, *ends, pixels.size]).tolist()
    counts = [0, *lengths] if pixels[0] else lengths
    return {"size": list(mask.shape), "counts": counts}


def boxed(left, top, right, bottom):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def annotation(number, category, shape, crowd=0):
    return {
        "id": number,
        "image_id": 7,
        "category_id": category,
        "iscrowd": crowd,
        "segmentation": shape,
    }


ANNOTATIONS = [
    annotation(50, 3, [rectangle(1, 1, 4, 4), rectangle(8, 1, 10, 3)]),  # one thing, two parts
    annotation(20, 1, [rectangle(2, 2, 9, 9)]),  # larger: below 50, though its number is lower
    annotation(30, 2, run_lengths(boxed(0, 0, 12, 6)), crowd=1),  # below all others
    annotation(60, 4, run_lengths(boxed(4, 4, 6, 6))),  # small, on top of 20
    annotation(70, 5, run_lengths(boxed(4, 4, 6, 6))),  # covers 60 completely
]


def expected_mask():
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    mask[boxed(0, 0, 12, 6)] = 3
    mask[boxed(2, 2, 9, 9)] = 2
    mask[boxed(1, 1, 4, 4) | boxed(8, 1, 10, 3)] = 4
    mask[boxed(4, 4, 6, 6)] = 5
    return mask


@pytest.fixture
def source(tmp_path):
    """Two images a split, the second without any instance."""
    folder = tmp_path / "source"
    (folder / "annotations").mkdir(parents=True)
    images = [
        {"id": number, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH}
        for number in (7, 3)
    ]
    categories = [{"id": number, "name": f"kind {number}"} for number in range(1, 6)]
    table = {"images": images, "annotations": ANNOTATIONS, "categories": categories}
    for split in ("train2017", "val2017"):
        (folder / split).mkdir()
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(table))
        for image in images:
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / split / image["file_name"])
    return folder


def test_masks_classes_and_protocol(source, tmp_path):
    pytest.importorskip("pycocotools")
    summary = build(CocoInstance(source=source, data_dir=tmp_path))
    assert summary.startswith("coco_instance: 2 of 118287 published train, 2 of 5000 published")
    split = PreparedSplit(prepared_directory("coco_instance", tmp_path), "train")
    np.testing.assert_array_equal(split[0]["mask"], expected_mask())
    assert split[0]["classes"].tolist() == [1, 2, 3, 5]  # by number: 20, 30, 50, 70
    assert split[0]["crowd"].tolist() == [False, True, False, False]
    assert (split[1]["mask"] == 1).all() and len(split[1]["classes"]) == 0
    assert split.num_masks == 5
    assert split.protocol(64) == (
        "instance annotation (the smaller on top, all other pixels background), centre square "
        "crop, resize 64, background counted"
    )


def test_compressed_run_lengths():
    tools = pytest.importorskip("pycocotools.mask")
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    for mask in (boxed(3, 2, 9, 8), ~boxed(0, 0, 15, 12), noise, boxed(0, 0, 0, 0)):
        encoded = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        shape = {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}
        for form in (shape, run_lengths(mask)):
            found = coco_instance.outline(annotation(1, 1, form), HEIGHT, WIDTH, "x", tools)
            np.testing.assert_array_equal(tools.decode(found), mask)


@pytest.mark.parametrize(
    "shape, reason",
    [
        ([], "less than three points"),
        ([[1, 2, 3, 4]], "less than three points"),
        ([[0, 0, 1e9, 0, 5, 5]], "outside of the image"),
        ([[float("nan")] * 6], "outside of the image"),
        ({"size": [3, 4], "counts": [12]}, "of an image of size"),
        ({"size": [HEIGHT, WIDTH], "counts": [5]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": "zzzz"}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "no valid outline"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 10**6}, "a run length without an end"),
        ({"size": [HEIGHT, WIDTH], "counts": [95.5, 96.5]}, "that are no whole numbers"),
        ({"size": "12", "counts": [192]}, "of an image of size"),
        ([["1", "2", "3", "4", "5", "6"]], "of other things than numbers"),
        ([[[1, 2], [3, 4], [5, 6], [7, 8], [9, 9], [1, 1]]], "of other things than numbers"),
        (["123456"], "of other things than numbers"),
        ([[10**400] * 6], "no valid outline"),
        (None, "no valid outline"),
    ],
)
def test_what_is_no_outline_is_named(shape, reason):
    tools = pytest.importorskip("pycocotools.mask")
    with pytest.raises(UserError, match=f"instance 9 of x.jpg .*{reason}"):
        coco_instance.paint([annotation(9, 1, shape)], HEIGHT, WIDTH, "x.jpg", tools)


def test_too_many_instances():
    with pytest.raises(UserError, match="x.jpg has 255 instances; at most 254"):
        coco_instance.paint([annotation(1, 1, [])] * 255, HEIGHT, WIDTH, "x.jpg", None)


def test_without_the_extra(source, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(UserError, match=r"needs pycocotools: pip install \"dias_jax\[coco\]\""):
        build(CocoInstance(source=source, data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_coco_says_what_is_missing_and_what_could_be_had(source, tmp_path):
    message = (
        r" is missing: unpack http.*panoptic_annotations_trainval2017.zip in .*source, and .*"
        r"where they are, or prepare coco_instance from instances_val2017.json"
    )
    with pytest.raises(UserError, match=f"panoptic_val2017.json{message}"):
        build(Coco(source=source, data_dir=tmp_path / "data"))
    (source / "annotations" / "panoptic_val2017.json").write_text("{}")
    with pytest.raises(UserError, match=f"panoptic_val2017{message}"):  # the folder of pictures
        build(Coco(source=source, data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "table, message",
    [
        ("{", "is not valid JSON"),
        ("{}", "holds no categories"),
        ('{"categories": [], "images": [], "annotations": []}', "holds no categories"),
        ('{"categories": [{"id": 1, "name": "dog"}]}', "holds no images"),
        ("[]", "holds no categories"),
        ('{"categories": [{"id": 1, "name": 5}]}', "has a damaged entry in categories, {'id': 1"),
        ('{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "two categories of i"),
        (None, "is missing: unpack http.*annotations_trainval2017.zip"),
    ],
)
def test_other_tables_are_refused(source, tmp_path, table, message, monkeypatch):
    monkeypatch.setattr(coco_instance, "import_mask_tools", lambda: None)
    for path in source.glob("annotations/*.json"):
        path.unlink() if table is None else path.write_text(table)
    with pytest.raises(UserError, match=message):
        build(CocoInstance(source=source, data_dir=tmp_path / "data"))


@pytest.mark.parametrize(
    "place, key, value",
    [
        ("images", "height", 12.0),
        ("images", "width", None),
        ("images", "width", 0),
        ("images", "file_name", 7),
        ("images", "file_name", "../outside.jpg"),
        ("images", "file_name", "a\0.jpg"),
        ("images", "file_name", "/etc/passwd"),
        ("images", "file_name", ".."),
        ("images", "file_name", ""),
        ("images", "height", -1),
        ("images", "height", 10**9),
        ("images", "height", float("nan")),
        ("images", "id", 7.0),
        ("images", "id", None),
        ("images", "id", "7"),
        ("annotations", "image_id", 99),
        ("annotations", "image_id", [7]),
        ("annotations", "category_id", 6),
        ("annotations", "id", "x"),
        ("annotations", "category_id", "dog"),
        ("annotations", "category_id", 2**40),
        ("annotations", "iscrowd", "no"),
    ],
)
def test_entries_of_another_type_are_named(source, tmp_path, monkeypatch, place, key, value):
    monkeypatch.setattr(coco_instance, "import_mask_tools", lambda: None)
    path = source / "annotations" / "instances_train2017.json"
    table = json.loads(path.read_text())
    table[place][0][key] = value
    path.write_text(json.dumps(table))
    with pytest.raises(UserError, match=rf"has a damaged entry in {place}, {{.*}}: take the publ"):
        build(CocoInstance(source=source, data_dir=tmp_path / "data"))


@pytest.mark.parametrize("place", ["images", "annotations"])
def test_entries_of_one_number_are_refused(source, tmp_path, monkeypatch, place):
    monkeypatch.setattr(coco_instance, "import_mask_tools", lambda: None)
    path = source / "annotations" / "instances_train2017.json"
    table = json.loads(path.read_text())
    table[place].append(table[place][0])
    path.write_text(json.dumps(table))
    with pytest.raises(UserError, match=f"has two {place} of id {table[place][0]['id']}: take th"):
        build(CocoInstance(source=source, data_dir=tmp_path / "data"))


def test_an_image_of_another_size_is_refused(source, tmp_path):
    pytest.importorskip("pycocotools")
    shutil.copy(source / "train2017" / "7.jpg", source / "train2017" / "3.jpg")
    Image.new("RGB", (5, 6)).save(source / "train2017" / "7.jpg")
    with pytest.raises(UserError, match=r"7.jpg in .* is \(12, 16\) pixels but .*7.jpg is \(6, 5"):
        build(CocoInstance(source=source, data_dir=tmp_path))
