"""Layers whose arithmetic depends on the dtype: exact in float32, cheap on TPUs in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, softmax

from dias_jax.models import layers
from dias_jax.models.layers import LayerNorm, gelu


def exact_gelu(x):
    return x * (1 + erf(x / 2**0.5)) / 2


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 5e-5)], ids=["float32", "bfloat16"]
)
def test_gelu_is_exact_but_for_the_rounding(dtype, tolerance):
    x = jnp.linspace(-40, 40, 20_001, dtype=dtype)
    expected = exact_gelu(np.asarray(x, np.float64))
    result = gelu(x)
    assert result.dtype == x.dtype
    rounding = jnp.finfo(dtype).eps * np.abs(expected)
    assert (np.abs(np.asarray(result, np.float64) - expected) <= tolerance + rounding).all()


def test_slope_of_gelu_in_bfloat16():
    x = jnp.linspace(-8, 8, 2_001, dtype=jnp.bfloat16)
    slope = jax.vmap(jax.grad(gelu))(x).astype(jnp.float32)
    expected = jax.vmap(jax.grad(gelu))(x.astype(jnp.float32))
    np.testing.assert_allclose(slope, expected, atol=6e-3)


@pytest.mark.parametrize("offset", [0, 3])
def test_layer_norm_in_bfloat16_is_that_of_float32_rounded(offset):
    x = offset + np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    module = LayerNorm(dtype=jnp.bfloat16)
    result = module.apply(module.init(jax.random.key(0), x), x)
    assert result.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(result, np.float32), expected, rtol=2**-8, atol=1e-4)


def test_layer_norm_in_float32_centres_before_it_squares():
    """Mean square less squared mean would be off by a tenth here."""
    x = 1_000 + np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    module = LayerNorm()
    result = module.apply(module.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(result, expected, atol=1e-3)


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
    found = layers.attend_in_lanes(heads, *single)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(layers.attend_in_groups(heads, 1, *single), expected, atol=2e-6)


@pytest.mark.parametrize("key_mask", [None, np.array([[True, True, False], [True, False, False]])])
def test_attention_to_few_keys(key_mask):
    sequences = random_sequences(9, 3, 24)
    expected = attention_of(*sequences, 4, key_mask)
    single = [x.astype(np.float32) for x in sequences]
    found = layers.attend_to_few(*single, 4, key_mask)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, atol=2e-6)
    dropped, weights = layers.attend_to_few(
        *single, 4, key_mask, lambda x: x * jnp.array([2, 0, 0])
    )
    np.testing.assert_allclose(weights, expected[1], atol=2e-6)  # of before
    first = single[2][:, :1].reshape(2, 1, 4, 6)
    wanted = (2 * expected[1][..., :1]).swapaxes(1, 2) * first
    np.testing.assert_allclose(dropped, wanted.reshape(2, 9, 24), atol=4e-6)
