"""Metrics against golden numbers, against plain numpy, and the properties that define them."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from dias_jax import metrics

METRICS = sorted(metrics.METRICS)
CASES = ("more_slots", "more_objects", "padded", "single", "holes")
EXACT = 1e-6  # float32 arithmetic on exact counts


def one_hot(maps, count):
    """Index maps (B, P) -> (B, P, count) bool."""
    return np.eye(count, dtype=bool)[maps]


def random_masks(seed=0, batch=5, pixels=300, slots=6, masks=4):
    """Predictions and ground truths that overlap more than by chance; some pixels in no mask."""
    random = np.random.default_rng(seed)
    true = random.integers(0, masks, (batch, pixels))
    noise = random.integers(0, slots, (batch, pixels))
    pred = np.where(random.random((batch, pixels)) < 0.5, true % slots, noise)
    pred, true = one_hot(pred, slots), one_hot(true, masks)
    true[:, ::7] = False
    return pred, true


def score(name, pred, true):
    values, valid = metrics.METRICS[name](pred, true)
    return np.asarray(values), np.asarray(valid)


def plain_ari(pred, true):
    """The definition in exact integers, one sample (P, S), (P, G)."""
    counts = pred.T.astype(np.int64) @ true.astype(np.int64)
    pairs, rows, columns, total = (
        int((x * (x - 1)).sum()) for x in (counts, counts.sum(1), counts.sum(0), counts.sum())
    )
    expected = rows * columns / total
    return (pairs - expected) / ((rows + columns) / 2 - expected)


def plain_ious(pred, true):
    """IoU of every pair of masks of one sample, (S, G)."""
    shared = (pred[:, :, None] & true[:, None, :]).sum(0)
    union = (pred[:, :, None] | true[:, None, :]).sum(0)
    return shared / np.maximum(union, 1)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_golden_numbers(case, name, shared_golden):
    golden = np.load(shared_golden("metrics.npz"))
    values, valid = score(name, golden[f"{case}/pred"], golden[f"{case}/true"])
    key = f"{case}/{'ari_fg' if name == 'fg_ari' else name}"
    np.testing.assert_array_equal(valid, golden[f"{key}_valid"])
    np.testing.assert_allclose(values[valid], golden[key][valid], atol=EXACT)


def test_ari_is_its_definition():
    pred, true = random_masks()
    expected = [plain_ari(p, t) for p, t in zip(pred, true)]
    np.testing.assert_allclose(score("ari", pred, true)[0], expected, atol=EXACT)
    expected = [plain_ari(p, t[:, 1:]) for p, t in zip(pred, true)]
    np.testing.assert_allclose(score("fg_ari", pred, true)[0], expected, atol=EXACT)


def test_mbo_is_its_definition():
    pred, true = random_masks()
    expected = [plain_ious(p, t).max(0).mean() for p, t in zip(pred, true)]
    np.testing.assert_allclose(score("mbo", pred, true)[0], expected, atol=EXACT)


@pytest.mark.parametrize("slots, masks", [(6, 4), (3, 9), (5, 5), (1, 4), (24, 12)])
def test_miou_matches_as_well_as_scipy(slots, masks):
    pred, true = random_masks(slots, batch=20, slots=slots, masks=masks)
    expected = []
    for iou in (plain_ious(p, t) for p, t in zip(pred, true)):
        expected.append(iou[linear_sum_assignment(iou, maximize=True)].sum() / masks)
    np.testing.assert_allclose(score("miou", pred, true)[0], expected, atol=EXACT)


@pytest.mark.parametrize("name", METRICS)
def test_names_of_slots_and_objects_do_not_matter(name):
    pred, true = random_masks()
    before, _ = score(name, pred, true)
    objects = [0, 3, 1, 2]  # the background keeps its place
    after, _ = score(name, pred[:, :, ::-1], true[:, :, objects])
    np.testing.assert_allclose(after, before, atol=EXACT)


@pytest.mark.parametrize("name", METRICS)
def test_empty_masks_are_padding(name):
    pred, true = random_masks()
    before, valid = score(name, pred, true)
    padding = ((0, 0), (0, 0), (0, 5))
    for masks in ((pred, np.pad(true, padding)), (np.pad(pred, padding), true)):
        after, still_valid = score(name, *masks)
        np.testing.assert_allclose(after, before, atol=EXACT)
        np.testing.assert_array_equal(still_valid, valid)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("masks", [2, 5])
def test_a_perfect_prediction_is_one(name, masks):
    _, true = random_masks(masks=masks)
    values, valid = score(name, true, true)
    np.testing.assert_allclose(values, 1, atol=EXACT)
    assert valid.all()


def test_one_cluster_against_itself_is_perfect():
    everything = np.ones((2, 50, 1), bool)
    assert (score("ari", everything, everything)[0] == 1).all()


@pytest.mark.parametrize("name", METRICS)
def test_jit_and_vmap(name):
    pred, true = random_masks()
    expected = score(name, pred, true)
    for actual in (
        jax.jit(metrics.METRICS[name])(pred, true),
        jax.vmap(metrics.METRICS[name])(pred[:, None], true[:, None]),
    ):
        np.testing.assert_allclose(np.ravel(actual[0]), expected[0], atol=EXACT)
        np.testing.assert_array_equal(np.ravel(actual[1]), expected[1])


def test_pairs_of_pixels_do_not_overflow():
    pred, true = random_masks(batch=2, pixels=256 * 256, slots=3, masks=3)
    expected = [plain_ari(p, t) for p, t in zip(pred, true)]
    np.testing.assert_allclose(score("ari", pred, true)[0], expected, atol=EXACT)


@pytest.mark.parametrize("name", METRICS)
def test_no_ground_truth_is_invalid_but_finite(name):
    pred, true = random_masks()
    true[1] = False
    values, valid = score(name, pred, true)
    np.testing.assert_array_equal(valid, [True, False, True, True, True])
    assert np.isfinite(values).all()


def test_an_image_of_background_only_has_no_fg_ari():
    pred, true = random_masks()
    true[1, :, 1:] = False
    np.testing.assert_array_equal(score("fg_ari", pred, true)[1], [True, False, True, True, True])
    assert score("ari", pred, true)[1].all()


def test_count_error_counts_masks_that_are_not_empty():
    pred = one_hot(np.array([[0, 1, 2, 3], [5, 5, 5, 5], [0, 0, 1, 1], [0, 1, 2, 3]]), 6)
    true = one_hot(np.array([[0, 0, 1, 1], [0, 1, 2, 2], [2, 2, 0, 0], [0, 1, 2, 3]]), 9)
    true[3] = False
    values, valid = jax.jit(metrics.count_error)(pred, true)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[:3], [2, 2, 0])
    np.testing.assert_array_equal(valid, [True, True, True, False])


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_pixels_are_counted_alike_one_image_after_another_and_many_at_once(at_once):
    rng = np.random.default_rng(0)
    maps = [rng.integers(-1, 4, (5, 6, 7)) for _ in range(2)]
    expected = metrics.count_maps(*maps, 4, 3)
    found = metrics.count_in_groups((4, 3), at_once, *maps)
    for ours, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert ours.shape[0] == 5 and (ours == wanted).all()
    pairs = (maps[0][..., None] == np.arange(4)), (maps[1][..., None] == np.arange(3))
    np.testing.assert_array_equal(found.shared, np.einsum("bhws,bhwg->bsg", *map(np.int64, pairs)))
