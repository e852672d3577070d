"""Differences between two records of all stages, their table and their plot."""

import numpy as np
import pytest

from dias_jax.compare.stages import compare_stages, record
from dias_jax.compare.stages_plot import SMALLEST
from dias_jax.compare.table import ZERO_GRADIENT, Difference, differences, scales


def test_differences_are_relative_to_the_largest_magnitude():
    theirs = {"slots": np.array([1.0, -4.0]), "gradients/a/b/c": np.array([2.0])}
    ours = {"slots": np.array([1.0, -4.2]), "gradients/a/b/c": np.array([2.0])}
    slots, gradient = differences(ours, theirs)
    assert slots.cells() == ["slots", "2", "2.0e-01", "1.0e-01", "5.0e-02", "2.5e-02"]
    assert gradient == Difference("gradients/a/b", 1, 0, 0, 0, 0)


def test_a_group_is_as_far_away_as_its_furthest_tensor():
    theirs = {"gradients/a/b/c": np.array([1.0, 1, 1]), "gradients/a/b/d": np.array([10.0])}
    ours = {"gradients/a/b/c": np.array([1.0, 1, 1.5]), "gradients/a/b/d": np.array([9.0])}
    (row,) = differences(ours, theirs)
    assert (row.largest, row.mean) == pytest.approx((1.0, 1.5 / 4))
    assert (row.relative_largest, row.relative_mean) == pytest.approx((0.5, 0.6 / 4))


def test_a_gradient_of_rounding_is_measured_against_its_kind():
    relative_to = scales({"gradients/a": np.array([1e-9]), "gradients/b": np.array([2.0])})
    assert relative_to == {"gradients/a": 2e-3, "gradients/b": 2.0}


def test_the_gradient_that_is_zero_is_left_out():
    theirs = {f"parameters/{ZERO_GRADIENT}": np.ones(3), "parameters/a": np.ones(2)}
    (row,) = differences({name: value + 1 for name, value in theirs.items()}, theirs)
    assert row.name == "parameters/a"


def test_index_maps_count_what_differs():
    theirs, ours = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2])
    (row,) = differences({"segmentation": ours}, {"segmentation": theirs})
    assert row.cells() == ["segmentation", "4", "1 differ", "", "", "2.5e-01"]


def make_record(error):
    """Two steps whose numbers are off by `error`."""
    stages = {"slots": 1.0, "loss": 2.0, "gradients/a": 1.0, "parameters/a": 1.0}
    stages = {name: np.array([value, value + error]) for name, value in stages.items()}
    evaluation = {"slots": np.array([4.0, 4 + 8 * error]), "segmentation": np.array([1, 2])}
    return record(evaluation, [stages, stages])


def test_gradients_of_the_first_and_parameters_of_the_last_step_are_kept():
    passes = make_record(0)
    assert list(passes["step 1"]) == ["slots", "loss", "gradients/a"]
    assert list(passes["step 2"]) == ["slots", "loss", "parameters/a"]


def test_the_section_names_the_furthest_stage_of_each_pass_and_draws_all():
    section = compare_stages(make_record(0.01), make_record(0))
    summary, *tables = section.tables
    assert summary.rows[0] == ["evaluation", "2.0e-02", "slots", "1.0e-02"]
    assert [table.caption for table in tables] == ["evaluation", "step 1", "step 2"]
    ((_, figure),) = section.figures
    panels = {axis.get_title(): axis for axis in figure.axes}
    assert list(panels) == [
        "what a pass computes",
        "gradients, first step",
        "parameters, last step",
    ]
    drawn = [line.get_xdata() for line in panels["what a pass computes"].lines]
    np.testing.assert_allclose(drawn[0], [0.02])  # evaluation's largest
    np.testing.assert_allclose(drawn[2], [0.01, 0.005])  # those of step 1
    assert all(axis.get_xscale() == "log" for axis in figure.axes)


def test_equal_numbers_have_a_place_in_the_plot():
    ((_, figure),) = compare_stages(make_record(0), make_record(0)).figures
    assert figure.axes[0].lines[0].get_xdata() == [SMALLEST]
