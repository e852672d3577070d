"""ARI, FG-ARI, mBO and mIoU of one-hot segmentations, per sample, on device.

Every function takes pred (B, P, S) and true (B, P, G) bool one-hot masks and returns
(values (B,) float32, valid (B,) bool). True mask 0 is the background; empty masks are padding;
a pixel in no true mask does not count for ARI. A sample without any true mask is invalid and has
to be left out of the mean. All of them run under `jit` and `vmap`.
"""

import functools

import flax
import jax
import jax.numpy as jnp
import optax

IMAGES_AT_ONCE = 32  # whose masks a GPU counts


@flax.struct.dataclass
class Counts:
    """Numbers of pixels, float32 and exact below 2**24; any axes may come first."""

    shared: jax.Array  # (..., S, G), of every pair of masks
    pred_size: jax.Array  # (..., S)
    true_size: jax.Array  # (..., G)

    def has_truth(self):
        """Where there is any ground truth: (...) bool."""
        return (self.true_size > 0).any(-1)

    def without_background(self):
        """The same without true mask 0."""
        return self.replace(shared=self.shared[..., 1:], true_size=self.true_size[..., 1:])


def count_pixels(pred, true):
    """One-hot masks (B, P, S), (B, P, G) -> Counts with the axis B."""
    pred, true = pred.astype(jnp.float32), true.astype(jnp.float32)
    return Counts(jnp.einsum("bps,bpg->bsg", pred, true), pred.sum(1), true.sum(1))


def count_maps(pred, true, num_slots, num_masks):
    """Pixels of index maps (B, H, W) int: -> Counts with the axis B.

    What is negative belongs to no mask. One image after the other, so that the one-hot masks of
    only one are in memory; on GPUs, which wait longer for each, some at once.
    """
    numbers = num_slots, num_masks
    return jax.lax.platform_dependent(
        *(pred, true),
        cuda=functools.partial(count_in_groups, numbers, IMAGES_AT_ONCE),
        default=functools.partial(count_in_groups, numbers, None),
    )


def count_in_groups(numbers, at_once, *maps):
    """`count_maps` of so many images after the other; None: of each."""

    def one(maps):
        flat = (x.reshape(1, -1).astype(jnp.int32) for x in maps)
        masks = (jax.nn.one_hot(x, n, dtype=bool) for x, n in zip(flat, numbers, strict=True))
        return jax.tree.map(lambda x: x[0], count_pixels(*masks))

    return jax.lax.map(one, maps, batch_size=at_once)


def ari_of(counts):
    """`ari` of Counts: -> values (...), valid (...)."""
    # Ordered pairs n * (n - 1) overflow int32 at 65,536 pixels; float32 is good to 4e-7 here.
    shared = counts.shared
    pairs = (shared * (shared - 1)).sum((-2, -1))
    true_size, pred_size = shared.sum(-2), shared.sum(-1)
    true_pairs = (true_size * (true_size - 1)).sum(-1)
    pred_pairs = (pred_size * (pred_size - 1)).sum(-1)
    num_pixels = true_size.sum(-1)
    expected = true_pairs * (pred_pairs / jnp.maximum(num_pixels * (num_pixels - 1), 1))
    largest = (true_pairs + pred_pairs) / 2
    denominator = largest - expected
    # Zero when both put everything into one cluster, or every pixel into its own: a perfect match.
    perfect = denominator == 0
    values = (pairs - expected) / jnp.where(perfect, 1, denominator)
    return jnp.where(perfect, 1.0, values), counts.has_truth()


def fg_ari_of(counts):
    """`fg_ari` of Counts: -> values (...), valid (...)."""
    return ari_of(counts.without_background())


def intersection_over_union(counts):
    """IoU of every pair of masks: -> (..., S, G) float32, zero where both are empty."""
    sizes = counts.pred_size[..., :, None] + counts.true_size[..., None, :]
    return counts.shared / jnp.maximum(sizes - counts.shared, 1)


def mean_over_masks(overlap, counts):
    """Sum of overlaps over the number of true masks that are not empty: -> (...)."""
    return overlap / jnp.maximum((counts.true_size > 0).sum(-1), 1)


def mbo_of(counts):
    """`mbo` of Counts: -> values (...), valid (...)."""
    best = intersection_over_union(counts).max(-2)  # (..., G)
    return mean_over_masks(best.sum(-1), counts), counts.has_truth()


def best_partners(score):
    """The one-to-one matching of the largest sum: (..., S, G) -> rows, columns (..., min(S, G))."""
    flat = score.reshape(-1, *score.shape[-2:])
    pairs = jax.vmap(optax.assignment.hungarian_algorithm)(-flat)
    return tuple(x.reshape(*score.shape[:-2], -1) for x in pairs)


def sum_over_pairs(score, rows, columns):
    """Sum of score (..., S, G) over pairs: -> (...)."""
    flat = score.reshape(-1, *score.shape[-2:])
    index = (x.reshape(len(flat), -1) for x in (rows, columns))
    total = jax.vmap(lambda score, row, column: score[row, column].sum())(flat, *index)
    return total.reshape(score.shape[:-2])


def miou_of(counts):
    """`miou` of Counts: -> values (...), valid (...)."""
    iou = intersection_over_union(counts)
    total = sum_over_pairs(iou, *best_partners(iou))
    return mean_over_masks(total, counts), counts.has_truth()


def ari(pred, true):
    """Adjusted Rand index over all annotated pixels (Hubert and Arabie 1985).

    As the released code, but for its overflow of int64: at 256x256 its value is wrong where one
    segment covers about 85 % of the image in both maps.
    """
    return ari_of(count_pixels(pred, true))


def fg_ari(pred, true):
    """ARI over the pixels of objects only: true mask 0, the background, is left out."""
    return fg_ari_of(count_pixels(pred, true))


def mbo(pred, true):
    """Mean best overlap: the best IoU of each true mask, background included."""
    return mbo_of(count_pixels(pred, true))


def miou(pred, true):
    """Mean IoU under the best one-to-one matching (Hungarian), background included."""
    return miou_of(count_pixels(pred, true))


def count_error_of(counts):
    """`count_error` of Counts: -> values (...), valid (...)."""
    difference = (counts.pred_size > 0).sum(-1) - (counts.true_size > 0).sum(-1)
    return jnp.abs(difference).astype(jnp.float32), counts.has_truth()


def count_error(pred, true):
    """Absolute difference between the numbers of predicted and of true masks that are not empty."""
    return count_error_of(count_pixels(pred, true))


# Of a segmentation, between 0 and 1; the higher the better.
METRICS = {"ari": ari, "fg_ari": fg_ari, "mbo": mbo, "miou": miou}
OF_COUNTS = {"ari": ari_of, "fg_ari": fg_ari_of, "mbo": mbo_of, "miou": miou_of}
METRIC_TITLES = {"ari": "ARI", "fg_ari": "FG-ARI", "mbo": "mBO", "miou": "mIoU"}
