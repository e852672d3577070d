"""Segmenting one's own videos: what is read, what results hold, and what is never lost."""

import shutil
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image, ImageSequence

from data_pipelines.resize import resize_image
from data_pipelines.video_files import open_video, save_mp4
from dias_jax import own_videos
from dias_jax.errors import UserError
from dias_jax.models import build, predict
from dias_jax.models.inputs import initialize
from dias_jax.own_images import stretch
from dias_jax.pictures.animation import save_animation
from dias_jax.pictures.overlays import overlay
from dias_jax.runs.trained_model import TrainedModel

pytestmark = pytest.mark.usefixtures("quick_compilation")


def film(count=6, height=40, width=60):
    """A bright square that moves over a dark ground: (F, H, W, 3) uint8."""
    frames = np.full((count, height, width, 3), (20, 60, 100), np.uint8)
    for number, frame in enumerate(frames):
        frame[10:24, 4 * number : 4 * number + 14] = (220, 90, 30)
    return frames


def save_folder(path, frames, start=7):
    """Frames that plain sorting would put in another order: 7, 8, ..., 10."""
    path.mkdir(parents=True)
    for number, frame in enumerate(frames, start):
        Image.fromarray(frame).save(path / f"frame{number}.png")


@pytest.fixture
def config(tiny_config):
    tiny_config.data.name, tiny_config.model.kind = "moving_shapes", "video"
    tiny_config.model.decoder.num_layers = 1
    return tiny_config


@pytest.fixture
def run(monkeypatch, tmp_path, config):
    """Run the command with halves as segments: out, arguments, options -> names of results."""

    def segment_frames(trained, frames, size):
        segments = np.arange(size[0] * size[1]).reshape(size) // (size[0] * size[1] // 2)
        for frame in frames:
            found = {name: segments.astype(np.uint8) for name in ("decoder", "aggregator")}
            yield own_videos.shrink(frame, size), found | {"slots": np.zeros((4, 16))}

    monkeypatch.setattr(own_videos, "segment_frames", segment_frames)
    monkeypatch.chdir(tmp_path)

    def run(out, *arguments, **options):
        own_videos.segment_videos(
            [*map(str, arguments)], lambda: TrainedModel(None, None, config, 0), out, **options
        )
        found = (tmp_path / out).rglob("*.segments.*")
        return sorted(path.relative_to(tmp_path / out).as_posix() for path in found)

    return run


def results(*names, kind="webp"):
    return sorted(f"{name}.segments.{ending}" for name in names for ending in ("npz", kind))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_frames_of_a_folder_come_in_natural_order(tmp_path):
    save_folder(tmp_path / "v", film())
    (tmp_path / "v" / "notes.txt").write_text("no frame")
    Image.new("RGB", (3, 3)).save(tmp_path / "v" / "v.segments.gif")
    frames, rate = open_video(tmp_path / "v", ignored=own_videos.RESULTS)
    np.testing.assert_array_equal(np.stack([*frames]), film())
    assert rate == 8


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tiff"])
def test_frames_of_animations(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    first, *others = map(Image.fromarray, film())
    first.save(path, save_all=True, append_images=others, duration=100, lossless=True)
    frames, rate = open_video(path)
    np.testing.assert_array_equal(np.stack([*frames]), film())
    assert rate == (8 if ending == "tiff" else 10)


def test_what_is_transparent_is_white(tmp_path):
    pictures = [Image.new("RGBA", (4, 4), (9, 9, number, 0)) for number in (1, 2)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], exact=True)
    assert all((frame == 255).all() for frame in open_video(tmp_path / "a.webp").frames)


def test_frames_of_a_video_file(tmp_path):
    pytest.importorskip("av")
    save_mp4(tmp_path / "a.mp4", film(), 12.5)
    frames, rate = open_video(tmp_path / "a.mp4")
    frames = np.stack([*frames])
    assert frames.shape == film().shape and rate == 12.5
    assert np.abs(frames.astype(int) - film()).mean() < 8  # it is lossy


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarter_turns", range(4))
def test_a_video_file_is_turned_upright(tmp_path, quarter_turns, mirrored):
    pytest.importorskip("av")
    save_mp4(tmp_path / "a.mp4", film(2), 8)
    encoded, expected = (tmp_path / "a.mp4").read_bytes(), film(2)[0]
    matrix = np.zeros((3, 3), ">i4")
    turn = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), quarter_turns)
    if mirrored:
        turn, expected = np.diag([-1, 1]) @ turn, expected[:, ::-1]
    matrix[:2, :2], matrix[2, 2] = turn * 2**16, 2**30
    place = encoded.index(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 4 + 4 * 2
    encoded = encoded[:place] + matrix.tobytes() + encoded[place + 36 :]
    (tmp_path / "b.mp4").write_bytes(encoded)
    frame = next(open_video(tmp_path / "b.mp4").frames)
    expected = np.rot90(expected, quarter_turns)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 8


def test_frames_are_read_when_they_are_asked_for(tmp_path):
    save_folder(tmp_path / "v", film(3))
    frames, _ = open_video(tmp_path / "v")
    next(frames)
    (tmp_path / "v" / "frame9.png").write_bytes(b"no image")
    next(frames)
    with pytest.raises(UserError, match="frame9.png is a damaged image .*: replace it"):
        next(frames)


@pytest.mark.slow  # three compilations
def test_slices_are_as_one_pass(config, tmp_path):
    model, video = build(config.model), film()
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), 32)
    trained = TrainedModel(model, variables, config, 0)
    save_folder(tmp_path / "v", video)
    shown, arrays = tmp_path / "v.segments.webp", tmp_path / "v.segments.npz"
    assert own_videos.segment_video(trained, tmp_path / "v", shown, arrays) == len(video)
    found = np.load(arrays)
    squares = np.stack([resize_image(frame, 32) for frame in video])[None]
    output = predict(model, variables, squares, jax.random.key(config.seed))
    for number in range(len(video)):
        expected = stretch(output.decoder_attention[0, number], (40, 60))
        assert (found["decoder"][number] == expected).mean() > 0.999  # but for ties
    np.testing.assert_allclose(found["slots"], output.slots[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found["slot_mask"], output.slot_mask[0])
    with Image.open(shown) as animation:
        assert animation.size == (60, 40) and animation.n_frames == len(video)


def test_what_results_hold(config, monkeypatch, tmp_path):
    """Slot 1 owns the right half, slot 0 the left, of frames that come 4, 4 and 1 at a time."""
    lengths = []

    def step(model, variables, stream, frames):
        assert frames.shape == (1, frames.shape[1], 32, 32, 3) and frames.dtype == np.uint8
        assert stream == (None if not lengths else "on")
        lengths.append(frames.shape[1])
        attention = np.zeros((1, lengths[-1], 4, 2, 2), np.float32)
        attention[..., 0, :, 0] = attention[..., 1, :, 1] = 1
        slots = np.zeros((1, lengths[-1], 4, 16), np.float32)
        return "on", types.SimpleNamespace(
            slots=slots,
            slot_mask=slots[..., 0] == 0,
            decoder_attention=attention,
            final_attention=attention[:, :, ::-1],
        )

    monkeypatch.setattr(own_videos, "begin", lambda key, sample_index: None)
    monkeypatch.setattr(own_videos, "step", step)
    save_folder(tmp_path / "v", film(9))
    arrays = tmp_path / "a.npz"
    trained = TrainedModel(None, None, config, 0)
    assert own_videos.segment_video(trained, tmp_path / "v", tmp_path / "a.webp", arrays) == 9
    assert lengths == [4, 4, 1]
    found = {name: (x.shape, x.dtype) for name, x in np.load(arrays).items()}
    assert found == {
        "decoder": ((9, 40, 60), np.uint8),
        "aggregator": ((9, 40, 60), np.uint8),
        "boxes": ((9, 4, 4), np.float32),
        "area": ((9, 4), np.float32),
        "slots": ((9, 4, 16), np.float32),
        "slot_mask": ((9, 4), bool),
    }
    boxes, area = np.load(arrays)["boxes"], np.load(arrays)["area"]
    left, right, nothing = [0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 0, 0]
    np.testing.assert_array_equal(boxes, [[left, right, nothing, nothing]] * 9)
    np.testing.assert_array_equal(area, [[0.5, 0.5, 0, 0]] * 9)
    assert np.load(arrays)["aggregator"].min() == 2


def test_a_slot_keeps_its_colour(run, tmp_path, monkeypatch):
    first, *others = map(Image.fromarray, film())
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    maps = []

    def segment_frames(trained, frames, size):
        for number, _ in enumerate(frames):
            segments = np.full(size, 3, np.uint8)
            segments[:, : 5 * number + 5] = 1
            maps.append(segments)
            yield np.full((*size, 3), 90, np.uint8), {"decoder": segments, "slots": np.zeros(1)}

    monkeypatch.setattr(own_videos, "segment_frames", segment_frames)
    assert run("out", "a.gif", animation="gif") == results("a.gif", kind="gif")
    with Image.open(tmp_path / "out" / "a.gif.segments.gif") as animation:
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]
    grey = np.full((*maps[0].shape, 3), 90, np.uint8)
    assert len(shown) == 6
    for frame, segments in zip(shown, maps):
        difference = np.abs(frame.astype(int) - overlay(grey, segments.astype(int)))
        assert difference.max() < 12  # a GIF has few colours
    assert np.load(tmp_path / "out" / "a.gif.segments.npz")["decoder"].shape == (6, 40, 60)


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_every_video_has_results_of_its_own(run, tmp_path, kind):
    if kind == "mp4":
        pytest.importorskip("av")
    save_folder(tmp_path / "videos" / "v", film(3, 700, 1001))
    save_animation(tmp_path / "videos" / "v.gif", film(3))
    before, videos = contents(tmp_path), sorted((tmp_path / "videos").iterdir())
    for _ in range(2):
        assert run("out", *videos, videos[0], animation=kind) == results("v", "v.gif", kind=kind)
    shown = shutil.copy(tmp_path / "out" / f"v.segments.{kind}", tmp_path / f"x.{kind}")
    assert next(open_video(shown).frames).shape == (358, 512, 3)
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


def test_results_are_never_read(run, tmp_path, capsys):
    save_folder(tmp_path / "videos" / "v", film(2))
    for note in ("", "note: 2 files are results of earlier runs, left out\n"):
        assert run("videos", *sorted((tmp_path / "videos").iterdir())) == results("v")
        assert capsys.readouterr().err == note
    for _ in range(2):
        run("videos/v", "videos/v")
    assert "(2 frames)" in capsys.readouterr().out.splitlines()[-1]


def test_two_videos_never_share_a_result(run, tmp_path, monkeypatch, capsys):
    for name in ("x/v", "y/v", "y/V"):
        save_folder(tmp_path / name, film(2))
    with pytest.raises(UserError, match="x/v and y/v would both become v.segments.npz: rename"):
        run("out", "x/v", "y/v")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(own_videos, "identity", lambda path: str(path).lower())
    with pytest.raises(UserError, match="1 of 2 videos are left out"):
        run("out", "y/v", "y/V")
    assert "left out: y/V: another video's results" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_is_done(run, tmp_path, capfd):
    pytest.importorskip("av")
    save_folder(tmp_path / "good", film(2))
    save_folder(tmp_path / "sizes", film(2))
    Image.new("RGB", (5, 4)).save(tmp_path / "sizes" / "frame10.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video" * 1000)
    (tmp_path / "text.gif").write_text("no video")
    save_mp4(tmp_path / "cut.mp4", film(), 8)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "cut.mp4").read_bytes()[:-400])
    reasons = {
        "sizes": "sizes/frame10.png has 5 x 4 pixels, the frames before it 60 x 40: give",
        "empty": "empty holds no images, so it is no video: name",
        "text.mp4": "text.mp4 is a damaged video (Invalid data found when processing input): rep",
        "text.gif": "text.gif is a damaged video (cannot identify image file",
        "cut.mp4": "cut.mp4 is a damaged video (",
    }
    with pytest.raises(UserError, match="5 of 6 videos are left out; they are named above"):
        run("out", *reasons, "good")
    lines = capfd.readouterr()
    assert len(lines.out.splitlines()) == 1
    for line, reason in zip(lines.err.splitlines(), reasons.values(), strict=True):
        assert line.startswith(f"left out: {reason}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == results("good")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one video, or a folder of frames"),
        (["nowhere.mp4"], "nowhere.mp4 does not exist"),
        ([""], "a video of no name does not exist"),
    ],
)
def test_bad_input_gets_one_line(run, arguments, message):
    with pytest.raises(UserError, match=message):
        run("out", *arguments)


def test_without_pyav(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(UserError):
        run("out", "a.mp4")
    line = "a.mp4: video files need PyAV: pip install 'dias_jax[video]'"
    assert capsys.readouterr().err == f"left out: {line}\n"
    with pytest.raises(UserError, match="--animation=mp4: video files need PyAV"):
        run("out", "a.mp4", animation="mp4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reduce_at": "clip"}, r'reduce_at="clip" needs .*--config.model.video.reduce_at=first'),
        ({"boxes": True}, "config.model.video.boxes=True: this model starts from boxes"),
    ],
)
def test_models_that_need_more_than_a_few_frames(run, tmp_path, config, changes, message):
    save_folder(tmp_path / "v", film(2))
    config.model.video.update(changes)
    with pytest.raises(UserError, match=message):
        run("out", "v")
    assert not (tmp_path / "out").exists()


def test_a_result_appears_when_it_is_complete(run, tmp_path, monkeypatch):
    save_folder(tmp_path / "v", film(2))
    run("out", "v")
    before = contents(tmp_path / "out")

    def fill(tracks, path):
        path.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_videos.Tracks, "save", fill)
    shutil.rmtree(tmp_path / "v")
    save_folder(tmp_path / "v", film(3))
    with pytest.raises(UserError, match="1 of 1 videos are left out"):
        run("out", "v")
    assert contents(tmp_path / "out") == before
