"""The ablation: which configs it trains, and what becomes of its results."""

import json

import numpy as np
from PIL import Image

from dias_jax.config.checks import check_config
from dias_jax.config.defaults import flatten
from dias_jax.config.experiments import load_experiment
from experiments.studies import ablation


def test_every_arm_is_another_valid_config():
    seen = []
    for changes in ablation.arms().values():
        config = load_experiment("shapes")
        config.update_from_flattened_dict(ablation.SHORT)
        config.update_from_flattened_dict(changes)
        check_config(config)
        seen.append(flatten(config))
    assert len(seen) == 11 and all(one not in seen[:i] for i, one in enumerate(seen))
    weights = [one["loss.distillation_weight"] for one in seen]
    assert weights.count(0) == 3 and weights.count(1) == 8


def test_table_and_figure_hold_what_was_found(tmp_path):
    for seed, value in ((1, 10.0), (2, 20.0)):
        directory = tmp_path / "reduce, off" / str(seed)
        directory.mkdir(parents=True)
        metrics = dict.fromkeys(ablation.COLUMNS, value)
        (directory / "test.json").write_text(json.dumps({"metrics": metrics, "protocol": "none"}))
    results = ablation.read_results(tmp_path)
    assert list(results) == ["reduce, off"]
    cells = [cell.strip() for cell in ablation.table(results).splitlines()[2].split("|")]
    assert cells[1:3] == ["reduce, off", "15.0 ± 5.0"] and cells[-2] == "2"
    ablation.plot(results, tmp_path / "figure.png")
    assert np.asarray(Image.open(tmp_path / "figure.png")).std() > 0
