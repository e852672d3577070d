"""Measures of frozen features, on features whose worth is known."""

import numpy as np

from experiments.studies import features


def test_features_of_the_truth_give_the_truth():
    masks = np.kron(np.array([[[1, 1, 2], [3, 2, 2]]] * 2), np.ones((1, 4, 4), int)).astype(
        np.uint8
    )
    masks[0, 0, 0] = 0  # not annotated
    tokens = np.eye(4, dtype=np.float32)[masks[:, 2::4, 2::4]]
    found = features.nearest_true_mean(tokens, masks)
    np.testing.assert_array_equal(found, masks[:, 2::4, 2::4].astype(int) - 1)


def test_neighbours_explain_what_is_smooth_and_not_what_is_noise():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(40, 12, 12, 3))
    slope = generator.normal(size=(40, 2, 3))
    row, column = np.mgrid[:12, :12]
    plane = slope[:, 0, None, None] * row[..., None] + slope[:, 1, None, None] * column[..., None]
    assert features.explained_by_neighbours(plane, 4) > 0.999
    assert features.explained_by_neighbours(noise, 4) < 0.05


def test_centred_features_have_no_mean_at_any_place():
    values = np.random.default_rng(1).normal(3, 2, (30, 4, 4, 5)) + np.arange(4)[:, None, None]
    centred = features.centre(values)
    np.testing.assert_allclose(centred.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(centred.std((0, 1, 2)), 1, rtol=1e-6)
