"""Damaged files of a work directory: its log, its config, its checkpoints."""

import json
import pathlib
import shutil
import tempfile

import jax
import pytest
from damage import damaged_bytes, damaged_tree, right_or_one_line
from hypothesis import given, settings
from hypothesis import strategies as st

from dias_jax.config.checks import check_config
from dias_jax.config.defaults import complete, get_config
from dias_jax.runs.config_file import check_continuation, load_config, save_config
from dias_jax.runs.trained_model import open_run
from dias_jax.runs.writers import DAMAGED_NAME, forget_after
from tests.tiny import make_tiny_config

LINES = [json.dumps({"step": step, "split": "train", "values": {}}) + "\n" for step in range(9)]


@given(damaged_bytes("".join(LINES).encode()), st.integers(0, 9))
def test_a_log_heals_and_nothing_of_it_is_lost(content, step):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "metrics.jsonl"
        path.write_bytes(content)
        forget_after(path, step)
        kept = path.read_bytes()
        assert all(json.loads(line)["step"] <= step for line in kept.splitlines())
        aside = path.with_name(DAMAGED_NAME)
        pieces = set(content.splitlines(keepends=True))
        found = set(kept.splitlines(keepends=True))
        found |= set(aside.read_bytes().splitlines(keepends=True)) if aside.exists() else set()
        assert found <= pieces
        assert all(piece in found or not piece.strip() or is_later(piece, step) for piece in pieces)
        forget_after(path, step)
        assert path.read_bytes() == kept


def is_later(piece, step):
    try:
        return json.loads(piece)["step"] > step
    except (ValueError, TypeError, KeyError):
        return False


@given(
    st.one_of(
        damaged_bytes(json.dumps(make_tiny_config().to_dict()).encode()),
        damaged_tree(make_tiny_config().to_dict()).map(lambda tree: json.dumps(tree).encode()),
    )
)
def test_a_config_file_is_read_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_bytes(content)
        with right_or_one_line():
            config = load_config(folder)
            check_continuation(config, folder)
            check_config(config)
            save_config(config, folder)


@given(damaged_tree(get_config().to_dict()))
def test_a_config_is_run_or_refused(tree):
    try:
        config = complete(tree)
    except Exception:  # what `load_config` catches
        return
    with right_or_one_line():
        check_config(config)


def damage_a_file(data, folder):
    """Damage one file below `folder`; returns its path."""
    files = sorted(x for x in folder.rglob("*") if x.is_file() and x.stat().st_size)
    path = data.draw(st.sampled_from(files))
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    return path


def leaves(trained):
    return b"".join(jax.device_get(x).tobytes() for x in jax.tree.leaves(trained.variables))


@pytest.fixture(scope="module")
def sound(original_run, tmp_path_factory):
    """{step: the bytes of its parameters} of both checkpoints."""
    earlier = shutil.copytree(original_run, tmp_path_factory.mktemp("earlier") / "run")
    shutil.rmtree(earlier / "checkpoints" / "6")
    runs = [open_run(folder, make_tiny_config(), "latest") for folder in (original_run, earlier)]
    return {trained.step: leaves(trained) for trained in runs}


@pytest.mark.slow
@settings(max_examples=settings.default.max_examples // 4)  # each opens a run
@given(data=st.data())
def test_a_damaged_checkpoint_is_passed_over(original_run, sound, data):
    with tempfile.TemporaryDirectory() as home:
        folder = shutil.copytree(original_run, pathlib.Path(home) / "run")
        damage_a_file(data, folder / "checkpoints" / "6")
        with right_or_one_line():
            trained = open_run(folder, make_tiny_config(), "latest")
            assert leaves(trained) == sound[trained.step]
