"""The gallery of videos: strips, an animation, and a page that needs no other file."""

import base64
import dataclasses
import io
import re

import jax
import numpy as np
import pytest
from PIL import Image

from dias_jax.errors import UserError
from dias_jax.gallery import video_page, video_poster, write_gallery
from dias_jax.gallery.video_views import DIM, draw_tracks, views
from dias_jax.gallery.videos import Video, describe_video, follow, study_videos
from dias_jax.models import build
from dias_jax.models.inputs import initialize
from dias_jax.pictures.overlays import colours
from dias_jax.runs.trained_model import TrainedModel
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")
SIZE, FRAMES = 32, 6


@pytest.fixture(scope="module")
def trained():
    """An untrained model of videos, of nine slots, some of which merge."""
    config = make_tiny_video_config()
    config.model.num_slots = 9
    config.model.reinit.threshold, config.model.reinit.min_clusters = 0.2, 1
    config.evaluation.masks = "aggregator"
    model = build(config.model)
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), SIZE)
    return TrainedModel(model, variables, config, 7)


def squares(frames=FRAMES, missing=2):
    """A batch of one video of two squares that move on a ground, and `missing` frames that fill."""
    mask = np.zeros((frames + missing, SIZE, SIZE), np.uint8)
    mask[:frames] = 1
    for time in range(frames):
        mask[time, 4:8, 2 + 4 * time : 6 + 4 * time] = 2  # to the right
        mask[time, 4 + 4 * time : 8 + 4 * time, 26:32] = 3  # down
    noise = np.random.default_rng(0).integers(0, 40, (*mask.shape, 1), np.uint8)
    return {
        "image": (60 * mask[..., None] + noise).repeat(3, axis=-1)[None],
        "index": np.array([5]),
        "valid": np.array([True]),
        "mask": mask[None],
        "frame_valid": (np.arange(frames + missing) < frames)[None],
        "events": np.array([[False, True, True, False, False]]),
    }


def perfect(batch, slots=(6, 2, 4), num_slots=8):
    """The Video of a batch in which `slots` are the ground and the squares, and 1 has nothing."""
    in_use = np.isin(np.arange(num_slots), (1, *slots))
    maps = np.array((0, *slots))[batch["mask"]]
    slot_mask = np.tile(in_use, (*maps.shape[:2], 1))
    scores = {"mbo": (np.ones(1), [True]), "switches": (np.full(1, 2.5), [True])}
    return describe_video(0, batch, maps, slot_mask, scores | {"frame_mbo": ([0], [False])})


def test_slots_are_numbered_by_size_over_the_whole_video():
    video = perfect(squares())
    assert len(video.frames) == FRAMES and video.index == 5 and video.background == 0
    assert video.slot.tolist() == [6, 4, 2, 1]  # 1 is in use, and owns nothing
    np.testing.assert_array_equal(video.truth, video.prediction)
    assert video.scores == {"mbo": 100, "switches": 2.5} and video.events == ("twins", "late")
    np.testing.assert_allclose(video.share.sum(1), 1)
    text = "video 5: 4 slots in use; video mBO 100.0; 2.5 ID switches per 100; events: twins, late"
    assert video_poster.describe(video) == text


def test_the_background_is_the_slot_of_the_true_one():
    batch = squares()
    batch["mask"][:, :, 9:] = np.where(batch["frame_valid"][..., None, None], 2, 0)
    video = perfect(batch)
    assert video.slot[video.background] == 6 and video.background == 1
    without = {name: value for name, value in batch.items() if name not in ("mask", "events")}
    maps, slot_mask = np.array((0, 6, 2, 4))[batch["mask"]], np.ones((1, FRAMES + 2, 8), bool)
    video = describe_video(0, without, maps, slot_mask, {})
    assert video.truth is None and video.events is None and video.background == 0
    assert list(views(video, 0, 8)) == ["frame", "prediction", "tracks"]
    assert video_poster.describe(video) == "video 5: 8 slots in use"


def test_the_trail_of_a_square_lies_on_its_path():
    video = perfect(squares())
    time = np.arange(FRAMES)
    right = np.stack([(4 + 4 * time) / SIZE, np.full(FRAMES, 6 / SIZE)], axis=-1)
    down = np.stack([np.full(FRAMES, 29 / SIZE), (6 + 4 * time) / SIZE], axis=-1)
    np.testing.assert_allclose(video.centre[:, 2], right)
    np.testing.assert_allclose(video.centre[:-1, 1], down[:-1])
    assert np.isnan(video.centre[:, 3]).all()

    side, colour = 128, colours(3)[2]
    tracks = draw_tracks(video, 3, side)
    near = np.abs(tracks.astype(int) - colour).sum(-1) < 60
    rows, columns = np.nonzero(near)
    assert abs(rows - 24).max() <= 5 and near[24, 17:56].all()  # from frame 0 to frame 3
    assert columns.min() >= 14 and columns.max() <= 64 + 5
    bare = DIM * np.asarray(Image.fromarray(video.frames[3]).resize((side, side)), float)
    assert np.abs(tracks[90:, :90] - bare[90:, :90]).max() < 12  # the background has no track


def test_a_slot_that_is_not_seen_leaves_a_gap():
    maps = np.zeros((3, SIZE, SIZE), int)
    maps[0, :4, :4] = maps[2, :4, -4:] = 1
    share, centre = follow(maps, 2)
    np.testing.assert_allclose(share[:, 1], [1 / 64, 0, 1 / 64])
    np.testing.assert_allclose(centre[:, 1], [[1 / 16, 1 / 16], [np.nan] * 2, [15 / 16, 1 / 16]])
    video = dataclasses.replace(perfect(squares(3, 0)), slot=np.arange(2), centre=centre)
    tracks = draw_tracks(video, 2, 128)
    bare = DIM * np.asarray(Image.fromarray(video.frames[2]).resize((128, 128)), float)
    assert np.abs(tracks[:16, 24:104] - bare[:16, 24:104]).max() < 40


def test_colours_stay_with_slots_and_short_videos_wait():
    short, long = perfect(squares()), perfect(squares(7, 0))
    ground = []
    for time in range(FRAMES):
        pictures = views(short, time, SIZE)
        np.testing.assert_array_equal(pictures["ground truth"], pictures["prediction"])
        ground.append(pictures["prediction"][20:, :20].mean((0, 1)))
    assert np.ptp(ground, axis=0).max() < 2

    frames = video_poster.animate_videos([short, long])
    tile, left = video_poster.TILE, video_poster.LABELS
    assert len(frames) == 7 and frames[0].shape == (3 * tile + 6, left + 2 * tile + 3, 3)
    np.testing.assert_array_equal(frames[5][:, : left + tile], frames[6][:, : left + tile])
    assert (frames[5] != frames[6]).any()


def test_a_table_of_slots_over_time():
    table = video_page.slot_table(perfect(squares()))
    assert table.count("<tr>") == 1 + 4 and table.count('class="share"') == 4 * FRAMES
    assert "slot 6, background" in table and "slot 2<" in table and "slot 0" not in table
    assert re.findall(r"rgba\(\d+,\d+,\d+,([\d.]+)\)\">2.3<", table)[:2] == ["0.15", "0.15"]


def test_where_slots_start_from_more_boxes_than_slots():
    config = make_tiny_video_config()
    config.model.video.boxes, config.model.num_slots = True, 3
    with pytest.raises(UserError, match="has up to 6 boxes"):
        study_videos(TrainedModel(None, None, config, 0), "test", 1)


@pytest.mark.slow
def test_all_videos_are_shown(trained, tmp_path):
    paths = write_gallery(trained, "test", tmp_path / "out", count=3, poster=2)
    assert [path.name for path in paths] == ["gallery.png", "gallery.webp", "gallery.html"]
    poster = np.asarray(Image.open(paths[0]))
    assert poster.shape[0] > 8 * video_poster.TILE and poster.std() > 20
    assert Image.open(paths[1]).n_frames == 16

    page = paths[2].read_text()
    assert "<script" not in page and "<link" not in page and page.count("<section>") == 3
    data = re.findall(r'src="data:image/webp;base64,([^"]*)"', page)
    animations = [Image.open(io.BytesIO(base64.b64decode(text))) for text in data]
    assert [animation.n_frames for animation in animations] == [16] * 3
    videos = study_videos(trained, "test", 3)
    assert [video.index for video in videos] == [0, 1, 2] and isinstance(videos[0], Video)
    for video in videos:
        assert f"<h2>video {video.index}: {len(video.slot)} slots in use; video mBO" in page
        assert 0 < len(video.slot) < 9 and video.prediction.max() < len(video.slot)
        assert {"mbo", "frame_mbo"} <= video.scores.keys()
