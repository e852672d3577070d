"""A trained model on images as they are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.errors import UserError
from dias_jax.models.inputs import normalize, random_streams
from dias_jax.models.parts import fitting_parts, map_parts
from dias_jax.models.video import VideoDIAS


def predict(model, variables, images, key, sample_index=None, parts=None, **inputs):
    """Slots, masks and reconstruction of images: -> DIASOutput; of videos: -> VideoOutput.

    images (B, H, W, 3) uint8, of the size that the model was built for, or (B, F, H, W, 3), where
    it is one of videos; floating point is taken as ImageNet-normalised. Slots start from `key` and
    `sample_index` (B,) int, the images' numbers (default 0 ... B - 1): an image gets the same slots
    in any batch. Images are taken in so many equal `parts`, one after the other, by default as
    suits the device here; videos all at once. `inputs`: arrays that the model takes beside these:
    features, that of images need not be computed, and, of videos, `frame_valid` and `boxes`.
    Compiled. Raises UserError on images of another shape and on parts that do not divide them.
    """
    axes = "(B, F, H, W, 3)" if isinstance(model, VideoDIAS) else "(B, H, W, 3)"
    if images.ndim != axes.count(",") + 1 or images.shape[-1] != 3:
        raise UserError(f"images of shape {images.shape}: give a batch, {axes}")
    if sample_index is None:
        sample_index = jnp.arange(len(images))
    batch = {"images": images, "sample_index": sample_index, **inputs}
    if isinstance(model, VideoDIAS):
        return _predict(model, variables, key, batch)
    parts = fitting_parts(len(images)) if parts is None else parts
    if parts < 1 or len(images) % parts:
        raise UserError(f"parts={parts}: give a number that divides the {len(images)} images")
    return _predict_parts(model, parts, variables, key, batch)


@functools.partial(jax.jit, static_argnums=0)
def _predict(model, variables, key, batch):
    images = normalize(batch.pop("images"))
    return model.apply(variables, images, rngs=random_streams(key), **batch)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _predict_parts(model, parts, variables, key, batch):
    size = len(batch["images"])
    samples = {name: x for name, x in batch.items() if np.shape(x)[:1] == (size,)}
    shared = {name: x for name, x in batch.items() if name not in samples}  # by all images

    def of_part(part):
        return exchange_iterations(_predict(model, variables, key, part | shared))

    return exchange_iterations(map_parts(of_part, parts, samples))


def exchange_iterations(output):
    """The output with the first two axes of `attention`, iterations and batch, exchanged."""
    return output.replace(attention=output.attention.swapaxes(0, 1))
