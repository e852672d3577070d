"""Multi-head attention as each platform likes it, with softmax in float32."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.parts import largest_divisor, map_parts

LANES = 128  # values of a TPU's vector
SIDE_BY_SIDE = 4  # samples that a CPU computes at once; more would take longer to compile
SMALL = 64  # tokens; products of fewer are faster together


def split_heads(x, heads):
    """(B, N, C) -> (B, N, heads, C / heads)."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def merge_heads(x):
    """(B, N, heads, width) -> (B, N, heads * width)."""
    return x.reshape(*x.shape[:-2], -1)


def attention_weights(query, key, key_mask=None, width=None):
    """Softmax over keys of scaled dot products, in float32.

    query (B, N, heads, width), key (B, M, heads, width), key_mask (B, M) bool or None
    -> (B, heads, N, M) float32; masked keys get exactly zero. `width`: channels of a head, where
    others come with them.
    """
    scale = (width or query.shape[-1]) ** -0.5
    # In float32 at once: rounded to bfloat16 first, TPUs take 1.4 times the cycles for a layer.
    logits = jnp.einsum("bnhc,bmhc->bhnm", query * scale, key, preferred_element_type=jnp.float32)
    return masked_softmax(logits, key_mask)


def masked_softmax(logits, key_mask=None):
    """Softmax over keys: logits (B, heads, N, M), key_mask (B, M) bool or None -> as logits."""
    if key_mask is not None:
        logits = jnp.where(key_mask[:, None, None, :], logits, -jnp.inf)
    return nn.softmax(logits, axis=-1)


def apply_attention(weights, value):
    """weights (B, heads, N, M), value (B, M, heads, width) -> (B, N, heads * width)."""
    return merge_heads(jnp.einsum("bhnm,bmhc->bnhc", weights.astype(value.dtype), value))


def attend(query, key, value, heads):
    """Multi-head attention whose weights are not wanted.

    query (B, N, C), key and value (B, M, C) -> (B, N, C) in the value's dtype.
    """
    return jax.lax.platform_dependent(
        *(query, key, value),
        cpu=functools.partial(attend_by_matrices, heads),
        tpu=functools.partial(attend_in_lanes, heads),
        cuda=functools.partial(attend_by_cudnn, heads),
        default=functools.partial(attend_in_groups, heads, 1),
    )


def attend_in_groups(heads, groups, query, key, value):
    """`attend`, one group of heads after the other."""
    outputs = []
    for parts in zip(*(jnp.split(x, groups, -1) for x in (query, key, value)), strict=True):
        q, k, v = (split_heads(part, heads // groups) for part in parts)
        outputs.append(apply_attention(attention_weights(q, k), v))
    return jnp.concatenate(outputs, -1)


def attend_by_matrices(heads, query, key, value):
    """`attend`, every head of every sample by itself, as a CPU likes it.

    Products of two matrices need no transposed copies, as batches of them do, and several are
    computed beside one another.
    """
    if query.shape[1] < SMALL:
        return attend_in_groups(heads, heads, query, key, value)
    parts = len(query) // largest_divisor(len(query), SIDE_BY_SIDE)
    return map_parts(functools.partial(attend_samples, heads), parts, (query, key, value))


def attend_samples(heads, part):
    """`attend` to a few samples of query, key and value."""
    samples = []
    for sample in zip(*part, strict=True):
        by_head = zip(*(jnp.split(x, heads, -1) for x in sample), strict=True)
        samples.append(jnp.concatenate([attend_head(*head) for head in by_head], -1))
    return jnp.stack(samples)


def attend_head(query, key, value):
    """One head of one sample: query (N, width), key and value (M, width) -> (N, width).

    The sums of softmax divide the result, which is smaller than the weights.
    """
    wide = {"preferred_element_type": jnp.float32}
    logits = jnp.matmul(query * query.shape[-1] ** -0.5, key.T, **wide)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    output = jnp.matmul(weights.astype(value.dtype), value, **wide)
    return (output / weights.sum(-1, keepdims=True)).astype(value.dtype)


def attend_in_lanes(heads, query, key, value):
    """`attend`, one head after the other, as a TPU likes it.

    One head's weights stay on the chip where those of all do not. Heads narrower than a vector are
    not cut out of it: the neighbours' channels, as zeros, cost nothing in a product.
    """
    width = query.shape[-1] // heads
    sharing = math.gcd(heads, max(1, LANES // width))  # heads in a vector
    if sharing == 1:
        return attend_in_groups(heads, heads, query, key, value)
    outputs = []
    for parts in zip(
        *(jnp.split(x, heads // sharing, -1) for x in (query, key, value)), strict=True
    ):
        q, k, v = (split_heads(part, 1) for part in parts)
        output = 0
        for own in heads_of_channels(sharing, width):
            weights = attention_weights(jnp.where(own, q, 0), k, width=width).astype(v.dtype)
            own_value = jnp.where(own, v, 0)
            output += jnp.einsum(
                "bhnm,bmhc->bnhc", weights, own_value, preferred_element_type=jnp.float32
            )
        outputs.append(merge_heads(output).astype(v.dtype))
    return jnp.concatenate(outputs, -1)


def attend_by_cudnn(heads, query, key, value):
    """`attend` as one kernel of cuDNN, which keeps the weights on the chip.

    In float32, and where no GPU here has that kernel, as everywhere else.
    """
    width = query.shape[-1] // heads
    if value.dtype != jnp.bfloat16 or width % 8 or width > 128 or not has_cudnn_attention():
        return attend_in_groups(heads, 1, query, key, value)
    return differentiable_cudnn(heads, query, key, value)


def cudnn_kernel(heads, query, key, value):
    """cuDNN's attention; JAX knows its gradient of even numbers of tokens only."""
    q, k, v = (split_heads(x, heads) for x in (query, key, value))
    return merge_heads(jax.nn.dot_product_attention(q, k, v, implementation="cudnn"))


differentiable_cudnn = jax.custom_vjp(cudnn_kernel, nondiff_argnums=(0,))


def differentiable_cudnn_forward(heads, *sequences):
    """The result, and the function that takes its cotangent back."""
    is_odd = any(x.shape[1] % 2 for x in sequences)
    form = (attend_in_groups, heads, 1) if is_odd else (cudnn_kernel, heads)
    return jax.vjp(functools.partial(*form), *sequences)


differentiable_cudnn.defvjp(
    differentiable_cudnn_forward, lambda heads, backward, cotangent: backward(cotangent)
)


def has_cudnn_attention():
    """Whether this host's GPU is an Ampere or newer; False without one."""
    try:
        return float(jax.local_devices(backend="cuda")[0].compute_capability) >= 8
    except RuntimeError:
        return False


def heads_of_channels(heads, width):
    """Which channels are each head's: (heads, heads * width) bool."""
    return jnp.arange(heads * width) // width == jnp.arange(heads)[:, None]


def spread_heads(x, heads):
    """Each head's channels with zeros in place of the others: (B, M, C) -> (B, heads * M, C)."""
    own = heads_of_channels(heads, x.shape[-1] // heads)
    return jnp.where(own[:, None], x[:, None], 0).reshape(x.shape[0], -1, x.shape[-1])


def attend_to_few(query, key, value, heads, key_mask=None, drop=lambda weights: weights):
    """Multi-head attention to few keys, whose weights are wanted.

    query (B, N, C), key and value (B, M, C), key_mask (B, M) bool or None; `drop` changes the
    weights that are applied -> (B, N, C) in the value's dtype, weights (B, heads, N, M) float32.
    The many queries' heads are not taken apart: the few keys' are, which moves less.
    """
    scale = (query.shape[-1] // heads) ** -0.5
    logits = jnp.einsum(
        "bnc,bmc->bnm",
        query * scale,
        spread_heads(key, heads),
        preferred_element_type=jnp.float32,
    )
    logits = logits.reshape(*logits.shape[:2], heads, -1).swapaxes(1, 2)
    weights = masked_softmax(logits, key_mask)
    applied = drop(weights).swapaxes(1, 2).reshape(*query.shape[:2], -1).astype(value.dtype)
    return jnp.einsum("bnm,bmc->bnc", applied, spread_heads(value, heads)), weights
