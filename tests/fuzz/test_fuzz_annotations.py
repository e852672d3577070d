"""Damaged annotation: COCO's JSON files, both kinds, VOC's lists and ClevrTex's scenes."""

import json

import numpy as np
import pytest
from damage import damaged_bytes, damaged_tree, right_or_one_line
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_pipelines.sets.clevrtex import find_materials
from data_pipelines.sets.coco import Coco
from data_pipelines.sets.coco_instance import CocoInstance
from data_pipelines.sets.voc import VocTrainaug

HEIGHT, WIDTH = 12, 16
POLYGON = [1, 1, 9, 1, 9, 7.5, 1, 8]
CATEGORIES = [{"id": 1, "name": "a", "isthing": 1}, {"id": 7, "name": "b", "isthing": 0}]
IMAGES = [
    {"id": number, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH}
    for number in (7, 3)
]
SHAPES = [[POLYGON, POLYGON[:6]], {"size": [12, 16], "counts": [20, 100, 72]}, [POLYGON]]
INSTANCES = {
    "categories": CATEGORIES,
    "images": IMAGES,
    "annotations": [
        {"id": i, "image_id": 7, "category_id": 1, "iscrowd": i % 2, "segmentation": shape}
        for i, shape in enumerate([*SHAPES, {"size": [12, 16], "counts": "V166000000000b2"}])
    ],
}
SEGMENTS = [{"id": 1, "category_id": 1, "iscrowd": 1}, {"id": 300, "category_id": 7}]
PANOPTIC = {
    "categories": CATEGORIES,
    "annotations": [
        {"file_name": f"{number}.png", "segments_info": SEGMENTS[: 1 + number % 2]}
        for number in (7, 4)
    ],
}


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """COCO's folders with both kinds of annotation."""
    folder = tmp_path_factory.mktemp("coco")
    for split in ("train2017", "val2017"):
        for number in (3, 4, 7):
            write(folder / split / f"{number}.jpg", Image.new("RGB", (WIDTH, HEIGHT)))
            colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            colours[:, :, 0] = 1
            colours[6:] = (44, 1, 0) if number % 2 else (1, 0, 0)
            path = folder / "annotations" / f"panoptic_{split}" / f"{number}.png"
            write(path, Image.fromarray(colours))
        for kind, table in (("instances", INSTANCES), ("panoptic", PANOPTIC)):
            (folder / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(table))
    return folder


def read_all(data_set):
    """Read whatever a source lists: -> number of samples."""
    count = 0
    data_set.categories()
    for items, read in data_set.published_splits().values():
        for item in items:
            sample = read(item)
            assert sample.mask.dtype == np.uint8
            assert sample.mask.max(initial=0) <= 1 + len(sample.classes)
            assert sample.crowd is None or len(sample.crowd) == len(sample.classes)
            count += 1
    return count


def files_of(table):
    """A table as the bytes of a file, damaged as a tree or as bytes."""
    trees = damaged_tree(table).map(lambda tree: json.dumps(tree).encode())
    return trees | damaged_bytes(json.dumps(table).encode())


KINDS = {"instances": (CocoInstance, INSTANCES, 4), "panoptic": (Coco, PANOPTIC, 4)}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_annotation_is_read(source, tmp_path, kind):
    pytest.importorskip("pycocotools")
    cls, _, count = KINDS[kind]
    assert read_all(cls(source=source, data_dir=tmp_path)) == count


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_damaged_annotation(source, tmp_path_factory, kind, data):
    pytest.importorskip("pycocotools")
    cls, table, _ = KINDS[kind]
    path = (
        source / "annotations" / f"{kind}_{data.draw(st.sampled_from(['train', 'val']))}2017.json"
    )
    path.write_bytes(data.draw(files_of(table)))
    try:
        with right_or_one_line():
            read_all(cls(source=source, data_dir=source / "nowhere"))
    finally:
        path.write_text(json.dumps(table))


@given(damaged_bytes(b"2007_000001\n/JPEGImages/a.jpg /Aug/a.png\n"))
def test_damaged_lists(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("voc") / "VOC2012" / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for name in ("trainaug", "val"):
        (folder / f"{name}.txt").write_bytes(content)
    with right_or_one_line():
        read_all(VocTrainaug(source=folder.parents[2], data_dir=folder))


SCENE = {
    "objects": [
        {"index": 1, "shape": "cube", "material": "moss", "size": "small"},
        {"index": 2, "shape": "cone", "material": "wood", "size": "large"},
    ]
}


@given(files_of(SCENE))
def test_damaged_scenes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("scene") / "scene.json"
    path.write_bytes(content)
    with right_or_one_line():
        find_materials({"train": [path]})
