"""The profile's longest instructions, as they are printed."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks.profiles import LONGEST, longest_instructions


def test_instructions_are_added_up_and_sorted(tmp_path):
    spent = [("fusion.1", 1_000), ("dot.2", 5_000), ("fusion.1", 2_000), (None, 90_000)]
    events = [{"args": {"hlo_op": name} if name else {}, "dur": time} for name, time in spent]
    events.append({"name": "process_name"})
    folder = tmp_path / "plugins" / "profile"
    folder.mkdir(parents=True)
    with gzip.open(folder / "host.trace.json.gz", "wt") as file:
        json.dump({"traceEvents": events}, file)
    rows = longest_instructions(tmp_path)
    assert rows == [["dot.2", 1, "5.00", "62.5"], ["fusion.1", 2, "3.00", "37.5"]]


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="a profile of CPUs names no instruction")
def test_longest_instructions_of_a_profile(tmp_path):
    assert longest_instructions(tmp_path) == []
    multiply = jax.jit(lambda x: jnp.sin(x @ x) @ x)
    x = jnp.ones((256, 256))
    multiply(x).block_until_ready()
    with jax.profiler.trace(tmp_path):
        for _ in range(3):
            multiply(x).block_until_ready()
    rows = longest_instructions(tmp_path)
    assert 0 < len(rows) <= LONGEST
    assert all(calls % 3 == 0 for _, calls, _, _ in rows)
    shares = [float(share) for *_, share in rows]
    assert shares == sorted(shares, reverse=True) and 90 < sum(shares) < 101
