"""Vectors of regions: boxes, mean features, shares of patches, and what lies in their middles."""

import jax
import numpy as np
import pytest

from data_pipelines.building.masks import boxes_of
from dias_jax.downstream import regions
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.steps.extraction import extract_step

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Three regions of 6 x 8 pixels; region 2 is not there.
SEGMENTS = np.array(
    [
        [0, 0, 0, 0, -1, -1, -1, -1],
        [0, 0, 0, 0, -1, -1, -1, -1],
        [0, 0, 1, 1, 1, -1, -1, -1],
        [0, 0, 1, 1, 1, -1, -1, -1],
        [0, 0, 1, 1, 1, -1, -1, -1],
        [0, 0, 0, 0, -1, -1, -1, 0],
    ]
)


def test_boxes_are_those_of_the_records():
    expected = boxes_of((SEGMENTS + 2).astype(np.uint8), 3)
    np.testing.assert_allclose(regions.region_boxes(SEGMENTS[None], 3)[0], expected, rtol=1e-6)
    assert (expected[2] == 0).all() and (expected[0] == [0, 0, 1, 1]).all()


def test_a_vector_is_the_mean_of_what_its_region_covers():
    features = np.zeros((1, 3, 4, 2), np.float32)
    features[..., 0], features[..., 1] = np.arange(4), np.arange(3)[:, None]
    shares = np.zeros((1, 3, 4, 3), np.float32)
    shares[0, 1, 1, 0], shares[0, 2, 3, 0], shares[0, 0, 2, 1] = 1, 0.5, 0.25
    found = regions.mean_features(features, shares)
    np.testing.assert_allclose(found, [[[5 / 3, 4 / 3], [2, 0], [0, 0]]], rtol=1e-6)


def test_patches_of_a_segmentation():
    shares = regions.patch_shares(SEGMENTS[None], 3, (3, 4))
    assert shares.shape == (1, 3, 4, 3)
    assert (shares >= 0).all() and (shares.sum(-1) <= 1 + 1e-6).all()
    np.testing.assert_allclose(shares[0, 1, 1], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(shares[0, 2, 1], [1 / 2, 1 / 2, 0], atol=1e-6)
    odd = regions.patch_shares(SEGMENTS[None], 3, (4, 3))  # 1.5 rows of 8/3 columns each
    np.testing.assert_allclose(odd[0, 1, 1, 0], (1 / 2 * 4 / 3) / 4, rtol=1e-5)
    np.testing.assert_allclose(odd.sum((1, 2))[0] * 4, [19, 9, 0], rtol=1e-6)
    middles = regions.on_patches(SEGMENTS[None], (3, 4))
    assert middles[0].tolist() == [[0, 0, -1, -1], [0, 1, -1, -1], [0, 0, -1, 0]]


@pytest.mark.slow
def test_what_slots_are_compared_with(tiny_config):
    """Two things; true masks find both wholly, whatever the model."""
    model = build(tiny_config.model)
    variables = initialize(model, jax.random.key(0), 32)
    mask = np.ones((1, 32, 32), np.uint8)
    mask[:, 2:14, 2:14], mask[:, 18:30, 20:32] = 2, 4
    image = np.where(mask[..., None] == [2, 4, 7], 255, 0).astype(np.uint8)
    batch = {"image": image, "mask": mask, "index": np.arange(1), "crowd": np.zeros((1, 3), bool)}

    def extract(representation):
        arguments = {"model": model, "masks": "aggregator", "representation": representation}
        return extract_step(variables, batch, jax.random.key(1), **arguments)[1]

    true = extract("true_masks")
    assert true["slot"].tolist() == [[0, -1, 2]] and true["iou"].tolist() == [[1, 0, 1]]
    assert true["slot_mask"].tolist() == [[True, False, True]]
    assert set(np.unique(true["segments"])) == {0, 2, 255}
    slots, boxes = extract("slots"), extract("boxes")
    assert slots["slots"].shape == (1, 4, 16) and boxes["slots"].shape == (1, 4, 4)
    for name in ("slot", "iou", "overlap", "segments"):
        np.testing.assert_array_equal(slots[name], boxes[name])
    clusters = extract("k_means")
    assert clusters["slots"].shape[:2] == (1, 4) and clusters["iou"].max() > 0.5
    np.testing.assert_array_equal(clusters["overlap"].max(1), clusters["iou"])
