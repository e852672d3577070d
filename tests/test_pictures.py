"""Overlays, overviews, outlines and confusions: what is painted where."""

import numpy as np

from dias_jax.pictures import confusion, outlines, overlays


def test_overlay_paints_segments_and_leaves_unannotated_pixels():
    image = np.full((8, 8, 3), 100, np.uint8)
    segments = np.full((8, 8), -1)
    segments[:, 4:] = 2
    painted = overlays.overlay(image, segments)
    assert (painted[:, :4] == 100).all()
    assert (painted[:, 4] == 255).all()  # the border
    expected = 0.4 * 100 + 0.6 * overlays.colours(3)[2]
    np.testing.assert_allclose(painted[0, 6], expected, atol=1)
    assert (overlays.overlay(image, np.full((8, 8), -1)) == 100).all()


def test_spotlight_is_brightest_where_attention_is():
    image = np.full((32, 32, 3), 200, np.uint8)
    attention = np.zeros((4, 4))
    attention[0, 3] = 1
    lit = overlays.spotlight(image, attention)
    assert lit[0, -1].min() == 200 and lit[-1, 0].max() == 30


def test_colours_are_distinct_up_to_twenty():
    assert len({tuple(colour) for colour in overlays.colours(20)}) == 20
    assert overlays.colours(24).shape == (24, 3)


def test_overview_has_a_column_for_everything():
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 255, (3, 32, 32, 3), np.uint8),
        "mask": rng.integers(0, 4, (3, 32, 32), np.uint8),
    }
    segmentations = {
        "decoder": rng.integers(0, 5, (3, 32, 32), np.uint8),
        "aggregator": rng.integers(0, 5, (3, 32, 32), np.uint8),
    }
    slot_mask = np.array([[True, False, True, True, True]] * 3)
    dark = np.zeros((3, 5, 4, 4))
    picture = overlays.overview(batch, segmentations, dark, slot_mask, count=2)
    step = overlays.TILE + overlays.GAP
    assert picture.size == (9 * step - overlays.GAP, overlays.TITLE + 2 * step)
    del batch["mask"]  # without ground truth a column less
    assert (
        overlays.overview(batch, segmentations, dark, slot_mask, 2).width == 8 * step - overlays.GAP
    )
    dark = np.asarray(picture)
    assert dark[overlays.TITLE + 5, -5].max() < 0.16 * 255
    assert (dark[overlays.TITLE + 5, 5 * step + 5] == overlays.UNUSED).all()  # slot 1


def test_lines_of_masks_leave_out_the_edge_of_the_picture():
    mask = np.zeros((10, 12), bool)
    mask[:7, 3:] = True
    expected = mask.copy()
    expected[:5, 5:] = False
    np.testing.assert_array_equal(outlines.mask_line(mask), expected)


def test_lines_of_boxes():
    line = outlines.box_line((20, 40), [0.25, 0.1, 0.5, 0.9])
    expected = np.zeros((20, 40), bool)
    expected[2:18, 10:20] = True
    expected[4:16, 12:18] = False
    np.testing.assert_array_equal(line, expected)
    dashed = outlines.box_line((20, 40), [0.25, 0.1, 0.5, 0.9], is_dashed=True)
    assert (line & ~dashed).any() and not (dashed & ~line).any() and dashed.sum() > line.sum() / 2
    outside = outlines.box_line((20, 40), [-0.5, 0.1, 0.5, 3])
    assert outside[:, 0].sum() == 18 and outside[-1].sum() == 20
    assert not outlines.box_line((20, 40), [0.5, 0.1, 0.25, 0.9]).any()  # of no area


def test_lines_have_a_dark_hem():
    image = np.full((8, 8, 3), 200, np.uint8)
    line = np.zeros((8, 8), bool)
    line[3] = True
    drawn = outlines.draw_line(image, line, (255, 0, 9))
    assert (drawn[3] == (255, 0, 9)).all() and (drawn[[2, 4]] == 50).all()
    assert (drawn[[0, 1, 5, 6, 7]] == 200).all()


def test_confusions_of_few_classes():
    names = ["ground", "cat", "dog"]
    true, predicted = np.array([2, 2, 2, 1]), np.array([2, 1, 2, 1])
    counts, labels = confusion.count_confusions(true, predicted, names)
    assert labels == ["dog", "cat"] and counts.tolist() == [[2, 1], [0, 1]]
    counts, labels = confusion.count_confusions(true, np.array([2, 0, 2, 1]), names)
    assert labels == ["dog", "cat", "others"]
    assert counts.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_confusions_of_many_classes():
    true = np.repeat(np.arange(25), np.arange(1, 26))
    counts, labels = confusion.count_confusions(true, true, [f"kind {i}" for i in range(25)])
    assert labels == [*(f"kind {i}" for i in range(24, 4, -1)), "others"]
    assert np.diag(counts).tolist() == [*range(25, 5, -1), 15] and counts.sum() == len(true)
    figure = confusion.plot_confusions(counts, labels)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()][-1] == "others (15)"
    assert {text.get_text() for text in axis.texts} == {"100"} and len(axis.texts) == 21
