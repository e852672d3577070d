"""A video of any length, a few frames at a time, in constant memory."""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp

from dias_jax.models.inputs import normalize, random_streams
from dias_jax.models.video_output import VideoState


@flax.struct.dataclass
class Stream:
    """Where some videos are: all that the next frames depend on."""

    state: VideoState | None  # None: before the first frame
    key: jax.Array
    sample_index: jax.Array  # (B,) int, which with the key decides a video's random numbers
    boxes: Any = None  # (B, S, 4), of things on the first frame, where the model wants them


def begin(key, sample_index, boxes=None):
    """Before the first frame of videos with these numbers (B,) int: -> Stream."""
    return Stream(None, key, jnp.asarray(sample_index), boxes)


@functools.partial(jax.jit, static_argnums=0)
def step(model, variables, stream, frames):
    """The next frames: Stream, (B, F, H, W, 3), often one -> Stream, VideoOutput of these frames.

    frames as `predict` takes images. Pure and compiled, once for the beginning and once for all
    that follows; slices of any length give what one pass over the video gives. Raises UserError
    where slots are reduced by the whole clip, of which a stream sees only a part.
    """
    output = model.apply(
        variables,
        normalize(frames),
        rngs=random_streams(stream.key),
        sample_index=stream.sample_index,
        boxes=stream.boxes,
        state=stream.state,
    )
    return stream.replace(state=output.state, boxes=None), output
