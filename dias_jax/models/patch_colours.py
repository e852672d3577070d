"""A frozen backbone without weights: what colours each patch is made of."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.backbone import split_patches


class PatchColours(nn.Module):
    """Random Fourier features of every pixel's colour, averaged over its patch.

    images (B, H, W, 3) float32, ImageNet-normalised -> features (B, h, w, C) float32. The mean
    over a patch makes a patch on an edge a mixture of its two sides. Nothing is learnt and
    nothing is stored: the frequencies come from a fixed key.
    """

    width: int = 64  # C
    patch_size: int = 8  # pixels
    bandwidth: float = 1.0  # deviation of the frequencies, per unit of normalised colour

    @nn.compact
    def __call__(self, images):
        patches, grid = split_patches(images, self.patch_size)
        pixels = patches.reshape(*patches.shape[:2], -1, 3)  # (B, N, pixels, 3)
        frequency_key, phase_key = jax.random.split(jax.random.key(0))
        frequencies = self.bandwidth * jax.random.normal(frequency_key, (3, self.width))
        phases = jax.random.uniform(phase_key, (self.width,), maxval=2 * jnp.pi)
        features = 2**0.5 * jnp.cos(pixels @ frequencies + phases)
        return features.mean(2).reshape(images.shape[0], *grid, self.width)
