"""Opening a run with another config than it was trained with."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest

from dias_jax.errors import UserError
from dias_jax.models import load, predict
from dias_jax.runs.config_file import load_config, save_config
from dias_jax.runs.trained_model import open_run
from dias_jax.runs.writers import forget_after
from dias_jax.training.train_model import train_model
from tests.interruption import interrupt_at

OLD = pathlib.Path(__file__).parent / "golden" / "earlier_run"

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_a_gaussian_for_each_slot_fixes_their_number(tiny_config, tmp_path):
    tiny_config.model.initializer = "separate"
    save_config(tiny_config, tmp_path)
    tiny_config.model.num_slots = 9
    with pytest.raises(UserError, match="num_slots=9: what was learnt has other shapes, of 4 "):
        open_run(tmp_path, tiny_config)


@pytest.mark.slow
def test_a_run_that_was_stopped_is_no_result(tiny_config, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 5)
    with pytest.raises(UserError, match="stopped at step 5: the same command continues"):
        train_model(tiny_config, tmp_path)


@pytest.mark.slow
def test_a_model_is_loaded_by_the_name_of_its_work_directory(tiny_config, tmp_path):
    trained = train_model(tiny_config, tmp_path)
    model, variables = load(tmp_path)
    assert model == trained.model
    chex.assert_trees_all_equal_shapes(variables, trained.variables)
    images = np.zeros((2, 32, 32, 3), np.uint8)
    assert predict(model, variables, images, jax.random.key(0)).slots.shape == (2, 4, 16)
    with pytest.raises(
        UserError, match='nowhere" is neither a work directory nor a checkpoint that ships'
    ):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no config.json"):
        load(tmp_path / "empty")


@pytest.mark.slow
def test_work_directories_of_before_still_open_and_continue(tmp_path):
    """OLD was stopped at step 4 of 6 by an earlier version, which also ran WHOLE to the end."""
    shutil.copytree(OLD, tmp_path / "run")
    config = load_config(tmp_path / "run")
    assert config.evaluation.masks == "decoder"  # was `evaluation.best`
    trained = train_model(config, tmp_path / "run")
    assert trained.step == 6
    expected = json.loads((OLD / "expected.json").read_text())
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["values"].keys() == expected["values"].keys()
    for name, value in expected["values"].items():
        assert last["values"][name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize("text", ["{", "[1]", '{"model": "x"}', '{"model": {"num_slots": "four"}}'])
def test_a_damaged_config_is_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json is damaged .*: restore it, or name another"):
        load_config(tmp_path)


LOG_AND_DIE = """
import os, sys
from dias_jax.runs.writers import Writer
Writer(sys.argv[1], 0).scalars(1, "train", {"loss": 1.0})
os.kill(os.getpid(), 9)
"""


def test_what_is_logged_survives_a_kill(tmp_path):
    killed = subprocess.run([sys.executable, "-c", LOG_AND_DIE, tmp_path])
    assert killed.returncode == -signal.SIGKILL
    (events,) = tmp_path.glob("events.*")
    assert b"train/loss" in events.read_bytes()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["values"] == {"loss": 1.0}


def test_a_torn_log_heals(tmp_path, caplog):
    path, whole = tmp_path / "metrics.jsonl", b'{"step": 1}\n{"step": 2}\n'
    for torn in (b'{"step": 3, "sp', b"\0" * 40, b"junk\n\xff\n", b'{"step": "3"}\n', b"[3]\n"):
        path.write_bytes(whole + torn)
        forget_after(path, 5)
        assert path.read_bytes() == whole
        assert (tmp_path / "metrics.damaged").read_bytes().endswith(torn)
    assert len(caplog.messages) == 5
