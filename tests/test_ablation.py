"""The ablation: which configs it trains, and what becomes of its results."""

import json

import numpy as np
import pytest
from PIL import Image

from dias_jax.config.checks import check_config
from dias_jax.config.defaults import flatten
from dias_jax.config.experiments import load_experiment
from experiments.studies import ablation, arms


def changed_keys(config):
    whole = flatten(load_experiment("shapes"))
    return {name for name, value in flatten(config).items() if value != whole[name]}


def test_every_arm_is_another_valid_config_and_changes_only_its_idea():
    own = {"seed", "data.keep_in_memory", "evaluation.every"}
    seen = []
    for name, changes in ablation.CHANGES.items():
        config = ablation.arm_config(name, 7)
        check_config(config)
        assert changed_keys(config) == own | changes.keys()
        seen.append(changes)
    assert len(seen) == 8 and all(one not in seen[:i] for i, one in enumerate(seen))


def test_tables_and_figure_hold_what_was_found(tmp_path):
    for arm, values in (("everything", (20.0, 26.0)), ("reduce only", (10.0, 20.0))):
        for seed, value in enumerate(values):
            directory = tmp_path / arm / str(seed)
            directory.mkdir(parents=True)
            metrics = dict.fromkeys(ablation.COLUMNS, value)
            (directory / "test.json").write_text(json.dumps({"metrics": metrics}))
    results = arms.read_results(tmp_path, ablation.CHANGES)
    assert list(results) == ["everything", "reduce only"]
    cells = [
        cell.strip()
        for cell in arms.results_table(results, ablation.COLUMNS).splitlines()[3].split("|")
    ]
    assert cells[1:3] == ["reduce only", "15.0 ± 7.1"] and cells[-2] == "2"
    lost = [cell.strip() for cell in ablation.differences(results).splitlines()[2].split("|")]
    assert lost[1:3] == ["reduce only", "8.0 ± 25.4"]  # 10 and 6; 12.706 * 2.828 / sqrt(2)
    ablation.plot(results, tmp_path / "figure.png")
    assert np.asarray(Image.open(tmp_path / "figure.png")).std() > 0


def test_differences_are_paired_by_seed():
    def runs(**values):
        return {seed: dict.fromkeys(ablation.COLUMNS, value) for seed, value in values.items()}

    whole = runs(a=50.0, b=80.0, c=20.0)
    mean, half = ablation.paired_difference(whole, runs(a=49.0, b=79.0), "decoder")
    assert mean == pytest.approx(1) and half == pytest.approx(0, abs=1e-9)
    assert ablation.paired_difference(whole, runs(c=15.0), "decoder") == (5.0, np.inf)
    assert ablation.paired_difference(whole, runs(d=15.0), "decoder") is None
