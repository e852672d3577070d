"""YouTube-VIS in the publisher's layout: tracks as polygons and run lengths, and their absence."""

import json

import numpy as np
import pytest
from configs import data_config
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import PREPARED, prepared_directory
from data_pipelines.sets import ytvis
from data_pipelines.sources import open_split
from data_pipelines.video_records import PreparedVideos
from dias_jax.errors import UserError

mask_tools = pytest.importorskip("pycocotools.mask")
HEIGHT, WIDTH = 20, 30
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 7, "name": "dog"}]


def plane(rows, columns):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows, columns] = 1
    return mask


def run_lengths(mask, compressed):
    if compressed:
        shape = mask_tools.encode(np.asfortranarray(mask))
        return {"size": shape["size"], "counts": shape["counts"].decode()}
    changes = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
    counts = np.diff([0, *changes, mask.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if mask[0, 0] else counts}


def write_split(table, images, num_videos, first=3):
    """Writes videos of 5, 6, .. frames; returns the index maps of each, by its folder's name."""
    videos, tracks, expected = [], [], {}
    for number in range(num_videos):
        name, length = f"{first + number:04d}ab", 5 + number
        (images / name).mkdir(parents=True, exist_ok=True)
        expected[name] = np.ones((length, HEIGHT, WIDTH), np.uint8)
        shapes = {11: [], 12: [], 13: []}
        for time in range(length):
            picture = np.full((HEIGHT, WIDTH, 3), 20 * time, np.uint8)
            Image.fromarray(picture).save(images / name / f"{5 * time:05d}.jpg")
            below = plane(slice(2, 12), slice(time, 14 + time))
            above = plane(slice(8, 18), slice(10, 20))
            shapes[11].append(run_lengths(below, compressed=time % 2))
            shapes[12].append(None)  # a track that is nowhere
            box = [[10, 8, 20, 8, 20, 18, 10, 18]]
            shapes[13].append(None if time == 1 else box)
            expected[name][time][below > 0] = 2
            if time != 1:
                expected[name][time][above > 0] = 3
        videos.append(
            {
                **{"id": 10 * (first + number), "height": HEIGHT, "width": WIDTH},
                "length": length,
                "file_names": [f"{name}/{5 * time:05d}.jpg" for time in range(length)],
            }
        )
        for identifier, segmentations in shapes.items():
            track = {"id": 100 * (first + number) + identifier, "video_id": videos[-1]["id"]}
            track |= {"category_id": 1 if identifier == 11 else 7, "iscrowd": 0}
            tracks.append(track | {"segmentations": segmentations})
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(
        json.dumps({"videos": videos, "annotations": tracks, "categories": CATEGORIES})
    )
    return expected


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Folder of YouTube-VIS 2022, and the index maps of its splits."""
    source = tmp_path_factory.mktemp("ytvis")
    expected = {}
    for split, folder, count in (("train", "train", 3), ("validation", "valid", 2)):
        table, images = source / folder / "instances.json", source / folder / "JPEGImages"
        expected[split] = write_split(table, images, count)
    return source, expected


def test_videos_are_the_published_ones(published, tmp_path):
    source, expected = published
    summary = build(ytvis.Ytvis2022(source=source, data_dir=tmp_path))
    assert summary.startswith("ytvis_2022: 3 train, 2 validation videos, at most 3 masks each")
    for split, videos in expected.items():
        found = PreparedVideos(tmp_path / PREPARED["ytvis_2022"], split)
        assert found.num_frames.tolist() == [len(mask) for mask in videos.values()]
        for sample, mask in zip(found, videos.values(), strict=False):
            np.testing.assert_array_equal(sample["mask"], mask)
            assert sample["classes"].tolist() == [1, 7]
            times = (sample["image"].mean(axis=(1, 2, 3)) / 20).round().tolist()
            assert times == list(range(len(mask)))
    assert "every record is intact" in verify(tmp_path / PREPARED["ytvis_2022"])
    config = data_config("ytvis_2022", tmp_path, 16)
    (batch,) = pipeline.evaluation_batches(config, "validation", 2, num_threads=1)
    assert batch["image"].shape == (2, 7, 16, 16, 3)  # as long as the longest of all splits
    assert batch["frame_valid"].sum(axis=1).tolist() == [5, 6]
    assert batch["visible"][0].tolist() == [
        [True, t != 1] if t < 5 else [False] * 2 for t in range(7)
    ]
    assert open_split(config, "train", clip_frames=5).max_frames == 5
    assert open_split(config, "validation").protocol(16).startswith("whole videos, centre square")


def test_the_end_of_training_is_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(ytvis, "HELD_OUT", 2)
    write_split(tmp_path / "train.json", tmp_path / "train_all_frames" / "JPEGImages", 3)
    build(ytvis.Ytvis2019(source=tmp_path, data_dir=tmp_path / "data"))
    directory = prepared_directory("ytvis_2019", tmp_path / "data")
    train, validation = (PreparedVideos(directory, split) for split in ("train", "validation"))
    assert train.num_frames.tolist() == [5] and validation.num_frames.tolist() == [6, 7]
    assert "the last 300 training videos" in validation.protocol(16)
    monkeypatch.setattr(ytvis, "HELD_OUT", 3)
    with pytest.raises(UserError, match="has only 3 videos: unpack all"):
        build(ytvis.Ytvis2019(source=tmp_path, data_dir=tmp_path / "other"))


def test_finer_masks_of_2019(tmp_path):
    for split in ("train", "val", "test"):
        images = tmp_path / "train" / "JPEGImages"
        write_split(tmp_path / f"ytvis_hq-{split}.json", images, 1)
    summary = build(ytvis.YtvisHq(source=tmp_path, data_dir=tmp_path / "data"))
    assert "1 train, 1 validation, 1 test videos" in summary


def rename(table):
    table["videos"][0]["file_names"][0] = "../secret/00000.jpg"


def shorten(table):
    table["annotations"][0]["segmentations"].pop()


def another(table):
    table["annotations"][0]["category_id"] = 99


def wrong_size(table):
    table["annotations"][0]["segmentations"][1]["size"] = [WIDTH, HEIGHT]


def absent(table):
    table["videos"][0]["file_names"][0] = "0003ab/99999.jpg"


@pytest.mark.parametrize(
    "edit, message",
    [
        (rename, "instances.json has a damaged entry in videos"),
        (shorten, "instances.json has a damaged entry in annotations"),
        (another, "instances.json has a damaged entry in annotations"),
        (wrong_size, "of frame 1 of 0003ab has no valid outline"),
        (absent, "cannot read .*0003ab/99999.jpg"),
    ],
)
def test_what_contradicts_itself_is_one_line(tmp_path, edit, message):
    for folder in ("train", "valid"):
        path = tmp_path / folder / "instances.json"
        write_split(path, tmp_path / folder / "JPEGImages", 1)
        table = json.loads(path.read_text())
        edit(table)
        path.write_text(json.dumps(table))
    with pytest.raises(UserError, match=message) as caught:
        build(ytvis.Ytvis2022(source=tmp_path, data_dir=tmp_path / "data"))
    assert "\n" not in str(caught.value) and not (tmp_path / "data").exists()


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match="train/instances.json is missing: register at"):
        build(ytvis.Ytvis2021(source=tmp_path, data_dir=tmp_path / "data"))
