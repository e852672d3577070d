"""A small data set in COCO's published layout, made of drawn scenes, and its prepared form."""

import json
import types

import numpy as np
import pytest
from configs import data_config
from PIL import Image

from data_pipelines.building.build import build
from data_pipelines.drawn import shapes
from data_pipelines.sets.coco import SOURCE_SPLITS, Coco

CATEGORIES = [
    {"id": 1, "name": "object", "isthing": 1},
    {"id": 100, "name": "ground", "isthing": 0},
    {"id": 101, "name": "other ground", "isthing": 0},
]
NUM_SAMPLES = {"train": 11, "validation": 7}


def write_coco(directory):
    """Writes train and validation splits; returns the index map expected for each file stem."""
    expected = {}
    for split, folder in SOURCE_SPLITS.items():
        (directory / folder).mkdir(parents=True)
        (directory / "annotations" / f"panoptic_{folder}").mkdir(parents=True)
        entries = []
        for index in range(NUM_SAMPLES[split]):
            stem = f"{split}_{index:03d}"
            entry, expected[stem] = _write_sample(directory, folder, split, stem, index)
            entries.append(entry)
        table = directory / "annotations" / f"panoptic_{folder}.json"
        table.write_text(json.dumps({"annotations": entries, "categories": CATEGORIES}))
    return expected


def _write_sample(directory, folder, split, stem, index):
    image, scene, *_ = shapes.render(index, split, 96)
    # Photographs are not square, and not all of them have the same size.
    rows, columns = slice(0, 96 - 4 * (index % 3)), slice(0, 96 - 6 * (index % 4))
    image, scene = image[rows, columns], scene[rows, columns]
    expected = np.zeros_like(scene)
    identifiers = np.zeros(scene.shape, np.int64)
    segments, num_things = [], 0
    numbers = [number for number in range(1, 8) if (scene == number).any()]
    for place, number in enumerate(numbers):
        identifier = 70_000 * (place + 1) + index
        is_thing = number > 2  # the first object of a scene is stuff as well
        num_things += is_thing
        category = 1 if is_thing else 99 + number
        segments.append({"id": identifier, "category_id": category, "iscrowd": int(number == 4)})
        identifiers[scene == number] = identifier
        expected[scene == number] = 1 + num_things if is_thing else 1
    identifiers[:3], expected[:3] = 0, 0  # not annotated
    segments = [info for info in segments if (identifiers == info["id"]).any()]
    colours = np.stack([identifiers >> shift & 255 for shift in (0, 8, 16)], axis=-1)
    Image.fromarray(colours.astype(np.uint8)).save(
        directory / "annotations" / f"panoptic_{folder}" / f"{stem}.png"
    )
    grey = index == 1
    picture = Image.fromarray(image).convert("L") if grey else Image.fromarray(image)
    picture.save(directory / folder / f"{stem}.jpg", quality=90)
    entry = {"file_name": f"{stem}.png", "image_id": index, "segments_info": segments[::-1]}
    return entry, expected


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """Namespace: source and data_dir (directories), expected (index maps), summary (one line)."""
    source = tmp_path_factory.mktemp("coco_source")
    data_dir = tmp_path_factory.mktemp("coco_prepared")
    expected = write_coco(source)
    summary = build(Coco(source=source, data_dir=data_dir))
    return types.SimpleNamespace(
        source=source, data_dir=data_dir, expected=expected, summary=summary
    )


@pytest.fixture
def shapes_config():
    return data_config("shapes", "", 32)


@pytest.fixture
def coco_config(coco):
    return data_config("coco", coco.data_dir, 24)
