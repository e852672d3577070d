"""Clips of videos: windows, one view for all frames, padding; restarts, threads and hosts."""

import itertools

import numpy as np
import pytest
from configs import data_config

from data_pipelines import pipeline, sources, transforms
from data_pipelines.clips import Clips, pad_clip
from data_pipelines.drawn import moving_shapes
from data_pipelines.sample_grid import draw_samples
from dias_jax.errors import UserError
from dias_jax.pictures import overlays


@pytest.fixture
def config():
    return data_config("moving_shapes", "", 24)


class Videos:
    """Videos of numbered frames; two objects, one of which is seen in even frames only."""

    num_masks, num_frames, max_frames = 4, np.array([7, 3, 5]), 7
    protocol = None

    def read(self, index, start, stop):
        times = np.arange(start, stop)
        image = np.zeros((len(times), 12, 8, 3), np.uint8)
        image[:] = (20 * index + times)[:, None, None, None]
        mask = np.ones((len(times), 12, 8), np.uint8)
        mask[:, 2:10, :4] = 2
        mask[times % 2 == 0, 2:6, 4:] = 3
        classes = np.array([5, 6], np.int32)
        return {"image": image, "mask": mask, "classes": classes, "index": index}

    def training_view(self, sample, rng, data_config):
        return transforms.training_view(sample["image"], sample["mask"], rng, 4)

    def evaluation_view(self, sample, data_config):
        return transforms.evaluation_view(sample["image"], sample["mask"], 4)


def test_windows_are_contiguous_and_leave_no_frame_out():
    clips = Clips(Videos(), 4)  # the second video is too short
    found = [clip["image"][:, 0, 0, 0].tolist() for clip in clips]
    assert found == [[0, 1, 2, 3], [3, 4, 5, 6], [40, 41, 42, 43], [41, 42, 43, 44]]
    assert [clips[i]["index"] for i in range(4)] == [0, 1, 2, 3] and clips.max_frames == 4
    assert [clips[i]["video"] for i in range(4)] == [0, 0, 2, 2]
    whole = Clips(Videos())
    assert [len(clip["image"]) for clip in whole] == [7, 3, 5] and whole.max_frames == 7
    with pytest.raises(UserError, match="no video has 8 frames, the longest has 7: take shorter"):
        Clips(Videos(), 8)


@pytest.mark.parametrize("seed", range(4))
def test_all_frames_are_seen_in_one_view(seed):
    clip = np.random.default_rng(9).integers(0, 256, (3, 20, 30, 3), np.uint8)
    mask = clip[..., 0] // 50
    image, masks = transforms.training_view(clip, mask, np.random.default_rng(seed), 8)
    for frame in range(3):
        rng = np.random.default_rng(seed)
        one = transforms.training_view(clip[frame], mask[frame], rng, 8)
        np.testing.assert_array_equal(image[frame], one[0])
        np.testing.assert_array_equal(masks[frame], one[1])
    image, none = transforms.evaluation_view(clip, None, 8)
    np.testing.assert_array_equal(image[1], transforms.evaluation_view(clip[1], None, 8)[0])
    assert none is None


def test_evaluation_fills_short_videos(config, monkeypatch):
    monkeypatch.setattr(pipeline, "open_split", lambda *args, **options: Clips(Videos()))
    first, second = pipeline.evaluation_batches(config, "validation", 2, num_threads=1)
    assert first["image"].shape == (2, 7, 4, 4, 3) and first["mask"].shape == (2, 7, 4, 4)
    lengths = [batch["frame_valid"].sum(axis=1).tolist() for batch in (first, second)]
    assert lengths == [[7, 3], [5, 5]] and second["valid"].tolist() == [True, False]
    assert first["frame_valid"][1].tolist() == [True] * 3 + [False] * 4
    for name in ("image", "mask", "boxes", "visible"):
        assert first[name][1, :3].any() and not first[name][1, 3:].any()
    assert first["boxes"].shape == (2, 7, 3, 4) and first["boxes"].dtype == np.float32
    assert first["classes"].tolist() == [[5, 6, -1]] * 2
    assert first["visible"][0].tolist() == [[True, time % 2 == 0, False] for time in range(7)]
    np.testing.assert_array_equal(first["boxes"][0, 0, 0], [0, 0, 0.5, 1])


def test_pad_clip_keeps_what_is_no_frame():
    view = pad_clip({"image": np.ones((2, 3, 3, 3), np.uint8), "index": np.int32(4)}, 3)
    assert view["image"].sum(axis=(1, 2, 3)).tolist() == [27, 27, 0] and view["index"] == 4


def test_batches_of_drawn_videos(config):
    batch = next(pipeline.train_batches(config, 2, seed=1))
    assert set(batch) == {"image", "index", "replaced"}
    assert batch["image"].shape == (2, 5, 24, 24, 3) and batch["image"].dtype == np.uint8
    windows = [0, 5, 10, 11]  # of 16 frames
    for index, image in zip(batch["index"], batch["image"], strict=True):
        video, start = divmod(index, len(windows))
        times = range(windows[start], windows[start] + 5)
        drawn = moving_shapes.render(video, "train", 24, times=times)
        np.testing.assert_array_equal(image, drawn.image)
    (batch,) = pipeline.evaluation_batches(config, "validation", 2, limit=2)
    assert {name: value.shape for name, value in batch.items()} == {
        **{"image": (2, 16, 24, 24, 3), "mask": (2, 16, 24, 24), "index": (2,), "valid": (2,)},
        **{"classes": (2, 6), "boxes": (2, 16, 6, 4), "visible": (2, 16, 6)},
        **{"crowd": (2, 6), "hidden": (2, 16, 6), "events": (2, 5), "frame_valid": (2, 16)},
        "video": (2,),
    }
    assert batch["frame_valid"].all() and not (batch["visible"] & batch["hidden"]).any()
    source = sources.open_split(config, "validation")
    expected = "whole videos, 16 frames a video drawn at 24, background counted"
    assert source.protocol(24) == expected
    np.testing.assert_array_equal(source[1]["mask"], batch["mask"][1])


def test_clips_go_on_on_other_hosts_and_from_memory(config):
    expected = list(itertools.islice(pipeline.train_batches(config, 4, 1, num_threads=1), 3))
    config.keep_in_memory = True
    shards = [
        pipeline.train_batches(config, 4, 1, start_step=1, shard=(host, 2)) for host in range(2)
    ]
    for batch in expected[1:]:
        first, second = (next(shard) for shard in shards)
        for name in batch:
            np.testing.assert_array_equal(batch[name][::2], first[name])
            np.testing.assert_array_equal(batch[name][1::2], second[name])


def test_preview_shows_frames(config):
    picture = np.asarray(draw_samples(config, "train", count=1, num_views=2))
    step = overlays.TILE + overlays.GAP
    tiles = [picture[overlays.TITLE :, i * step :][:, : overlays.TILE] for i in range(6)]
    assert picture.shape[1] == 6 * step - overlays.GAP
    assert not np.array_equal(tiles[0], tiles[2]) and not np.array_equal(tiles[2], tiles[4])
