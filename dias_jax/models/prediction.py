"""A trained model on images as they are."""

import functools

import jax

from dias_jax.errors import UserError
from dias_jax.models.inputs import normalize, random_streams
from dias_jax.models.video import VideoDIAS


def predict(model, variables, images, key, sample_index=None, **inputs):
    """Slots, masks and reconstruction of images: -> DIASOutput; of videos: -> VideoOutput.

    images (B, H, W, 3) uint8, of the size that the model was built for, or (B, F, H, W, 3), where
    it is one of videos; floating point is taken as ImageNet-normalised. Slots start from `key` and
    `sample_index` (B,) int, the images' numbers (default 0 ... B - 1): an image gets the same slots
    in any batch. `inputs`: arrays that the model takes beside these: features, that of images need
    not be computed, and, of videos, `frame_valid` and `boxes`.
    Compiled. Raises UserError on images of another shape.
    """
    axes = "(B, F, H, W, 3)" if isinstance(model, VideoDIAS) else "(B, H, W, 3)"
    if images.ndim != axes.count(",") + 1 or images.shape[-1] != 3:
        raise UserError(f"images of shape {images.shape}: give a batch, {axes}")
    return _predict(model, variables, images, key, sample_index, inputs)


@functools.partial(jax.jit, static_argnums=0)
def _predict(model, variables, images, key, sample_index, inputs):
    return model.apply(
        variables,
        normalize(images),
        rngs=random_streams(key),
        sample_index=sample_index,
        **inputs,
    )
