"""Layers with PyTorch's numerics: initial distributions, epsilons, exact GELU, GRU biases."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

LAYER_NORM_EPSILON = 1e-5  # PyTorch's default; the ViT backbone uses 1e-6

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what torch.nn.Linear starts from.
linear_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
xavier_init = nn.initializers.xavier_uniform()


def uniform_init(bound):
    """Initialiser that draws from U(-bound, bound)."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def multiply(x, kernel, *_, **__):
    """x (..., in) times kernel (in, out): -> (..., out).

    As a product of two matrices, so that the kernel's gradient is one as well and no axes have
    to be moved for it. What `jax.lax.dot_general` takes besides is of no use here.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


# An affine map of the last axis that starts as torch.nn.Linear, but with a bias of zero.
Linear = functools.partial(nn.Dense, kernel_init=linear_init, dot_general=multiply)


def LayerNorm(dtype=jnp.float32, epsilon=LAYER_NORM_EPSILON, **options):  # noqa: N802, a module
    """Of the last axis, with statistics in float32 whatever the dtype of the result.

    The variance is that of what is centred, or, where the result is rounded to bfloat16 anyway, the
    mean square less the squared mean: one pass, and a third fewer TPU cycles for MLP and norms.
    In float32 nothing but the input is kept for the gradient: an eighth of a step's memory.
    """
    one_pass = jnp.dtype(dtype) == jnp.bfloat16
    layer = nn.LayerNorm if one_pass else nn.remat(nn.LayerNorm)
    return layer(epsilon=epsilon, dtype=dtype, use_fast_variance=one_pass, **options)


def gelu(x):
    """x Phi(x), the exact GELU; of bfloat16 within 3e-5, which rounding hides.

    For its gradient nothing but x is kept.
    """
    return rounded_gelu(x) if x.dtype == jnp.bfloat16 else exact_gelu(x)


exact_gelu = jax.checkpoint(functools.partial(nn.gelu, approximate=False))


@jax.custom_vjp
def rounded_gelu(x):
    """`gelu` of bfloat16.

    The error function as tanh of an odd polynomial, fitted to the product's largest error: TPUs
    have an instruction for tanh, and none for the error function. On NVIDIA GPUs exp is faster.
    """
    wide = x.astype(jnp.float32)
    wide = jax.lax.platform_dependent(wide, cuda=gelu_by_exp, default=gelu_by_tanh)
    return wide.astype(x.dtype)


def gelu_by_tanh(x):
    """x Phi(x) of float32."""
    return 0.5 * x * (1 + jnp.tanh(odd_polynomial(x)[0]))


def gelu_by_exp(x):
    """The same by the logistic function."""
    return x * nn.sigmoid(2 * odd_polynomial(x)[0])


def odd_polynomial(x):
    """p(x) with 2 Phi(x) - 1 = tanh(p(x)), and its slope."""
    square = jnp.minimum(x**2, 36.0)  # both tails are flat from there on
    odd = x * (0.7975 + square * (0.0370104 - 3.52286e-4 * square))
    return odd, 0.7975 + square * (3 * 0.0370104 - 5 * 3.52286e-4 * square)


def rounded_gelu_backward(x, cotangent):
    """The cotangent of x."""
    wide = jax.lax.optimization_barrier(x).astype(jnp.float32)  # else exp of before is kept
    odd, slope = odd_polynomial(wide)
    below = nn.sigmoid(2 * odd)  # Phi(x)
    slope = below + 2 * wide * below * (1 - below) * slope
    return ((slope * cotangent).astype(x.dtype),)


rounded_gelu.defvjp(lambda x: (rounded_gelu(x), x), rounded_gelu_backward)


class Mlp(nn.Module):
    """Linear, exact GELU, Linear: (..., in) -> (..., features).

    `drop`, a function from array to array, is applied between the two.
    """

    hidden: int
    features: int
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, drop=lambda x: x):
        linear = {"use_bias": self.use_bias, "dtype": self.dtype}
        x = gelu(Linear(self.hidden, name="hidden", **linear)(x))
        return Linear(self.features, name="output", **linear)(drop(x))


def dropout(x, keys, rate):
    """Zero a share `rate` of each sample's values and scale up the rest: x (B, ...), keys (B,)."""
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


def dropouts(keys, rate, count):
    """So many independent functions `x -> dropout(x)`; without keys (B,) they change nothing."""
    if keys is None or not rate:
        return [lambda x: x] * count
    places = jax.vmap(lambda key: jax.random.split(key, count))(keys)  # (B, count)
    return [functools.partial(dropout, keys=places[:, i], rate=rate) for i in range(count)]


class GruCell(nn.Module):
    """Gated recurrent unit with both bias vectors, gates in float32: (..., D) -> (..., D)."""

    features: int
    dtype: jnp.dtype = jnp.float32  # of the two matrix products

    @nn.compact
    def __call__(self, update, state):
        width = 3 * self.features
        # PyTorch draws all three gates' weights from U(-1/sqrt(D), 1/sqrt(D)).
        init = uniform_init(self.features**-0.5)
        linear = {"dtype": self.dtype, "kernel_init": init}
        from_update = nn.Dense(width, name="input", **linear)(update).astype(jnp.float32)
        from_state = nn.Dense(width, name="state", **linear)(state).astype(jnp.float32)
        update_r, update_z, update_n = jnp.split(from_update, 3, axis=-1)
        state_r, state_z, state_n = jnp.split(from_state, 3, axis=-1)
        reset = nn.sigmoid(update_r + state_r)
        keep = nn.sigmoid(update_z + state_z)
        candidate = jnp.tanh(update_n + reset * state_n)
        return (1 - keep) * candidate + keep * state.astype(jnp.float32)
