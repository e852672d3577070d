"""A trained model on images as they are."""

import functools

import jax

from dias_jax.models.inputs import normalize, random_streams


@functools.partial(jax.jit, static_argnums=0)
def predict(model, variables, images, key, sample_index=None):
    """Slots, masks and reconstruction of images: -> DIASOutput.

    images (B, H, W, 3) uint8, of the size that the model was built for. Slots start from `key`
    and `sample_index` (B,) int, the images' numbers (default 0 ... B - 1): an image gets the same
    slots in any batch.
    """
    streams = random_streams(key)
    return model.apply(variables, normalize(images), rngs=streams, sample_index=sample_index)
