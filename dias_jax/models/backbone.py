"""The frozen DINOv2 vision transformer, with and without register tokens."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.attention import attend
from dias_jax.models.layers import LayerNorm, Linear, Mlp, linear_init

EPSILON = 1e-6  # DINOv2's layer norms


def resample_positions(positions, grid):
    """Resample a square grid of position embeddings as timm does (bicubic, antialiased).

    positions (M * M, C) float32, grid (h, w) -> (h * w, C) float32.
    """
    side = round(positions.shape[0] ** 0.5)
    if (side, side) == tuple(grid):
        return positions
    square = positions.reshape(side, side, -1)
    resampled = jax.image.resize(square, (*grid, square.shape[-1]), "cubic", antialias=True)
    return resampled.reshape(grid[0] * grid[1], -1)


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases: (B, N, C) -> (B, N, C)."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        qkv = Linear(3 * width, dtype=self.dtype, name="query_key_value")(x)
        x = attend(*jnp.split(qkv, 3, -1), self.heads)
        return Linear(width, dtype=self.dtype, name="output")(x)


class Block(nn.Module):
    """Pre-norm Transformer block with LayerScale: (B, N, C) -> (B, N, C)."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        norm = {"epsilon": EPSILON, "dtype": self.dtype}
        layer_scale = nn.initializers.constant(1e-5)  # LayerScale's start in DINOv2
        scale1 = self.param("scale1", layer_scale, (width,)).astype(self.dtype)
        scale2 = self.param("scale2", layer_scale, (width,)).astype(self.dtype)
        y = LayerNorm(name="norm1", **norm)(x)
        x = x + scale1 * SelfAttention(self.heads, self.dtype, name="attention")(y)
        y = LayerNorm(name="norm2", **norm)(x)
        return x + scale2 * Mlp(4 * width, width, dtype=self.dtype, name="mlp")(y)


class PatchEmbedding(nn.Module):
    """An affine map of every patch's pixels: (B, H, W, 3) -> (B, N, width) in `dtype`.

    As a convolution, for which TPUs need half the cycles of cutting out patches, and a product.
    """

    width: int
    patch_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images):
        patch = self.patch_size, self.patch_size
        shape = math.prod((*patch, images.shape[-1])), self.width
        kernel = self.param("kernel", linear_init, shape).reshape(*patch, -1, self.width)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        images, kernel, bias = (x.astype(self.dtype) for x in (images, kernel, bias))
        return convolve_patches(images, kernel) + bias


def convolve_patches(images, kernel):
    """Products of all patches: images (B, H, W, 3), kernel (P, P, 3, C) -> tokens (B, N, C).

    A row of a patch's pixels lies side by side, as channels: three are few for matrix units.
    """
    patch, width = kernel.shape[0], kernel.shape[-1]
    rows = images.reshape(*images.shape[:2], images.shape[2] // patch, -1)
    kernel = kernel.reshape(patch, 1, -1, width)
    axes = "NHWC", "HWIO", "NHWC"
    tokens = jax.lax.conv_general_dilated(rows, kernel, (patch, 1), "VALID", dimension_numbers=axes)
    return tokens.reshape(len(images), -1, width)


class VisionTransformer(nn.Module):
    """DINOv2 ViT without its final norm, prefix tokens dropped (Oquab et al. 2023).

    images (B, H, W, 3) float32, ImageNet-normalised -> features (B, h, w, C) in `dtype`. With
    `places` (B, K) int, indices into the h * w patches, only these are looked at: -> (B, K, C).
    Raises UserError when the patch does not divide the image.
    """

    width: int = 384  # C
    depth: int = 12  # blocks
    heads: int = 6
    num_registers: int = 4  # 0 for the models without register tokens
    patch_size: int = 14  # pixels
    position_grid: int = 37  # side of the stored grid: 518 / 14 in the published checkpoints
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, places=None):
        grid = token_grid(images, self.patch_size)
        small = nn.initializers.normal(0.02)
        embed = PatchEmbedding(self.width, self.patch_size, self.dtype, name="patch_embedding")
        tokens = embed(images)
        positions = self.param("positions", small, (self.position_grid**2, self.width))
        tokens = tokens + resample_positions(positions, grid).astype(self.dtype)
        if places is not None:
            tokens = jnp.take_along_axis(tokens, places[..., None], axis=1)
        # The prefix (class token, then registers) carries no position of its own.
        num_prefix = 1 + self.num_registers
        prefix = self.param("prefix", small, (num_prefix, self.width)).astype(self.dtype)
        prefix = jnp.broadcast_to(prefix, (images.shape[0], num_prefix, self.width))
        x = jnp.concatenate([prefix, tokens], axis=1)
        for index in range(self.depth):
            x = Block(self.heads, self.dtype, name=f"block_{index}")(x)
        x = x[:, num_prefix:]
        return x if places is not None else x.reshape(images.shape[0], *grid, self.width)


def token_grid(images, patch_size):
    """Rows and columns of patches in images (B, H, W, 3).

    Raises UserError when the patch does not divide the image.
    """
    height, width = images.shape[1:3]
    if height % patch_size or width % patch_size:
        raise UserError(
            f"image of {height}x{width} pixels: the backbone's patch of {patch_size} must divide "
            "both sides; change data.image_size or model.backbone.input_scale"
        )
    return height // patch_size, width // patch_size


def split_patches(images, patch_size):
    """Cut images (B, H, W, 3) into flattened patches: -> (B, N, patch_size**2 * 3).

    Rows, columns and channels in that order. Raises UserError as `token_grid` does.
    """
    batch, channels = len(images), images.shape[-1]
    h, w = token_grid(images, patch_size)
    patches = images.reshape(batch, h, patch_size, w, patch_size, channels)
    patches = patches.transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(batch, h * w, patch_size**2 * channels)
