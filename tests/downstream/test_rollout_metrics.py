"""Errors over the horizon against the released code's numbers and by hand."""

import jax
import numpy as np
import pytest

from data_pipelines.drawn import bouncing
from dias_jax.downstream import rollout_metrics
from dias_jax.downstream.rollout_metrics import centre_errors, centres_of, slot_errors

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def video():
    return bouncing.render(0, "train", 64)


def test_errors_of_every_step(slotformer_golden):
    golden = slotformer_golden
    observed, true = golden["slots"][:, :4], golden["slots"][:, 4:]
    counted = np.ones(true.shape[:3], bool)
    errors, valid = slot_errors(golden["eval/prediction"], true, counted)
    np.testing.assert_allclose(errors.mean(0), golden["eval/loss_per_step"], rtol=1e-5)
    copied, _ = slot_errors(rollout_metrics.copy_last(observed, 5), true, counted)
    np.testing.assert_allclose(copied.mean(0), golden["eval/copy_last_per_step"], rtol=1e-5)
    relative = rollout_metrics.relative_errors(errors, copied, valid)
    expected = golden["eval/loss_per_step"] / golden["eval/copy_last_per_step"]
    np.testing.assert_allclose(relative, expected, rtol=1e-5)
    assert valid.all()


def test_only_counted_slots_have_an_error():
    true, predicted = np.zeros((2, 3, 4, 5)), np.ones((2, 3, 4, 5))
    predicted[:, :, 1], predicted[:, :, 2:] = 2, 100
    counted = np.zeros((2, 3, 4), bool)
    counted[:, :, :2], counted[0, 1] = True, False
    errors, valid = slot_errors(predicted, true, counted)
    np.testing.assert_array_equal(errors, [[2.5, 0, 2.5], [2.5, 2.5, 2.5]])
    np.testing.assert_array_equal(valid, [[True, False, True], [True] * 3])
    baseline = np.full((2, 3), 5.0)
    relative = rollout_metrics.relative_errors(errors, baseline, valid)
    np.testing.assert_array_equal(relative, [0.5, 0.5, 0.5])


def test_extrapolation_is_exact_for_steady_motion():
    random = np.random.default_rng(0)
    start, change = random.standard_normal((2, 2, 1, 3, 4))
    slots = start + np.arange(7)[:, None, None] * change
    found = rollout_metrics.extrapolate(slots[:, :4], 3)
    np.testing.assert_allclose(found, slots[:, 4:], rtol=1e-5, atol=1e-5)


def test_released_metrics(slotformer_shared):
    golden = slotformer_shared
    maps, true = (golden[f"metrics/{name}"].astype(np.int32) for name in ("post_processed", "true"))
    metrics = jax.jit(rollout_metrics.mask_metrics, static_argnums=(2, 3))(maps, true, 4, 5)
    for name in ("ari", "fg_ari", "fg_miou"):
        values, valid = metrics[name]
        assert valid.all()
        np.testing.assert_allclose(values.mean(0), golden[f"metrics/{name}"], atol=1e-6)


def test_centres_are_those_of_the_discs(video):
    centres, is_seen = centres_of(video.mask[None].astype(np.int32) - 2, 6)
    count = len(video.forms)
    assert is_seen[..., :count].all() and not is_seen[..., count:].any()
    away = np.linalg.norm(centres[0, :, :count] - video.world.position, axis=-1)
    assert away.max() < 0.006  # a third of a pixel
    assert np.abs(centres[0, :, :count] - video.world.position).mean() < 0.002


def test_copied_masks_are_as_far_off_as_discs_move(video):
    """Slots in another order than things."""
    true = video.mask[None, 9:].astype(np.int32) - 1
    count = len(video.forms)
    slots = np.roll(np.arange(count + 1), 2)[true]
    copied = np.repeat(slots[:, :1], len(true[0]), axis=1)
    moved = np.linalg.norm(video.world.position[10:] - video.world.position[9], axis=-1).mean(1)
    errors, valid = centre_errors(copied, true, count + 1, count + 1)
    assert valid.all() and errors.shape == (1, 20)
    np.testing.assert_allclose(errors[0], moved, atol=0.005)
    errors, valid = centre_errors(copied, true, count + 1, count + 1, threshold=1.01)
    assert not valid.any()
    errors, _ = centre_errors(slots, true, count + 1, count + 1)
    np.testing.assert_allclose(errors, 0, atol=1e-6)


def test_a_slot_that_shows_nowhere_is_where_it_was_seen_last():
    true = np.zeros((1, 4, 8, 8), np.int32)
    for time in range(4):
        true[0, time, 2:4, time : time + 2] = 1
    pred = true.copy()
    pred[0, 2:] = 0
    errors, valid = centre_errors(pred, true, 2, 2)
    np.testing.assert_allclose(errors, [[0, 1 / 8, 2 / 8]], atol=1e-6)
    true[0, 3] = 0  # nothing is there that could be missed
    errors, valid = centre_errors(pred, true, 2, 2)
    np.testing.assert_array_equal(valid, [[True, True, False]])


def test_half_life():
    assert rollout_metrics.half_life(np.array([0.8, 0.6, 0.4, 0.39, 0.5])) == 3
    assert rollout_metrics.half_life(np.array([0.8, 0.6])) == 2
