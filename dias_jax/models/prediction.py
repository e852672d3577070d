"""A trained model on images as they are."""

import functools

import jax

from dias_jax.errors import UserError
from dias_jax.models.inputs import normalize, random_streams


def predict(model, variables, images, key, sample_index=None):
    """Slots, masks and reconstruction of images: -> DIASOutput.

    images (B, H, W, 3) uint8, of the size that the model was built for; floating point is taken as
    ImageNet-normalised. Slots start from `key` and `sample_index` (B,) int, the images' numbers
    (default 0 ... B - 1): an image gets the same slots in any batch. Compiled. Raises UserError on
    images of another shape.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"images of shape {images.shape}: give a batch, (B, H, W, 3)")
    return _predict(model, variables, images, key, sample_index)


@functools.partial(jax.jit, static_argnums=0)
def _predict(model, variables, images, key, sample_index):
    streams = random_streams(key)
    return model.apply(variables, normalize(images), rngs=streams, sample_index=sample_index)
