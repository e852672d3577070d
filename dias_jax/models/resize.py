"""Image resizing that equals PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.named_scope("resize")
def bicubic_resize(images, scale, precision="highest"):
    """Bicubic without antialiasing, kernel a = -0.75, as torch.nn.functional.interpolate.

    images (B, H, W, 3) float32, scale e.g. 0.875 -> (B, int(H * scale), int(W * scale), 3).
    precision "high": GPUs and TPUs compute it with at least 11 bits, for bfloat16, in less time.
    JAX has this kernel only in its latest versions.
    """
    if scale == 1:
        return images
    rows, columns = (bicubic_weights(size, int(size * scale)) for size in images.shape[1:3])
    return jnp.einsum("bhwc,hy,wx->byxc", images, rows, columns, precision=precision)


def bicubic_weights(size, resized):
    """What each of `size` pixels gives to each resized one: (size, resized), float32 throughout."""
    place = np.arange(resized, dtype=np.float32) + np.float32(0.5)
    place = place * np.float32(size / resized) - np.float32(0.5)
    weights = np.zeros((size, resized), np.float32)
    for offset in (-1, 0, 1, 2):
        source = np.floor(place) + offset
        x, a = np.abs(place - source), np.float32(-0.75)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        inside = np.clip(source, 0, size - 1).astype(int)  # the edges are repeated
        weights[inside, np.arange(resized)] += np.where(x < 1, near, far)
    return weights


def bilinear_upsample(maps, size):
    """Bilinear, half-pixel centres: maps (..., h, w), size (H, W) -> (..., H, W)."""
    return jax.image.resize(maps, (*maps.shape[:-2], *size), "bilinear")
