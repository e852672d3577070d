"""Damaged checkpoints: seen, passed over, never deleted."""

import logging
import shutil

import chex
import jax
import pytest

from dias_jax.errors import NonFiniteLoss, UserError
from dias_jax.runs.checkpoints import Checkpoints
from dias_jax.runs.state import create_state
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from dias_jax.training.optimizer import build_optimizer

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def finished(tiny_config, tmp_path):
    """A work directory with checkpoints of steps 3 and 6."""
    loop.fit(Discovery(tiny_config), tiny_config, tmp_path / "run")
    return tmp_path / "run"


def largest_file(folder):
    """That with the tensors."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def flip_a_bit(path, position):
    """Change one bit at a share `position` of the file."""
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 4
    path.write_bytes(content)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_is_taken(
    tiny_config, finished, tmp_path, caplog
):
    shutil.copytree(finished, tmp_path / "damaged")
    flip_a_bit(largest_file(tmp_path / "damaged" / "checkpoints" / "6"), 0.4)
    trained = open_run(tmp_path / "damaged", tiny_config, "latest")
    assert trained.step == 3
    [message] = [m for m in caplog.messages if "is damaged" in m]
    assert "checkpoint 6 in" in message
    assert "that of step 3 is taken instead" in message

    result = loop.fit(Discovery(tiny_config), tiny_config, tmp_path / "damaged")
    assert result.status == loop.FINISHED
    [aside] = (tmp_path / "damaged" / "damaged").iterdir()
    assert (aside / "6").is_dir()
    whole, again = (
        open_run(folder, tiny_config, "latest").variables
        for folder in (finished, tmp_path / "damaged")
    )
    chex.assert_trees_all_equal(whole, again)


def test_where_no_checkpoint_is_sound_nothing_is_changed(tiny_config, finished):
    for step in (3, 6):
        largest_file(finished / "checkpoints" / str(step)).write_bytes(b"")
    before = sorted(finished.rglob("*"))
    with pytest.raises(UserError, match="checkpoint 6 in .* is damaged .* as are all others"):
        loop.fit(Discovery(tiny_config), tiny_config, finished)
    assert sorted(finished.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "{", '{"score": "high"}', "[]", '{"other": 1}'])
def test_a_damaged_score_is_none(tiny_config, finished, content):
    (finished / "checkpoints" / "6" / "metrics" / "metrics").write_text(content)
    assert open_run(finished, tiny_config, "best").step in (3, 6)
    assert loop.fit(Discovery(tiny_config), tiny_config, finished).status == loop.FINISHED


def test_what_is_not_finite_is_not_saved(tiny_config, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    task = Discovery(tiny_config)
    state, identity = create_state(tiny_config, task.model, build_optimizer(tiny_config))
    bad = jax.tree.map(lambda x: x * jax.numpy.inf, state.params)
    checkpoints = Checkpoints(tmp_path, identity)
    with pytest.raises(NonFiniteLoss, match="parameters of step 0 are not finite"):
        checkpoints.save(state.replace(params=bad))
    checkpoints.close()
    assert not list(tmp_path.glob("checkpoints/0*"))
