"""How far two runs drift apart, and what is kept of them."""

import numpy as np
import pytest

from dias_jax.compare.case import build_case, with_new_scenes
from dias_jax.compare.table import ZERO_GRADIENT
from dias_jax.compare.training import (
    compared_runs,
    drift,
    follow,
    is_reported,
    title,
    training_table,
)
from dias_jax.compare.training_plot import plot_curves

DTYPES = ["float32", "bfloat16"]
ERRORS = {  # of the parameters, relative to the way
    ("ours", "float32"): 0.01,
    ("reference", "float32"): 0.0,
    ("ours", "bfloat16"): 0.31,
    ("reference", "bfloat16"): 0.2,
}


def run(error, num_steps=3):
    """A run whose parameters move by one in each step, but for an error."""
    for step in range(1, num_steps + 1):
        yield {
            "loss": np.float32(step + error),
            "gradient_norm": np.float32(1),
            "parameters/a": np.array([step * (1 + error), 0]),
            f"parameters/{ZERO_GRADIENT}": np.array([100 * error]),
        }


def curves():
    initial = {"parameters/a": np.zeros(2), f"parameters/{ZERO_GRADIENT}": np.zeros(1)}
    runs = {name: run(error) for name, error in ERRORS.items()}
    return follow(runs, initial, compared_runs(DTYPES))


def test_drift_is_a_share_of_the_way():
    start, there = np.array([1.0, 1.0]), np.array([4.0, 5.0])
    assert drift(there + np.array([0, 1.0]), there, start) == pytest.approx(0.2)
    assert drift(there, there, start) == 0
    assert np.isnan(drift(there, start, start))


def test_half_precision_is_compared_with_each_ones_own_float32():
    drifts = {title(pair): values for pair, values in curves().drift.items()}
    assert drifts == {
        "drift, ours to reference, float32": pytest.approx([0.01] * 3),
        "drift, ours to reference, bfloat16": pytest.approx([0.11 / 1.2] * 3),
        "drift, ours, bfloat16 to its float32": pytest.approx([0.3 / 1.01] * 3),
        "drift, reference, bfloat16 to its float32": pytest.approx([0.2] * 3),
    }
    assert len(compared_runs(["bfloat16"])) == 1  # nothing to compare with


def test_the_table_of_each_dtype():
    table = training_table(curves(), "bfloat16")
    assert [row[0] for row in table.rows] == ["1", "2", "3"]
    assert table.rows[1][:3] == ["2", "2.310000", "2.200000"]
    assert table.rows[1][5:] == ["9.2e-02", "3.0e-01", "2.0e-01"]
    assert len(table.header) == len(table.rows[0])
    assert len(training_table(curves(), "float32").header) == 6


def test_every_run_is_drawn():
    figure = plot_curves(curves(), DTYPES)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == ["loss, float32", "gradient norm, float32"]
    assert [len(axis.lines) for axis in figure.axes] == [2, 2, 2, 2, 4]
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [1.01, 2.01, 3.01])  # ours
    assert figure.axes[-1].get_yscale() == "log"


def test_reported_steps():
    assert [n for n in range(1, 58) if is_reported(n, 57)] == [1, 2, 5, 10, 20, 50, 57]


def test_every_step_has_scenes_of_its_own_the_same_for_both():
    case = with_new_scenes(build_case("tiny", "float32", 2, 3, seed=0))
    first, again = (np.stack([x for x, draws in case.training_steps()]) for each in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, *case.images.shape) and first.dtype == np.float32
    assert len(np.unique(first[..., 0, 0, 0])) == 6
    assert [draws for images, draws in case.training_steps()] == case.draws
