"""The random auto-regressive decoder: predict every token from the slots and some tokens."""

import flax.linen as nn
import jax.numpy as jnp

from dias_jax.models.attention import attend, attend_to_few
from dias_jax.models.layers import LayerNorm, Linear, Mlp, multiply, xavier_init


class SelfAttention(nn.Module):
    """Multi-head attention of tokens among themselves, without biases: (B, N, C) -> (B, N, C)."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        kernel = self.param("query_key_value", xavier_init, (width, 3 * width))
        x = multiply(x, kernel.astype(self.dtype))
        x = attend(*jnp.split(x, 3, -1), self.heads)
        return Linear(width, use_bias=False, dtype=self.dtype, name="output")(x)


class CrossAttention(nn.Module):
    """Multi-head attention to another sequence, without biases.

    query (B, N, C), memory (B, M, C), memory_mask (B, M) bool or None
    -> (B, N, C), weights (B, heads, N, M) float32. `drop`, a function from array to array, changes
    the weights that are applied.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, query, memory, memory_mask=None, drop=lambda weights: weights):
        width = query.shape[-1]
        # One fused matrix, because Xavier's bound in PyTorch is that of the fused shape.
        kernel = self.param("query_key_value", xavier_init, (width, 3 * width))
        kernel = kernel.astype(self.dtype)
        query = multiply(query, kernel[:, :width])
        key, value = jnp.split(multiply(memory, kernel[:, width:]), 2, axis=-1)
        x, weights = attend_to_few(query, key, value, self.heads, memory_mask, drop)
        return Linear(width, use_bias=False, dtype=self.dtype, name="output")(x), weights


class DecoderLayer(nn.Module):
    """Pre-norm Transformer decoder layer without biases and without causal mask.

    x (B, N, C), memory (B, S, C), slot_mask (B, S) bool or None -> x (B, N, C) and the
    cross-attention (B, heads, N, S). The first layer normalises its input before the residual
    stream begins instead of inside the first branch. Released code ("very beneficial").
    """

    heads: int
    is_first: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, memory, slot_mask=None):
        width = x.shape[-1]
        norm = {"use_bias": False, "dtype": self.dtype}
        y = LayerNorm(name="norm1", **norm)(x)
        if self.is_first:
            x = y
        x = x + SelfAttention(self.heads, self.dtype, name="self_attention")(y)
        y = LayerNorm(name="norm2", **norm)(x)
        y, attention = CrossAttention(self.heads, self.dtype, name="cross_attention")(
            y, memory, slot_mask
        )
        x = x + y
        y = LayerNorm(name="norm3", **norm)(x)
        y = Mlp(4 * width, width, use_bias=False, dtype=self.dtype, name="mlp")(y)
        return x + y, attention


class RandomOrderDecoder(nn.Module):
    """Generalised auto-regressive decoder in random order (paper, idea iii; released code).

    tokens (B, N, C), slots (B, S, D), slot_mask (B, S) bool or None,
    token_order (B, N) int (position i of the permuted sequence holds token `token_order[:, i]`),
    num_visible (B,) int: the first K tokens of the permuted sequence are visible, the others are
    a learnt mask token. Both None: all tokens are visible. places (B, N) int: where the tokens
    lie among the `num_tokens` of the whole grid; None: these are all, in order.
    -> reconstruction (B, N, C) in `dtype`, attention (B, S, N) float32 that sums to one over S.

    Every token carries its position embedding and no attention is causal, so the permutation
    matters only through which tokens it makes visible: nothing has to be moved.
    """

    num_tokens: int  # N
    num_layers: int = 4
    heads: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, tokens, slots, slot_mask=None, token_order=None, num_visible=None, places=None
    ):
        width = tokens.shape[-1]
        query = self.project(tokens, width, "tokens")
        mask_init = nn.initializers.normal(width**-0.5)
        mask_token = self.param("mask_token", mask_init, (width,)).astype(self.dtype)
        if token_order is not None:
            rank = jnp.argsort(token_order, axis=1)  # (B, N): place of each token in the order
            query = jnp.where((rank < num_visible[:, None])[..., None], query, mask_token)
        # PyTorch's truncated normal: deviation 1, cut at +-2.
        position_init = nn.initializers.truncated_normal(1.0, lower=-2.0, upper=2.0)
        positions = self.param("positions", position_init, (self.num_tokens, width))
        positions = positions if places is None else positions[places]
        x = query + positions.astype(self.dtype)
        memory = self.project(slots, width, "slots")
        for index in range(self.num_layers):
            layer = DecoderLayer(self.heads, index == 0, self.dtype, name=f"layer_{index}")
            x, attention = layer(x, memory, slot_mask)
        if self.is_initializing():
            self.start_identical()
        return x, attention.mean(1).swapaxes(1, 2)

    def project(self, x, width, name):
        x = Linear(width, use_bias=False, dtype=self.dtype, name=f"project_{name}")(x)
        return LayerNorm(dtype=self.dtype, name=f"norm_{name}")(x)

    def start_identical(self):
        """All layers start as copies of the first, like PyTorch's deep copies."""
        first = self.get_variable("params", "layer_0")
        for index in range(1, self.num_layers):
            self.put_variable("params", f"layer_{index}", first)
