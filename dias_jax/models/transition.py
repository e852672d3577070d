"""From the slots of past frames to where slots start on the next one."""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.decoder import CrossAttention
from dias_jax.models.layers import LayerNorm, Linear, Mlp, dropouts


@flax.struct.dataclass
class Past:
    """What a transition sees, and how many frames before the next one it was."""

    slots: jax.Array  # (B, S, D) float32
    tokens: jax.Array  # (B, N, C), of the next frame itself or of an earlier one
    slot_age: jax.Array  # (B,) int32, at least 1
    token_age: jax.Array  # (B,) int32, 0: tokens of the next frame


class EncoderTransition(nn.Module):
    """One Transformer encoder layer over the latest slots, post-norm, without biases.

    Past, slot_mask (B, S) bool or None, keys (B,) of dropout or None -> (B, S, D) float32. Masked
    slots are attended by none. Tokens and ages are not looked at (SAVi, STEVE, VideoSAUR).
    """

    heads: int
    dropout: float = 0.0  # of attention weights and of every branch, in training
    dtype: jnp.dtype = jnp.float32
    window = 1  # frames; only the latest slots are of use
    looks_at_tokens = False

    @nn.compact
    def __call__(self, past, slot_mask=None, keys=None):
        drop = dropouts(keys, self.dropout, 4)
        x = attend_residually(self, "self", past.slots, past.slots, slot_mask, drop[:2])
        x = LayerNorm(use_bias=False, name="norm1")(x)
        return LayerNorm(use_bias=False, name="norm2")(feed_forward(self, x, drop[2:]))


class IdentityTransition(nn.Module):
    """None: slots start where they ended on the frame before. Arguments as of the others."""

    dropout = 0.0
    window = 1
    looks_at_tokens = False

    def __call__(self, past, slot_mask=None, keys=None):
        return past.slots


class RandomPastTransition(nn.Module):
    """RandSF.Q: a decoder layer from past slots to tokens, both marked by their age.

    Past, slot_mask (B, S) bool or None, keys (B,) of dropout or None -> (B, S, D) float32. No
    gradient reaches slots or tokens. In evaluation these are the latest slots and the next frame's
    tokens; in training a random past frame's and, independently, a random frame's up to the next
    one. Ages are below `window`.
    """

    heads: int
    window: int  # frames
    dropout: float = 0.0  # of attention weights and of every branch, in training
    dtype: jnp.dtype = jnp.float32
    looks_at_tokens = True

    @nn.compact
    def __call__(self, past, slot_mask=None, keys=None):
        width = past.slots.shape[-1]
        slots, tokens = jax.lax.stop_gradient((past.slots, past.tokens))
        time = self.param("time", nn.initializers.normal(1.0), (self.window, width))
        x = slots + time[past.slot_age][:, None]
        memory = Linear(width, dtype=self.dtype, name="project_tokens")(tokens)
        memory = memory.astype(jnp.float32) + time[past.token_age][:, None]

        drop = dropouts(keys, self.dropout, 6)
        x = attend_residually(self, "self", x, x, slot_mask, drop[:2])
        x = LayerNorm(use_bias=False, name="norm1")(x)
        x = attend_residually(self, "cross", x, memory, None, drop[2:4])
        x = LayerNorm(use_bias=False, name="norm2")(x)
        return LayerNorm(use_bias=False, name="norm3")(feed_forward(self, x, drop[4:]))


def attend_residually(transition, name, x, memory, memory_mask, drop):
    """x + attention of x on `memory`; `drop`: of the weights, of the branch."""
    attention = CrossAttention(transition.heads, transition.dtype, name=f"{name}_attention")
    x_cast, memory = (values.astype(transition.dtype) for values in (x, memory))
    y, _ = attention(x_cast, memory, memory_mask, drop[0])
    return x + drop[1](y.astype(jnp.float32))


def feed_forward(transition, x, drop):
    """x + MLP of x; `drop`: of the hidden layer, of the branch."""
    width = x.shape[-1]
    mlp = Mlp(4 * width, width, use_bias=False, dtype=transition.dtype, name="mlp")
    return x + drop[1](mlp(x, drop[0]).astype(jnp.float32))


def sample_past(keys, number, window):
    """Which frames a transition looks at, uniformly: -> past_slots, past_tokens (B, F) int32.

    keys (B, F), number (F,) int, the frame for which a query is wanted, at least 1: slots of frames
    0 ... number - 1, tokens of frames 1 ... number, none `window` or more frames ago.
    """

    def sample(key, number):
        slot_key, token_key = jax.random.split(key)
        first = jnp.maximum(number - window + 1, 0)
        slots = jax.random.randint(slot_key, (), first, number)
        tokens = jax.random.randint(token_key, (), jnp.maximum(first, 1), number + 1)
        return slots, tokens

    return jax.vmap(jax.vmap(sample), in_axes=(0, None))(keys, number)
