"""The profile's longest instructions, as they are printed."""

import jax
import jax.numpy as jnp

from experiments.benchmarks.profiles import LONGEST, longest_instructions


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
    assert shares == sorted(shares, reverse=True)
    assert 90 < sum(shares) < 101
