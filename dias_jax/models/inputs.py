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


def seen(batch):
    """What a model gets of a training batch: its normalised images, None; or None, its features."""
    if "features" in batch:
        return None, batch["features"]
    return normalize(batch["image"]), None


def random_streams(key):
    """The model's random streams from one key."""
    streams = dict(zip(("slots", "decoder", "reinit"), jax.random.split(key, 3)))
    return streams | {"dropout": jax.random.fold_in(key, 3)}


def initialize(model, key, image_size):
    """Random variables {"params", "backbone"} of a model for square images of that many pixels."""
    streams = dict(zip(("params", "slots", "decoder"), jax.random.split(key, 3)))
    return model.init(streams, train=True, **model.smallest_inputs(image_size, image_size))


def first_boxes(boxes, num_slots, size):
    """Boxes of the things on a clip's first frame, as slots start from them.

    boxes (B, G, 4), left, top, right and bottom edge in sides of a frame of `size` pixels, zeros
    where there is none, G at most `num_slots` -> (B, S, 4), zeros for the slots without a box.
    Right and bottom become the places of the last pixels. Released code, but that it has as many
    slots as the largest sample of a batch has things.
    """
    last = boxes - jnp.array([0, 0, 1, 1]) / size
    boxes = jnp.where(boxes.any(-1, keepdims=True), last, 0)
    return jnp.pad(boxes, ((0, 0), (0, num_slots - boxes.shape[1]), (0, 0)))
