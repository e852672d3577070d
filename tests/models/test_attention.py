"""Attention in every form against one written out in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from dias_jax.models import attention


def attention_of(query, key, value, heads, key_mask=None):
    """Multi-head attention in float64, one head after the other: -> values, weights."""
    values, all_weights = [], []
    for q, k, v in zip(*(np.split(x, heads, -1) for x in (query, key, value)), strict=True):
        logits = q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5
        if key_mask is not None:
            logits = np.where(key_mask[:, None], logits, -np.inf)
        weights = softmax(logits, -1)
        values.append(weights @ v)
        all_weights.append(weights)
    return np.concatenate(values, -1), np.stack(all_weights, 1)


def random_sequences(num_queries, num_keys, width):
    """Queries, keys and values (2, ..., width) in float64."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2, n, width)) for n in (num_queries, num_keys, num_keys)]


@pytest.mark.parametrize(("heads", "width"), [(6, 384), (4, 384), (3, 48), (4, 128), (1, 8)])
def test_heads_that_share_lanes_do_not_see_each_other(heads, width):
    sequences = random_sequences(7, 7, width)
    expected = attention_of(*sequences, heads)[0]
    single = [x.astype(np.float32) for x in sequences]
    found = attention.attend_in_lanes(heads, *single)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(attention.attend_in_groups(heads, 1, *single), expected, atol=2e-6)


@pytest.mark.parametrize("key_mask", [None, np.array([[True, True, False], [True, False, False]])])
def test_attention_to_few_keys(key_mask):
    sequences = random_sequences(9, 3, 24)
    expected = attention_of(*sequences, 4, key_mask)
    single = [x.astype(np.float32) for x in sequences]
    found = attention.attend_to_few(*single, 4, key_mask)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, atol=2e-6)
    dropped, weights = attention.attend_to_few(
        *single, 4, key_mask, lambda x: x * jnp.array([2, 0, 0])
    )
    np.testing.assert_allclose(weights, expected[1], atol=2e-6)  # of before
    first = single[2][:, :1].reshape(2, 1, 4, 6)
    wanted = (2 * expected[1][..., :1]).swapaxes(1, 2) * first
    np.testing.assert_allclose(dropped, wanted.reshape(2, 9, 24), atol=4e-6)
