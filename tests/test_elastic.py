"""A run goes on with another number of hosts and devices: same samples, same results."""

import json
import shutil

import chex
import jax
import numpy as np
import pytest

from data_pipelines import pipeline
from tests.faults.processes import Run, final_state

# float32 sums in another order, amplified by the optimiser in twelve steps.
TOLERANCE = 2e-4
ATOL = 5e-5  # of parameters, which the twelve steps move by about 0.01


def samples_of(config, start, num_hosts):
    """Indices and images of two batches from `start` on, put together from all hosts' parts."""
    parts = [
        pipeline.train_batches(config.data, 8, 42, start_step=start, shard=(host, num_hosts))
        for host in range(num_hosts)
    ]
    batches = [[next(part) for part in parts] for _ in range(2)]
    # Host h holds the samples h, h + num_hosts, ... of a batch.
    return [
        jax.tree.map(lambda *x: np.stack(x, axis=1).reshape(8, *x[0].shape[1:]), *batch)
        for batch in batches
    ]


@pytest.mark.parametrize("num_hosts", [2, 4, 8])
def test_batches_do_not_depend_on_where_and_on_how_many_hosts_one_goes_on(tiny_config, num_hosts):
    expected = samples_of(tiny_config, 0, 1)[1]
    found = samples_of(tiny_config, 1, num_hosts)[0]
    chex.assert_trees_all_equal(found, expected)


@pytest.mark.slow
def test_a_run_of_four_hosts_goes_on_with_one_two_and_eight_devices(tiny_flags, tmp_path):
    flags = [*tiny_flags, "--config.steps=12", "--config.evaluation.every=4"]

    def train(name, hosts, devices):
        run = Run(tmp_path / name, flags, hosts, devices)
        assert run.wait() == [0] * hosts, run.output(0)[-3000:]
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses = [v["values"]["loss"] for v in map(json.loads, lines) if v["split"] == "train"]
        return losses, final_state(tmp_path / name)

    begun = Run(tmp_path / "begun", flags, hosts=4, devices=2)
    begun.wait_for_step(4)
    begun.kill()
    assert begun.latest_step() < 12, "it came to the end before it was stopped"

    losses, state = train("whole", 1, 1)
    for hosts, devices in [(1, 1), (2, 1), (1, 8)]:
        name = f"{hosts}_hosts_{devices}_devices"
        shutil.copytree(tmp_path / "begun", tmp_path / name)
        found_losses, found_state = train(name, hosts, devices)
        chex.assert_trees_all_close(found_losses, losses, rtol=TOLERANCE)
        chex.assert_trees_all_close(found_state, state, rtol=TOLERANCE, atol=ATOL)
