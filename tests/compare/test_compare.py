"""The comparison command: its tables, its fixture, its complaints; and all of it with torch."""

import dataclasses
import importlib.util
import os
import pathlib

import chex
import numpy as np
import pytest

from dias_jax.compare import reference
from dias_jax.compare.case import build_case, image_size, tiny_model
from dias_jax.compare.fixture import read_fixture
from dias_jax.compare.speed import speed_row
from dias_jax.compare.table import difference_rows, markdown, scales
from dias_jax.compare.training import is_reported
from dias_jax.errors import UserError

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "tiny.npz"


@pytest.fixture
def checkout():
    """A checkout of the PyTorch reference, where one is named and can be run."""
    directory = os.environ.get("DIAS_JAX_REFERENCE")
    if directory is None:
        pytest.skip("DIAS_JAX_REFERENCE does not name a checkout of the PyTorch reference")
    for name in reference.REQUIREMENTS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the PyTorch reference needs {name}")
    return directory


def test_a_case_is_the_same_every_time_and_another_with_another_seed():
    first, again, other = (
        dataclasses.asdict(build_case("tiny", "float32", 2, 2, seed)) for seed in (0, 0, 1)
    )
    arrays = ("variables", "images", "evaluation_noise", "draws")
    chex.assert_trees_all_equal(*({name: x[name] for name in arrays} for x in (first, again)))
    assert (first["evaluation_noise"] != other["evaluation_noise"]).all()
    kernels = [x["variables"]["params"]["aggregator"]["query"]["kernel"] for x in (first, other)]
    assert (kernels[0] != kernels[1]).all()


def test_the_fixture_holds_the_tiny_model():
    case, sections = read_fixture(GOLDEN)
    expected = tiny_model("float32")
    assert case.model.backbone == expected.backbone
    assert case.model.aggregator == expected.aggregator
    assert case.model.decoder == expected.decoder
    assert case.images.shape[1] == image_size(expected)
    assert list(sections) == ["evaluation", "step 1", "step 2", "step 3"]


def test_differences_are_relative_to_the_largest_magnitude():
    theirs = {"slots": np.array([1.0, -4.0]), "gradients/a/b/c": np.array([2.0])}
    ours = {"slots": np.array([1.0, -4.2]), "gradients/a/b/c": np.array([2.0])}
    assert difference_rows(ours, theirs) == [
        ["slots", "2", "2.0e-01", "5.0e-02"],
        ["gradients/a/b", "1", "0.0e+00", "0.0e+00"],
    ]


def test_a_gradient_of_rounding_is_measured_against_its_kind():
    relative_to = scales({"gradients/a": np.array([1e-9]), "gradients/b": np.array([2.0])})
    assert relative_to == {"gradients/a": 2e-3, "gradients/b": 2.0}


def test_index_maps_count_what_differs():
    theirs, ours = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2])
    rows = difference_rows({"segmentation": ours}, {"segmentation": theirs})
    assert rows == [["segmentation", "4", "1 differ", "2.5e-01"]]


def test_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_ratio_above_one_means_ours_is_faster():
    seconds = np.array([[1.0, 2.0, 1.0], [2.0, 2.0, 3.0]])
    row = speed_row("training", 4, seconds, (2**30, None))
    assert row[2:] == ["4.00", "2.00", "2.00 (1.00 to 3.00)", "1.00", "not measured"]


def test_reported_steps():
    assert [n for n in range(1, 58) if is_reported(n, 57)] == [1, 2, 5, 10, 20, 50, 57]


def test_a_wrong_directory_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        reference.import_reference(tmp_path)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / reference.PACKAGE / "model").mkdir(parents=True)
    (tmp_path / reference.PACKAGE / "model" / "dias.py").touch()
    monkeypatch.setattr(reference, "REQUIREMENTS", ("numpy", "absent_package"))
    with pytest.raises(UserError, match="pip install absent_package"):
        reference.import_reference(tmp_path)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ([], "--reference is missing"),
        (["--reference=x", "--parts=stages,looks"], "looks"),
        (["--reference=x", "--parts=speed", "--batch_sizes=16,many"], "many"),
        (["--reference=no_such_place"], "no_such_place"),
    ],
)
def test_bad_flags_end_in_one_line(arguments, reason, run_module):
    result = run_module("dias_jax.compare", *arguments, check=False)
    assert result.returncode == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_all_parts_run(checkout, run_module, tmp_path):
    result = run_module(
        "dias_jax.compare",
        f"--reference={checkout}",
        "--size=tiny",
        "--parts=stages,training,speed",
        "--steps=2",
        "--repeats=1",
        "--batch_sizes=2,3",
        f"--trace={tmp_path}",
    )
    for title in ("## Stages", "## Training", "## Speed"):
        assert title in result.stdout
    relative = [line.split("|")[-2] for line in result.stdout.splitlines() if "step 1" in line]
    assert max(map(float, relative)) < 1e-4
    assert list(tmp_path.rglob("*.xplane.pb"))


def test_the_fixture_can_be_written_again(checkout, run_module, tmp_path):
    path = tmp_path / "again.npz"
    run_module(
        "dias_jax.compare", f"--reference={checkout}", "--size=tiny", f"--write_fixture={path}"
    )
    (case, sections), (expected_case, expected) = read_fixture(path), read_fixture(GOLDEN)
    chex.assert_trees_all_equal(case.variables, expected_case.variables)
    for name, value in expected["evaluation"].items():
        np.testing.assert_allclose(sections["evaluation"][name], value, rtol=1e-4, atol=1e-5)
