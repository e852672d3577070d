"""Overlays and overviews: what is painted where."""

import numpy as np

from dias_jax.pictures import overlays


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
