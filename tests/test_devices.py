"""One device, eight devices and two hosts compute the same thing."""

import concurrent.futures
import json
import socket

import chex
import pytest

from dias_jax import devices
from dias_jax.errors import UserError

# float32 sums in another order; six optimiser steps amplify that a little.
TOLERANCE = 2e-4


def metrics_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same_metrics(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert (ours["step"], ours["split"]) == (theirs["step"], theirs["split"])
        if ours["split"] == "train":
            chex.assert_trees_all_close(ours["values"], theirs["values"], rtol=TOLERANCE)
        else:  # a pixel on a border may change sides: percentages to a tenth
            chex.assert_trees_all_close(ours["values"], theirs["values"], atol=0.1)


@pytest.mark.slow
def test_eight_devices_and_two_hosts_equal_one(run_module, tiny_flags, tmp_path):
    flags = [*tiny_flags, "--config.evaluation.every=6"]

    def train(name, *more, devices):
        run_module("dias_jax.train", *flags, f"--workdir={tmp_path / name}", *more, devices=devices)
        return metrics_of(tmp_path / name)

    one, together = train("one", devices=1), "--config.steps_per_call=2"
    assert_same_metrics(train("eight", together, devices=8), one)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = [together, f"--coordinator=127.0.0.1:{port}", "--num_hosts=2"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(train, "hosts", *hosts, f"--host={host}", devices=2) for host in range(2)
        ]
        results = [run.result() for run in runs]
    assert_same_metrics(results[0], one)


@pytest.mark.parametrize("size", [0, 3, 7])
def test_batches_that_do_not_split_are_refused(size):
    devices.check_batch_size(8, "batch_size", 4)
    with pytest.raises(UserError, match=f"config.batch_size={size} does not split"):
        devices.check_batch_size(size, "batch_size", 2)
