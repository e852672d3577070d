"""What a probe is given: a vector of each of an image's regions, and the regions."""

import flax
import jax
import jax.numpy as jnp

# Whose vectors a probe may be given, and what a protocol says of them; all but the first are what
# slots are compared with.
REPRESENTATIONS = {
    "slots": "slots, masks of the {masks}",
    "boxes": "no slots but the boxes of their masks, of the {masks}",
    "true_masks": "no slots but mean features of true masks",
    "k_means": "no slots but mean features of k-means clusters",
    "true_states": "no slots but where things truly are",
}


@flax.struct.dataclass
class Regions:
    """S regions of each image, and what tells one from another."""

    vectors: jax.Array  # (B, S, D) float32
    is_used: jax.Array  # (B, S) bool, False = no region
    segments: jax.Array  # (B, H, W) int32, the region of a pixel, -1: none


def region_boxes(segments, num_regions):
    """Where regions lie: (B, H, W) int -> (B, S, 4) float32, zeros where there is nothing.

    Left, top, right and bottom edge in sides of the image.
    """
    is_in = segments[..., None] == jnp.arange(num_regions)  # (B, H, W, S)
    spans = [edges(is_in.any(axis)) for axis in (1, 2)]  # of columns, of rows
    return jnp.stack([spans[0][0], spans[1][0], spans[0][1], spans[1][1]], axis=-1)


def edges(is_in):
    """First and last edge of what is set, in shares of the length: (B, L, S) -> (B, S) twice."""
    length, is_any = is_in.shape[1], is_in.any(1)
    first, last = is_in.argmax(1), length - is_in[:, ::-1].argmax(1)
    return tuple(jnp.where(is_any, edge / length, 0.0) for edge in (first, last))


def mean_features(features, shares):
    """Mean features of regions: (B, h, w, C), shares (B, h, w, S) of each patch -> (B, S, C).

    Zeros where a region has no share of any patch.
    """
    total = jnp.einsum("bhwc,bhws->bsc", features, shares)
    return total / jnp.maximum(shares.sum((1, 2)), 1e-6)[..., None]


def patch_shares(segments, num_regions, grid):
    """How much of a patch a region has: (B, H, W) int, grid (h, w) -> (B, h, w, S) float32.

    The patches are h * w equal parts of the image, whose sides they need not divide. One sample's
    one-hot masks are in memory at a time.
    """

    rows, columns = (cover(*pair) for pair in zip(grid, segments.shape[1:]))

    def one(segments):
        is_in = jax.nn.one_hot(segments, num_regions)
        return jnp.einsum("hy,wx,yxs->hws", rows, columns, is_in)

    return jax.lax.map(one, segments)


def cover(count, length):
    """How much of each of `count` equal parts every one of `length` pixels is: (count, length)."""
    ends = jnp.arange(count + 1) * length / count
    pixels = jnp.arange(length)
    first, last = jnp.maximum(ends[:-1, None], pixels), jnp.minimum(ends[1:, None], pixels + 1)
    return jnp.maximum(last - first, 0) * count / length


def on_patches(segments, grid):
    """The region in the middle of each patch: (B, H, W) int, grid (h, w) -> (B, h, w)."""
    for axis, count in zip((1, 2), grid):
        length = segments.shape[axis]
        middles = ((jnp.arange(count) + 0.5) * length / count).astype(int)
        segments = jnp.take(segments, middles, axis=axis)
    return segments
