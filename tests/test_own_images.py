"""Segmenting one's own images: where results go, what is never lost, and any size of image."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dias_jax import own_images
from dias_jax.errors import UserError
from dias_jax.models import build
from dias_jax.models.inputs import initialize
from dias_jax.pictures.overlays import TITLE, overlay
from dias_jax.runs.trained_model import TrainedModel
from dias_jax.segmentation import slot_map

pytestmark = pytest.mark.usefixtures("quick_compilation")
SEGMENT_IMAGE = own_images.segment_image
ENDINGS = (".segments.npz", ".segments.png")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command with one segment an image: out, arguments -> names of what is below out."""

    def segment_image(trained, image):
        return dict.fromkeys(("decoder", "aggregator"), np.zeros(image.shape[:2], np.uint8))

    monkeypatch.setattr(own_images, "segment_image", segment_image)
    monkeypatch.chdir(tmp_path)

    def run(out, *arguments):
        own_images.segment_files([*map(str, arguments)], lambda: None, out)
        found = (tmp_path / out).rglob("*.segments.*")
        return sorted(path.relative_to(tmp_path / out).as_posix() for path in found)

    return run


def save(path, value=0, size=(6, 5), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 90, 200)).save(path, **options)


def results(*names):
    return sorted(name + ending for name in names for ending in ENDINGS)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_results_hold(run, tiny_config, tmp_path, monkeypatch):
    model = build(tiny_config.model)
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), 32)
    trained = TrainedModel(model, variables, tiny_config, 7)
    monkeypatch.setattr(own_images, "segment_image", lambda _, image: SEGMENT_IMAGE(trained, image))
    orientation = Image.Exif()
    orientation[0x0112] = 6  # stored lying on its side
    save(tmp_path / "a.jpg", size=(60, 40), exif=orientation)
    assert run("out", "a.jpg") == results("a.jpg")
    assert Image.open(tmp_path / "out/a.jpg.segments.png").size == (3 * 40, 60 + TITLE)
    found = np.load(tmp_path / "out/a.jpg.segments.npz")
    assert found["decoder"].shape == found["aggregator"].shape == (60, 40)
    assert found["decoder"].dtype == np.uint8
    assert found["slots"].shape == (4, 16)
    assert found["slot_mask"].shape == (4,) and found["slot_mask"].dtype == bool
    expected = slot_map(found["decoder_attention"][None], (60, 40))[0]
    np.testing.assert_array_equal(found["decoder"], expected)


def test_every_image_has_results_of_its_own(run, tmp_path):
    names = ("a.jpg", "a.png", "a_2.png", "b/a.png", "b/c/A.PNG", "b/c/a.png")
    for number, name in enumerate(names):
        save(tmp_path / "photos" / name, 30 * number)
    before = contents(tmp_path / "photos")
    assert run("out", "photos") == results(*names)
    assert run("out", "photos", "photos/a.jpg", "./photos/b/../a.jpg") == results(*names)
    assert contents(tmp_path / "photos") == before


@pytest.mark.parametrize("out", ["photos", "photos/out", "photos/b", ".", "link"])
def test_nothing_but_results_is_written_over(run, tmp_path, capsys, out):
    for name in ("a.jpg", "a.png", "b/a.png"):
        save(tmp_path / "photos" / name)
    (tmp_path / "link").symlink_to("photos")
    before = contents(tmp_path / "photos")
    run(out, "photos")
    after = contents(tmp_path)
    run(out, "photos")  # results of the first are no images
    assert contents(tmp_path).keys() == after.keys()
    assert {path: after[path] for path in before} == before
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_results_that_are_named_are_no_images(run, tmp_path, capsys):
    save(tmp_path / "photos" / "a.png")
    for note in ("", "note: 2 files are results of earlier runs, left out\n"):
        assert run("photos", *sorted((tmp_path / "photos").iterdir())) == results("a.png")
        assert capsys.readouterr().err == note


def test_a_link_in_the_place_of_a_result_is_not_followed(run, tmp_path):
    save(tmp_path / "photos" / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png.segments.png").symlink_to(tmp_path / "photos" / "a.png")
    before = contents(tmp_path / "photos")
    run("out", "photos")
    assert contents(tmp_path / "photos") == before


def test_two_images_never_share_a_result(run, tmp_path):
    save(tmp_path / "x" / "a.png", 1)
    save(tmp_path / "y" / "a.png", 2)
    with pytest.raises(UserError, match="x/a.png and y/a.png would both become a.png.segments.p"):
        run("out", "x", "y")
    assert not (tmp_path / "out").exists()
    assert run("out", ".") == results("x/a.png", "y/a.png")


def test_nor_where_large_and_small_letters_are_one(run, tmp_path, monkeypatch, capsys):
    for name in ("A.png", "a.png"):
        save(tmp_path / "photos" / name)
    monkeypatch.setattr(own_images, "identity", lambda path: str(path).lower())
    with pytest.raises(UserError, match="1 of 2 images are left out"):
        run("out", "photos")
    assert "left out: photos/a.png: another image's results" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_is_done(run, tmp_path, capsys):
    save(tmp_path / "photos" / "b.png")
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    os.mkfifo(tmp_path / "photos" / "c.png")
    (tmp_path / "photos" / "d.png").symlink_to("nowhere")
    with pytest.raises(UserError, match="3 of 4 images are left out; they are named above"):
        run("out", "photos")
    lines = capsys.readouterr()
    assert len(lines.out.splitlines()) == 1
    for number, reason in enumerate(["a.png is a damaged", "c.png: it is no file", "d.png: No s"]):
        assert reason in lines.err.splitlines()[number]


def test_names_that_are_no_text(run, tmp_path, monkeypatch):
    save(tmp_path / "photos" / os.fsdecode(b"\xff\n\xc3\xbc.png"))
    how = {"encoding": "ascii", "errors": "backslashreplace"}  # as every command sets it
    with open(tmp_path / "stdout", "w", **how) as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert len(run("out", "photos")) == 2
    assert r"\udcff" in (tmp_path / "stdout").read_text()


@pytest.mark.parametrize(
    ("out", "arguments", "message"),
    [
        ("out", [], "name at least one image"),
        ("out", ["empty"], "name at least one image"),
        ("out", ["nowhere.png"], "nowhere.png does not exist"),
        ("out", [""], "an image of no name does not exist"),
        ("a.png", ["a.png"], r"cannot write a.png/a.png.segments.png \(.*\): make room, or name"),
        ("/proc/x", ["a.png"], r"cannot write /proc/x/a.png.* \(.*\): make room, or name another"),
    ],
)
def test_bad_input_gets_one_line(run, tmp_path, out, arguments, message):
    save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        run(out, *arguments)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_result_of_before(run, tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    run("out", "a.png")
    before = contents(tmp_path / "out")

    def fill(path, **arrays):
        path.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill)
    with pytest.raises(UserError, match=r"cannot write .* \(No space left on device\): make room"):
        run("out", "a.png")
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("size", [(37, 53), (1, 90)])
def test_in_blocks_as_at_once(size, monkeypatch):
    rng = np.random.default_rng(0)
    attention = jnp.asarray(rng.dirichlet(np.ones(5), (4, 6)).transpose(2, 0, 1), jnp.float32)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    monkeypatch.setattr(own_images, "BLOCK", 160)  # some rows, the last block is smaller
    segments = own_images.stretch(attention, size)
    np.testing.assert_array_equal(segments, slot_map(attention[None], size)[0])
    picture = own_images.draw_panels(image, {"decoder": segments, "aggregator": segments * 0})
    _, decoder, aggregator = np.split(np.asarray(picture)[TITLE:], 3, axis=1)
    np.testing.assert_array_equal(decoder, overlay(image, segments.astype(int)))
    np.testing.assert_array_equal(aggregator, overlay(image, segments.astype(int) * 0))
