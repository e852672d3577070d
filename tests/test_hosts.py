"""Flags of hosts that make no sense, and hosts that are lost, end in one line."""

import re

import pytest

from dias_jax import hosts
from dias_jax.errors import UserError
from tests.faults import processes


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("nonsense",), "needs --num_hosts and --host"),
        (("nonsense", 2, 0), "must be auto, or ADDRESS:PORT"),
        (("10.0.0.1", 2, 0), "must be auto, or ADDRESS:PORT"),
        (("10.0.0.1:port", 2, 0), "must be auto, or ADDRESS:PORT"),
        (("10.0.0.1:70000", 2, 0), "must be auto, or ADDRESS:PORT"),
        ((":1234", 2, 0), "must be auto, or ADDRESS:PORT"),
        (("10.0.0.1:1234", 0, 0), "--num_hosts=0: must be at least 1"),
        (("10.0.0.1:1234", 2, 2), "--host=2: must be between 0 and 1"),
        (("10.0.0.1:1234", 2, -1), "--host=-1: must be between 0 and 1"),
        (("10.0.0.1:1234", 2, 0, 0), "--join_timeout=0"),
        ((None, 2, 0), "need --coordinator"),
        (("auto", 2, 0), "need --coordinator"),
    ],
)
def test_flags_that_make_no_sense_are_named(flags, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        hosts.join(*flags)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--coordinator=auto"], 2, "auto finds no cluster"),
        (["--num_hosts=2", "--host=1", "--join_timeout=3"], 75, "did not join the others"),
    ],
)
def test_a_host_that_stays_alone_says_so(run_module, tiny_flags, tmp_path, flags, code, message):
    if "--host=1" in flags:
        flags = [*flags, f"--coordinator=127.0.0.1:{processes.free_port()}"]  # where nobody is
    result = run_module(
        "dias_jax.train", *tiny_flags, f"--workdir={tmp_path / 'run'}", *flags, check=False
    )
    last = result.stderr.splitlines()[-1]
    assert result.returncode == code
    assert last.startswith("error: ") and message in last
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_host_ends_the_others_and_the_run_goes_on(tiny_flags, tmp_path, lost):
    flags = [*tiny_flags, "--config.steps=2000", "--config.evaluation.every=10"]
    run = processes.Run(tmp_path / "run", flags, hosts=2)
    run.wait_for_step(10)
    run.processes[lost].kill()
    assert run.wait() == ([75, -9] if lost else [-9, 75])
    last = run.output(1 - lost).splitlines()[-1]
    step = run.latest_step()
    assert re.match("error: a host is gone.*: start all again to continue from step [0-9]+", last)
    assert last.endswith(f" {step}") and step >= 10

    again = processes.Run(tmp_path / "run", flags, hosts=2)
    again.wait_for_step(step + 10)
    again.kill()


@pytest.mark.parametrize(
    ("error", "leaves"),
    [
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer"), True),
        (RuntimeError("INTERNAL: NCCL operation failed"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), False),
        (UserError("scene 3 is damaged"), False),
    ],
)
def test_errors_of_communication_mean_a_lost_host(monkeypatch, error, leaves):
    said = []
    monkeypatch.setattr(hosts.jax, "process_count", lambda: 2)
    monkeypatch.setattr(hosts, "say_on_abort", lambda message: None)
    monkeypatch.setattr(hosts, "leave_soon", lambda code: None)
    monkeypatch.setattr(hosts, "leave", said.append)
    with pytest.raises(type(error)), hosts.together(lambda: "start again"):
        raise error
    assert bool(said) == leaves and all("a host is gone" in line for line in said)
