"""From frozen features to what slots attend to."""

import flax.linen as nn
import jax.numpy as jnp

from dias_jax.models.layers import LayerNorm, Mlp


class Projector(nn.Module):
    """LayerNorm, Linear, GELU, Linear: (B, N, C) -> (B, N, C). Released code, `encode_project`."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens):
        width = tokens.shape[-1]
        tokens = LayerNorm(dtype=self.dtype, name="norm")(tokens)
        return Mlp(width, width, dtype=self.dtype, name="mlp")(tokens)
