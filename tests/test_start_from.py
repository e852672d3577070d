"""Runs that start with what another has learnt."""

import jax
import numpy as np
import pytest

from dias_jax.config.defaults import flatten
from dias_jax.errors import UserError
from dias_jax.runs.start_from import start_from
from dias_jax.runs.state import create_state
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.of_config import task_of
from dias_jax.training import loop
from dias_jax.training.optimizer import build_optimizer
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")


def parameters(task):
    return create_state(task.config, task.model, build_optimizer(task.config))[0].params


def run_of(config, workdir):
    return loop.Run(task_of(config), config, workdir, [], False)


def test_a_video_model_takes_all_of_an_image_model_but_its_transition(
    tiny_config, finished_run, tmp_path
):
    config = make_tiny_video_config()
    config.start_from = str(finished_run)
    fresh = flatten(parameters(task_of(config)))
    start = flatten(jax.device_get(run_of(config, tmp_path / "video").state.params))
    trained = flatten(open_run(finished_run, tiny_config).variables["params"])
    assert start.keys() == fresh.keys() > trained.keys()
    for name, values in start.items():
        is_new = name.startswith("transition")
        np.testing.assert_array_equal(values, fresh[name] if is_new else trained[name])
        assert is_new != (name in trained)


@pytest.mark.slow
def test_a_run_that_is_continued_does_not_start_again(tiny_config, finished_run, tmp_path):
    tiny_config.start_from, tiny_config.steps = str(finished_run), 3
    loop.fit(task_of(tiny_config), tiny_config, tmp_path / "new")
    finished_run.rename(tmp_path / "gone")  # and nothing that is over is asked for
    state = run_of(tiny_config, tmp_path / "new").state
    assert state.step == 3
    other = open_run(tmp_path / "gone", tiny_config).variables["params"]
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), state.params, other)
    assert any(jax.tree.leaves(changed))


def test_what_cannot_be_started_from_is_refused_by_name(tiny_config, finished_run, tmp_path):
    params = parameters(task_of(tiny_config))
    with pytest.raises(UserError, match=r"^config.start_from=nowhere: .*neither a work directory"):
        start_from("nowhere", params)
    with pytest.raises(UserError, match=r"^config.start_from=.*holds no config.json: name the"):
        start_from(str(tmp_path), params)
    with pytest.raises(UserError, match=r"start_from=.*no parameter of it has a name here"):
        start_from(str(finished_run), {"head": {"kernel": np.zeros(3)}})
    tiny_config.model.slot_width = 8
    with pytest.raises(UserError, match=r"has the shape .*set the sizes of config\.model"):
        start_from(str(finished_run), parameters(task_of(tiny_config)))


def test_a_refused_start_leaves_nothing_but_the_lock(tiny_config, tmp_path):
    tiny_config.start_from = str(tmp_path / "new")
    with pytest.raises(UserError, match=r"config.start_from=.*new: .*new holds no config.json"):
        loop.fit(task_of(tiny_config), tiny_config, tmp_path / "new")  # from itself
    assert [path.name for path in (tmp_path / "new").iterdir()] in ([], ["lock"])


@pytest.mark.slow
def test_what_it_starts_from_is_printed_and_may_end_in_a_slash(
    tiny_config, finished_run, tmp_path, capsys
):
    tiny_config.start_from, tiny_config.steps = f"{finished_run}/", 3
    loop.fit(task_of(tiny_config), tiny_config, tmp_path / "new")
    (line,) = (x for x in capsys.readouterr().out.splitlines() if "starts from" in x)
    taken, count = (int(word) for word in line.split()[3:6:2])
    assert taken == count > 0
    tiny_config.start_from, tiny_config.steps = str(finished_run), 3
    assert run_of(tiny_config, tmp_path / "new").state.step == 3
