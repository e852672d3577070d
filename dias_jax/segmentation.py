"""From attention on tokens to a segmentation of pixels."""

from dias_jax.models.resize import bilinear_upsample

MASKS = ("decoder", "aggregator")  # the two attentions that are segmentations


def slot_map(attention, size):
    """The slot with the largest upsampled attention at each pixel.

    attention (B, S, h, w) float32, size (H, W) -> (B, H, W) int32 slot indices. Released code.
    """
    return bilinear_upsample(attention, size).argmax(1)
