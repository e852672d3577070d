"""Training on a part of the tokens, which makes the steps on a fine grid cheap."""

import jax
import jax.numpy as jnp

from dias_jax.errors import UserError


def sample_places(keys, h, w, stride):
    """One random token of every stride x stride cell of a grid of h x w tokens.

    keys (B,) -> (B, h / stride, w / stride) int32, indices into the h * w tokens. Raises UserError
    when the cells do not fill the grid.
    """
    if h % stride or w % stride:
        raise UserError(f"config.model.token_stride={stride} does not divide the {h}x{w} tokens")
    cells = (h // stride, w // stride)

    def sample(key):
        row, column = jax.random.randint(key, (2, *cells), 0, stride)
        row += stride * jnp.arange(cells[0])[:, None]
        column += stride * jnp.arange(cells[1])
        return row * w + column

    return jax.vmap(sample)(keys)


def take_tokens(features, places):
    """The features at some places: (B, h, w, C), (B, ...) int -> (B, ..., C)."""
    batch, h, w, width = features.shape
    index = places.reshape(batch, -1, 1)
    tokens = jnp.take_along_axis(features.reshape(batch, h * w, width), index, axis=1)
    return tokens.reshape(*places.shape, width)
