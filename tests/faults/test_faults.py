"""What happens to a machine does not change what a run computes."""

import contextlib
import itertools
import shutil
import subprocess
import time

import pytest

from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from tests.faults import kill
from tests.faults.processes import Run


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


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    """Leave no room on a disk: -> the file that takes it."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    return path


@pytest.mark.slow
def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(tmp_path, small_disk):
    flags = kill.flags_of(40)
    kill.run_to_the_end(tmp_path / "alone", flags, kills=0, hosts=1)
    run = Run(small_disk / "run", flags)
    run.wait_for_step(10)
    ballast = fill(small_disk)
    assert run.wait() == [2]
    assert "no room on the disk" in run.output(0).splitlines()[-1]
    assert 10 <= run.latest_step() < 40
    ballast.unlink()
    kill.run_to_the_end(small_disk / "run", flags, kills=0, hosts=1)
    kill.compare(small_disk / "run", tmp_path / "alone")
