"""Everything that one pass samples, as one object: drawn from keys, or handed in."""

from typing import Any

import flax
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Draws:
    """What is sampled; None: it is drawn where it is needed. All arrays begin with the batch."""

    noise: Any = None  # (B, S, D) float32, standard normal, of the initial slots
    places: Any = None  # (B, h, w) int32, which tokens of the whole grid are taken; None: all
    token_order: Any = None  # (B, N) int, position i of the permuted sequence holds token [:, i]
    num_visible: Any = None  # (B,) int, how many tokens in that order the decoder sees; None: all
    is_reduced: Any = None  # (B,) bool, whether redundant slots are merged; None: they are
    # Of videos, whose places, token_order and num_visible have an axis F after B, and so has the
    # noise where slots merge on every frame. These here have one entry for every frame after 0.
    past_slots: Any = None  # (B, F) int, from which frame the transition has its slots
    past_tokens: Any = None  # (B, F) int, and its tokens; None: slots of the last, tokens of this
    dropout: Any = None  # (B, F) keys; None: nothing is dropped


def sample_noise(keys, shape):
    """Standard normal noise, one key a sample: keys (B,), shape (S, D) -> (B, S, D) float32."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def sample_token_order(keys, num_tokens):
    """A uniformly random permutation per sample: keys (B,) -> (B, N) int32."""
    return jax.vmap(lambda key: jax.random.permutation(key, num_tokens))(keys)


def sample_num_visible(keys, num_tokens, uniform_probability, fixed_visible):
    """How many tokens each sample may see: keys (B,) -> (B,) int32. Released code.

    With `uniform_probability` uniform on {0 ... N - 2}, otherwise `fixed_visible`.
    """

    def sample(key):
        choice_key, count_key = jax.random.split(key)
        uniform = jax.random.randint(count_key, (), 0, max(num_tokens - 1, 1))
        is_uniform = jax.random.bernoulli(choice_key, uniform_probability)
        return jnp.where(is_uniform, uniform, fixed_visible)

    return jax.vmap(sample)(keys)
