"""What a model is given: normalised images, random streams, and its first variables."""

import jax
import jax.numpy as jnp

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # on the 0-255 scale
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalize(images):
    """uint8 (B, H, W, 3) -> float32, ImageNet-normalised; floating point is so already."""
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images
    mean, deviation = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
    return (images.astype(jnp.float32) - mean) / deviation


def random_streams(key):
    """The model's random streams from one key."""
    streams = dict(zip(("slots", "decoder", "reinit"), jax.random.split(key, 3)))
    return streams | {"dropout": jax.random.fold_in(key, 3)}


def initialize(model, key, image_size, batch_shape=(1,), **inputs):
    """Random variables {"params", "backbone"} of a model for square images of that many pixels.

    `batch_shape`: axes before an image's, (1, 1) for a video model. `inputs`: what else it needs.
    """
    images = jnp.zeros((*batch_shape, image_size, image_size, 3))
    streams = dict(zip(("params", "slots", "decoder"), jax.random.split(key, 3)))
    return model.init(streams, images, train=True, **inputs)
