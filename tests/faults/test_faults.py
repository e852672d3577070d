"""What happens to a machine does not change what a run computes."""

import itertools
import time

import pytest

from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from tests.faults import kill


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(tiny_config, tmp_path, monkeypatch, quick_compilation):
    def train(name):
        loop.fit(Discovery(tiny_config), tiny_config, tmp_path / name)

    train("whole")
    # Parts of Orbax wait for each other for five minutes by the clock on the wall, not longer.
    minutes, now = itertools.cycle([0, 2, -2]), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60 * next(minutes))
    train("jumping")
    kill.compare(tmp_path / "jumping", tmp_path / "whole")


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(tmp_path):
    flags = kill.flags_of(60)
    kill.run_to_the_end(tmp_path / "alone", flags, kills=0, hosts=1)
    counts = kill.run_to_the_end(tmp_path / "disturbed", flags, kills=2, hosts=1)
    assert counts["kills"] >= 1
    kill.compare(tmp_path / "disturbed", tmp_path / "alone")
