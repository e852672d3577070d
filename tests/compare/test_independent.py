"""Independent training runs: what is kept, and what the table says."""

import json

import numpy as np
import pytest

from dias_jax.compare.independent import compare_independent, keep, section
from dias_jax.compare.metrics import COLUMNS
from dias_jax.compare.reference.imported import import_reference
from dias_jax.config.defaults import released
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError

SIDE_BY_SIDE = "shapes:side_by_side"


def result(value):
    return {"metrics": dict.fromkeys(COLUMNS, value), "losses": [[100, 2.0], [200, 1.0]]}


def made(ours, theirs):
    results = {"ours": list(map(result, ours)), "reference": list(map(result, theirs))}
    return section(results, [1, 2, 3], load_experiment(SIDE_BY_SIDE))


def test_a_result_is_made_once(tmp_path):
    config, calls = load_experiment(SIDE_BY_SIDE), []

    def run(directory):
        calls.append(directory)
        return result(50.0)

    first, again = (keep(tmp_path / "ours" / "42", config, run) for repeat in range(2))
    assert first == again and calls == [tmp_path / "ours" / "42"]


def test_a_result_of_another_recipe_is_refused(tmp_path):
    config = load_experiment(SIDE_BY_SIDE)
    keep(tmp_path, config, lambda directory: result(50.0))
    config.steps = 7
    with pytest.raises(UserError, match=r"result.json.*another config.*--out"):
        keep(tmp_path, config, lambda directory: result(50.0))
    assert json.loads((tmp_path / "result.json").read_text())["metrics"]["decoder/ari"] == 50.0


def test_equal_means_are_no_difference_and_distant_ones_are():
    same = made([50.0, 52.0, 54.0], [51.0, 52.0, 53.0])
    row = same.tables[0].rows[0]
    assert row == ["decoder", "ARI", "52.0 ± 2.0", "52.0 ± 1.0", "+0.0", "1.00"]
    distant = made([50.0, 50.1, 50.2], [60.0, 60.1, 60.2])
    assert all(float(row[-1]) < 0.05 / 8 for row in distant.tables[0].rows)
    assert "the smallest is 0.00" in distant.text
    assert [len(figure.axes) for _, figure in same.figures] == [1, 1]


def test_the_recipe_is_one_that_the_reference_can_follow():
    config = load_experiment(SIDE_BY_SIDE)
    assert config.model.token_stride == 1 and config.model.num_iterations == 3
    assert config.model.reinit.threshold == 0 and config.model.reinit.num_iterations == 0
    assert config.loss.distillation == "released"
    assert np.sqrt(config.model.decoder.num_tokens) == (
        config.data.image_size / config.model.backbone.patch_size
    )


def test_both_are_trained_and_evaluated(checkout, tiny_config, tmp_path):
    import_reference(checkout)
    config = released(tiny_config.unlock())
    config.update_from_flattened_dict({"steps": 4, "evaluation.every": 4})
    found = compare_independent(config, [1, 2], tmp_path)
    numbers = [row[2:4] for row in found.tables[0].rows]
    assert len(numbers) == 8 and all("nan" not in cell for cells in numbers for cell in cells)
    losses = [
        json.loads((tmp_path / name / seed / "result.json").read_text())["losses"]
        for name in ("ours", "reference")
        for seed in ("1", "2")
    ]
    assert all([step for step, _ in curve] == [2, 4] for curve in losses)
    first_losses = [curve[0][1] for curve in losses]
    assert len(set(first_losses)) == 4 and max(first_losses) < 2 * min(first_losses)
