"""Damaged checkpoints: seen, passed over, never deleted."""

import logging

import chex
import jax
import numpy as np
import pytest

from dias_jax.errors import NonFiniteLoss, UserError
from dias_jax.runs.checkpoints import Checkpoints, Manager
from dias_jax.runs.state import create_state
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from dias_jax.training.optimizer import build_optimizer

pytestmark = pytest.mark.usefixtures("quick_compilation")


def tensors_of(workdir, step):
    """The files with the tensors of a checkpoint, as many as happened to be made."""
    paths = list((workdir / "checkpoints" / str(step)).glob("state/ocdbt.process_0/d/*"))
    assert paths
    return paths


def damage_tensors(workdir, step, every=50):
    """Change a bit of every so many bytes of all of these."""
    for path in tensors_of(workdir, step):
        content = bytearray(path.read_bytes())
        content[::every] = bytes(byte ^ 4 for byte in content[::every])
        path.write_bytes(content)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_is_taken(
    tiny_config, original_run, finished_run, caplog
):
    damage_tensors(finished_run, 6)
    assert open_run(finished_run, tiny_config, "latest").step == 3
    [message] = [m for m in caplog.messages if "is damaged" in m]
    assert "checkpoint 6 in" in message
    assert "that of step 3 is taken instead" in message

    result = loop.fit(Discovery(tiny_config), tiny_config, finished_run)
    assert result.status == loop.FINISHED
    [aside] = (finished_run / "damaged").iterdir()
    assert aside.name == "6_0"
    whole, again = (
        open_run(folder, tiny_config, "latest").variables for folder in (original_run, finished_run)
    )
    chex.assert_trees_all_equal(whole, again)


def test_one_bit_that_storage_changed_is_seen(tiny_config, finished_run, monkeypatch):
    restore = Manager.restore

    def restore_changed(self, step, args):
        content = restore(self, step, args=args)
        if step == 6:
            scale = np.array(content["state"]["params"]["projector"]["norm"]["scale"])
            scale.view(np.uint32)[0] ^= 1
            content["state"]["params"]["projector"]["norm"]["scale"] = scale
        return content

    monkeypatch.setattr(Manager, "restore", restore_changed)
    assert open_run(finished_run, tiny_config, "latest").step == 3


def test_where_no_checkpoint_is_sound_nothing_is_changed(tiny_config, finished_run):
    for step in (3, 6):
        for path in tensors_of(finished_run, step):
            path.write_bytes(b"")
    before = sorted(finished_run.rglob("*"))
    with pytest.raises(UserError, match="checkpoint 6 in .* is damaged .* as are all others"):
        loop.fit(Discovery(tiny_config), tiny_config, finished_run)
    assert sorted(finished_run.rglob("*")) == before


@pytest.mark.parametrize("content", ["", "{", '{"score": "high"}', "[]", '{"other": 1}'])
def test_a_damaged_score_is_none(tiny_config, finished_run, content):
    (finished_run / "checkpoints" / "6" / "metrics" / "metrics").write_text(content)
    assert open_run(finished_run, tiny_config, "best").step in (3, 6)
    assert loop.fit(Discovery(tiny_config), tiny_config, finished_run).status == loop.FINISHED


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
