"""Image resizing that equals PyTorch's."""

import jax


def bicubic_resize(images, scale):
    """Bicubic without antialiasing, kernel a = -0.75, as torch.nn.functional.interpolate.

    images (B, H, W, 3) float32, scale e.g. 0.875 -> (B, int(H * scale), int(W * scale), 3).
    """
    if scale == 1:
        return images
    batch, height, width, channels = images.shape
    shape = (batch, int(height * scale), int(width * scale), channels)
    return jax.image.resize(images, shape, jax.image.ResizeMethod.CUBIC_PYTORCH, antialias=False)


def bilinear_upsample(maps, size):
    """Bilinear, half-pixel centres: maps (..., h, w), size (H, W) -> (..., H, W)."""
    return jax.image.resize(maps, (*maps.shape[:-2], *size), "bilinear")
