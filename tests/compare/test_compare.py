"""The comparison command: its case, its fixture, its complaints; and all of it with torch."""

import dataclasses
import shutil

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.compare.case import build_case, compute_in, full_model, image_size, tiny_model
from dias_jax.compare.fixture import GOLDEN, fixture_path, read_fixture
from dias_jax.compare.reference import imported
from dias_jax.config.defaults import get_config, released
from dias_jax.errors import UserError
from dias_jax.models.build import build


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
    expected = tiny_model()
    assert case.model.backbone == expected.backbone
    assert case.model.aggregator == expected.aggregator
    assert case.model.decoder == expected.decoder
    assert case.images.shape[1] == image_size(expected)
    assert list(sections) == ["evaluation", "step 1", "step 2", "step 3"]


def test_any_dtype_computes_with_the_same_variables():
    first, half = (build_case("tiny", dtype, 1, 1, 0) for dtype in ("float32", "bfloat16"))
    assert half.model.decoder.dtype == half.model.backbone.dtype == jnp.bfloat16
    assert compute_in(half.model, "float32") == first.model
    chex.assert_trees_all_equal(first.variables, half.variables)
    config = released(get_config()).model
    config.dtype = "bfloat16"
    assert compute_in(full_model(), "bfloat16") == build(config)


def test_a_file_that_is_no_fixture_is_named(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    for name in ("absent.npz", "text.npz", "other.npz"):
        with pytest.raises(UserError, match=name):
            read_fixture(tmp_path / name)
    shutil.copy(GOLDEN, tmp_path / "alone.npz")
    with pytest.raises(UserError, match="alone.safetensors"):
        read_fixture(tmp_path / "alone.npz")


def test_a_wrong_directory_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        imported.import_reference(tmp_path)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / imported.PACKAGE / "model").mkdir(parents=True)
    (tmp_path / imported.PACKAGE / "model" / "dias.py").touch()
    monkeypatch.setattr(imported, "REQUIREMENTS", ("numpy", "absent_package"))
    with pytest.raises(UserError, match="pip install absent_package"):
        imported.import_reference(tmp_path)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ([], "--reference"),
        (["--reference=x", "--parts=stages,looks"], "looks"),
        (["--reference=x", "--parts=speed", "--batch_sizes=16,many"], "many"),
        (["--reference=no_such_place"], "no_such_place"),
        (["--reference=x", "--parts=independent", "--seeds=42"], "at least two"),
        (["--fixture=golden", "--parts=stages,speed"], "--parts=stages"),
    ],
)
def test_bad_flags_end_in_one_line(arguments, reason, run_module):
    result = run_module("dias_jax.compare", *arguments, check=False)
    assert result.returncode == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def table_cells(output):
    """The cells of every line of a Markdown table."""
    lines = (line for line in output.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def relative_differences(output):
    """The column of the largest relative difference in the table of each pass."""
    lines = table_cells(output)
    return [float(cells[4]) for cells in lines if len(cells) == 6 and "e-" in cells[4]]


def test_a_fixture_is_found_by_name_or_path():
    assert fixture_path("golden") == GOLDEN and GOLDEN.is_file()
    assert fixture_path(str(GOLDEN)) == GOLDEN


@pytest.mark.slow
def test_stages_can_be_compared_without_torch(run_module, tmp_path):
    result = run_module("dias_jax.compare", "--fixture=golden", f"--out={tmp_path}")
    differences = relative_differences(result.stdout)
    assert len(differences) > 70 and max(differences) < 1e-4  # but those that are zero
    written = [str(tmp_path / name) for name in ("report.html", "report.md")]
    assert result.stdout.splitlines()[-2:] == written
    assert "## Stages" in (tmp_path / "report.md").read_text()


def test_all_parts_run(checkout, run_module, tmp_path, monkeypatch):
    # Where others use the processor, PyTorch's threads wait for each other for most of the time.
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    result = run_module(
        "dias_jax.compare",
        f"--reference={checkout}",
        "--size=tiny",
        "--parts=stages,metrics,training,speed",
        "--samples=30",
        "--images=3",
        "--steps=3",
        "--repeats=2",
        "--batch_sizes=2",
        f"--trace={tmp_path / 'trace'}",
        f"--out={tmp_path}",
    )
    report = (tmp_path / "report.md").read_text()
    for title in ("## Stages", "## Metrics", "## Training", "## Speed"):
        assert title in result.stdout and title in report
    assert max(relative_differences(result.stdout)) < 1e-4
    check_drifts(result.stdout)
    check_metrics(result.stdout)
    assert "not measured" not in result.stdout
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert len(list((tmp_path / "report_files").glob("*.png"))) == 5


def check_metrics(output):
    """Eight metrics of 30 samples, in percent, of which no sample's differs."""
    rows = [cells for cells in table_cells(output) if cells[0] in ("decoder", "aggregator")]
    assert len(rows) == 8 and {cells[2] for cells in rows} == {"30"}
    assert all(float(cells[-1]) < 1e-2 for cells in rows)


def check_drifts(output):
    """Next to none in float32, and in bfloat16 not beyond what bfloat16 does by itself."""
    lines = table_cells(output)
    full, half = (
        [
            [float(cell) for cell in cells]
            for cells in lines
            if cells[0].isdigit() and len(cells) == n
        ]
        for n in (6, 8)
    )
    assert len(full) == len(half) == 3
    assert max(row[-1] for row in full) < 3e-3  # Adam scales up gradients that are nearly zero
    for row in half:
        assert 0 < row[-3] < 2 * max(row[-2:])


def test_the_fixture_can_be_written_again(checkout, run_module, tmp_path):
    path = tmp_path / "again.npz"
    run_module(
        "dias_jax.compare", f"--reference={checkout}", "--size=tiny", f"--write_fixture={path}"
    )
    (case, sections), (expected_case, expected) = read_fixture(path), read_fixture(GOLDEN)
    chex.assert_trees_all_equal(case.variables, expected_case.variables)
    for name, value in expected["evaluation"].items():
        np.testing.assert_allclose(sections["evaluation"][name], value, rtol=1e-4, atol=1e-5)
