"""The schedules against the released code's."""

import jax
import numpy as np

from dias_jax.steps import schedules

NUM_STEPS = 1000
ROUNDING = 1e-5  # of float32, relative


def test_learning_rate(shared_golden):
    golden = np.load(shared_golden("metrics.npz"))["sched/lr"]
    schedule = schedules.learning_rate(2e-4, NUM_STEPS)
    actual = jax.vmap(schedule)(np.arange(NUM_STEPS + 1))
    np.testing.assert_allclose(actual, golden, rtol=ROUNDING, atol=ROUNDING * golden.max())


def test_half_cosine_rise(shared_golden):
    golden = np.load(shared_golden("metrics.npz"))["sched/distill"]
    schedule = schedules.half_cosine_rise(1.0, NUM_STEPS)
    actual = jax.vmap(schedule)(np.arange(NUM_STEPS + 1))
    np.testing.assert_allclose(actual, golden, atol=ROUNDING)


def test_learning_rate_rises_peaks_and_ends():
    schedule = schedules.learning_rate(1.0, 100, warmup_fraction=0.1, final_fraction=0.01)
    values = [float(schedule(step)) for step in range(101)]
    assert values[0] == 0
    assert np.argmax(values) == 10
    np.testing.assert_allclose([values[5], values[10], values[100]], [0.5, 1.0, 0.01], rtol=1e-6)


def test_half_cosine_rise_ends_at_its_peak():
    schedule = schedules.half_cosine_rise(0.5, 100)
    np.testing.assert_allclose([schedule(0), schedule(50), schedule(100)], [0, 0.25, 0.5])
    np.testing.assert_allclose(schedule(200), 0.5)


def test_half_cosine_rise_over_no_steps_is_its_peak_at_once():
    schedule = jax.jit(schedules.half_cosine_rise(0.5, 0))
    np.testing.assert_allclose([schedule(0), schedule(100)], 0.5)
