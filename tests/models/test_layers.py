"""Layers whose arithmetic depends on the dtype: exact in float32, cheap on TPUs in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

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


@pytest.mark.parametrize("form", [layers.gelu_by_tanh, layers.gelu_by_exp])
def test_gelu_on_every_platform(form):
    x = jnp.linspace(-40, 40, 20_001)
    np.testing.assert_allclose(form(x), exact_gelu(np.asarray(x, np.float64)), atol=3e-5)


def test_slope_of_gelu_in_bfloat16():
    x = jnp.linspace(-40, 40, 20_001, dtype=jnp.bfloat16)
    slope = jax.vmap(jax.grad(gelu))(x)
    assert slope.dtype == x.dtype
    expected = jax.vmap(jax.grad(gelu))(x.astype(jnp.float32))
    np.testing.assert_allclose(slope.astype(jnp.float32), expected, atol=6e-3)
    assert jax.grad(lambda x: jnp.sum(3 * gelu(x)))(x[:5]).tolist() == (3 * slope[:5]).tolist()


def test_nothing_but_its_argument_is_kept_for_the_gradient_of_gelu():
    x = jnp.ones((4, 8), jnp.bfloat16)
    kept = jax.tree.leaves(jax.vjp(gelu, x)[1])
    assert [value.dtype for value in kept] == [x.dtype]


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
