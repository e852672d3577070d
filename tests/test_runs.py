"""Opening a run with another config than it was trained with."""

import pytest

from dias_jax import runs
from dias_jax.config import save_config
from dias_jax.errors import UserError
from dias_jax.runs import open_run


def test_a_gaussian_for_each_slot_fixes_their_number(tiny_config, tmp_path):
    tiny_config.model.initializer = "separate"
    save_config(tiny_config, tmp_path)
    tiny_config.model.num_slots = 9
    with pytest.raises(UserError, match="model.num_slots=9: .* each of 4 slots"):
        open_run(tmp_path, tiny_config)


def test_a_run_that_was_stopped_is_no_result(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda config, workdir: None)
    stopped = runs.TrainedModel(None, None, tiny_config, tiny_config.steps - 1)
    monkeypatch.setattr(runs, "open_run", lambda *arguments: stopped)
    with pytest.raises(UserError, match="stopped at step 5: the same command continues"):
        runs.train_run(tiny_config, tmp_path)
