"""Slot attention: slots compete for tokens and are updated by a recurrent cell."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.layers import GruCell, LayerNorm, Linear, Mlp

RENORMALIZATION_EPSILON = 1e-5


def compete(query, key, slot_mask=None):
    """Attention of slots on tokens: softmax over SLOTS of scaled dot products, in float32.

    query (B, S, D), key (B, N, D), slot_mask (B, S) bool or None -> (B, S, N) float32 that sums
    to one over slots; a masked slot gets exactly zero.
    """
    scale = query.shape[-1] ** -0.5
    logits = jnp.einsum("bsd,bnd->bsn", query * scale, key).astype(jnp.float32)
    if slot_mask is not None:
        logits = jnp.where(slot_mask[:, :, None], logits, -jnp.inf)
    return nn.softmax(logits, axis=1)


class SlotAttention(nn.Module):
    """Iterative attention of slots over tokens (Locatello et al. 2020, Algorithm 1).

    tokens (B, N, C), slots (B, S, D), slot_mask (B, S) bool or None
    -> slots (B, S, D) float32, attention (T, B, S, N) float32 of every iteration.
    `num_iterations` overrides the configured T. With `bilevel`, gradients of the last iteration
    reach the initial slots directly (Jia et al. 2023); DIAS leaves it off.
    """

    slot_width: int  # D
    hidden: int  # of the MLP behind the recurrent cell
    num_iterations: int = 3  # T
    bilevel: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        linear = {"use_bias": False, "dtype": self.dtype}
        self.norm_tokens = LayerNorm(dtype=self.dtype)
        self.norm_slots = LayerNorm(dtype=self.dtype)
        self.norm_output = LayerNorm(dtype=self.dtype)
        self.query = Linear(self.slot_width, **linear)
        self.key = Linear(self.slot_width, **linear)
        self.value = Linear(self.slot_width, **linear)
        self.recurrent = GruCell(self.slot_width, dtype=self.dtype)
        self.mlp = Mlp(self.hidden, self.slot_width, dtype=self.dtype)

    def __call__(self, tokens, slots, slot_mask=None, num_iterations=None):
        tokens = self.norm_tokens(tokens)
        key, value = self.key(tokens), self.value(tokens)  # (B, N, D)
        num_iterations = num_iterations or self.num_iterations
        initial, history = slots, []
        for iteration in range(num_iterations):
            if self.bilevel and iteration + 1 == num_iterations:
                slots = jax.lax.stop_gradient(slots) + initial - jax.lax.stop_gradient(initial)
            slots, attention = self.iterate(key, value, slots, slot_mask)
            history.append(attention)
        return slots, jnp.stack(history)

    def iterate(self, key, value, slots, slot_mask):
        """One iteration: (B, S, D) -> updated slots (B, S, D), attention (B, S, N)."""
        attention = compete(self.query(self.norm_slots(slots)), key, slot_mask)
        total = attention.sum(-1, keepdims=True)  # (B, S, 1): how many tokens a slot has won
        weights = attention / (total + RENORMALIZATION_EPSILON)
        update = jnp.einsum("bsn,bnd->bsd", weights.astype(value.dtype), value)
        slots = self.recurrent(update, slots)
        return slots + self.mlp(self.norm_output(slots)).astype(jnp.float32), attention
