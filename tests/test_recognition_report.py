"""The report on a probe: numbers of each class, what is shown first, what stands on the page."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from dias_jax.errors import UserError
from dias_jax.gallery.recognition import (
    Readings,
    choose_cases,
    class_table,
    score_classes,
    write_report,
)
from dias_jax.gallery.recognition_page import BOX, DIMMED, GUESS, MASK, SIDE, draw_case
from tests.test_gallery import Pictures

NAMES = ["no <object>", "cat", "dog & co", "bird"]


@pytest.fixture
def readings():
    """Two images, six things: of cats one is named right, one wrong, one is not kept."""
    classes = np.array([[1, 1, 2, -1], [1, 2, 3, -1]])
    predicted = np.array([[1, 2, 2, 0], [3, 1, 0, 0]])
    sureness = np.array([[5, 2, 4, 9], [7, 6, 8, 9]])
    random = np.random.default_rng(0)
    boxes = np.tile(np.array([0.25, 0, 0.75, 0.5], np.float32), (2, 4, 1))
    return Readings(
        images=random.integers(100, 200, (2, 32, 32, 3), np.uint8),
        segments=np.array([[[0, 1], [2, 3]], [[1, 1], [0, 2]]], np.uint8),
        slot=np.array([[0, 1, 2, -1], [1, 2, -1, -1]]),
        iou=np.array([[0.9, 0.6, 0.5, 0], [0.4, 0.7, 0, 0]]),
        classes=classes,
        boxes=boxes,
        logits=np.eye(4)[predicted] * sureness[..., None],
        predicted_boxes=boxes + np.float32([0.125, 0, 0.125, 0]),
        is_kept=np.array([[True, True, True, False], [False, True, False, False]]),
    )


def test_numbers_of_classes(readings):
    scores = score_classes(readings, {1: 50.0, 2: 10.0}, NAMES)
    assert scores == [
        ("all classes", 6, 50, 4, 50, 30),
        ("cat", 3, pytest.approx(200 / 3), 2, 50, 50),
        ("dog & co", 2, 50, 2, 50, 10),
        ("bird", 1, 0, 0, None, None),
    ]
    table = class_table(scores).splitlines()
    assert [cell.strip() for cell in table[-1].split("|")[1:-1]] == [
        *("bird", "1", "0.0", "0", "–", "–")
    ]


def test_the_surest_of_the_wrong_come_first(readings):
    wrong, right = choose_cases(readings, NAMES, 5)
    assert [(case.sample, case.predicted_name, case.name) for case in wrong] == [
        (1, "cat", "dog & co"),
        (0, "dog & co", "cat"),
    ]
    assert [case.name for case in right] == ["cat", "dog & co"]
    first = wrong[0]
    assert first.predicted_share == pytest.approx(np.exp(6) / (np.exp(6) + 3))
    assert first.share == pytest.approx(1 / (np.exp(6) + 3))
    assert (first.mask_iou, first.box_iou) == (0.7, pytest.approx(0.6))
    np.testing.assert_array_equal(first.mask, [[False, False], [False, True]])
    np.testing.assert_array_equal(first.image, readings.images[1])


def test_the_right_ones_are_spread(readings):
    sureness = np.arange(1, 8)[None] / 2
    every = {name: np.zeros((1, 7)) for name in ("slot", "iou")}
    boxes = np.zeros((1, 7, 4))
    many = dataclasses.replace(
        readings,
        **every,
        classes=np.ones((1, 7), int),
        boxes=boxes,
        predicted_boxes=boxes,
        logits=np.eye(4)[[[1] * 7]] * sureness[..., None],
        is_kept=np.ones((1, 7), bool),
    )
    wrong, right = choose_cases(many, NAMES, 3)
    assert not wrong
    shares = [case.share for case in right]
    np.testing.assert_allclose(shares, np.exp([3.5, 2, 0.5]) / (np.exp([3.5, 2, 0.5]) + 3))


def test_what_is_drawn(readings):
    (case, _), _ = choose_cases(readings, NAMES, 5)
    view = draw_case(case)
    assert view.shape == (SIDE, SIDE, 3)
    outside, inside = view[-60:-30, 30:60], view[-60:-30, -60:-30]
    large = np.asarray(Image.fromarray(case.image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(inside, large[-60:-30, -60:-30])
    np.testing.assert_allclose(outside, DIMMED * large[-60:-30, 30:60], atol=1)
    assert view[-5, SIDE // 2].tolist() == list(MASK)
    assert view[30, SIDE // 4].tolist() == list(BOX)
    assert list(GUESS) in view[30:46, 3 * SIDE // 8].tolist()


def test_files_of_a_report(readings, tmp_path):
    facts = ["shapes <test>: a protocol."]
    paths = write_report(tmp_path / "out", readings, {1: 50.0}, NAMES, "Probe", facts, count=2)
    assert [path.name for path in paths] == ["confusion.png", "classes.md", "index.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in paths
    )
    assert np.asarray(Image.open(paths[0])).std() > 10
    assert paths[1].read_text().startswith("| class ")
    text = paths[2].read_text()
    parser = Pictures()
    parser.feed(text)
    assert [picture.size for picture in parser.pictures[:4]] == [(SIDE, SIDE)] * 4
    assert len(parser.pictures) == 5  # the last one shows confusions
    assert parser.classes.count("wrong") == parser.classes.count("right") == 2
    assert (
        "<b>cat</b> (99 %), true: dog &amp; co (0 %)<br>IoU: mask 0.70, box\n0.60; image 1" in text
    )
    assert "shapes &lt;test&gt;" in text and "no <object>" not in text and "&lt;h2" not in text


@pytest.mark.filterwarnings("error")
def test_a_report_on_nothing(readings, tmp_path):
    nothing = dataclasses.replace(readings, is_kept=np.zeros((2, 4), bool))
    *_, page = write_report(tmp_path, nothing, {}, NAMES, "Probe", [])
    assert page.read_text().count("There are none.") == 2


def test_where_no_report_can_be_written(readings, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write .*file .*: make room, or name another dir"):
        write_report(tmp_path / "file", readings, {}, NAMES, "Probe", [])
