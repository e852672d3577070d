"""What happens to a machine does not change what a run computes."""

import itertools
import time

import pytest

from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from tests.faults import kill
from tests.faults.processes import final_state


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(tiny_config, tmp_path, monkeypatch, quick_compilation):
    def train(name):
        loop.fit(Discovery(tiny_config), tiny_config, tmp_path / name)
        return final_state(tmp_path / name)

    expected = train("whole")
    # Parts of Orbax wait for each other for five minutes by the clock on the wall, not longer.
    minutes, now = itertools.cycle([0, 2, -2]), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60 * next(minutes))
    assert not kill.differences(train("jumping"), expected)
    assert kill.steps_logged(tmp_path / "jumping") == kill.steps_logged(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(tmp_path):
    flags = kill.flags_of(60)
    kill.run_to_the_end(tmp_path / "alone", flags, kills=0, hosts=1)
    counts = kill.run_to_the_end(tmp_path / "disturbed", flags, kills=2, hosts=1)
    assert counts["kills"] >= 1
    states = [final_state(tmp_path / name) for name in ("disturbed", "alone")]
    assert not kill.differences(*states)
    assert kill.steps_logged(tmp_path / "disturbed") == kill.steps_logged(tmp_path / "alone")
