"""Which slot has found which thing: a matching of masks, one to one."""

import jax
import jax.numpy as jnp

from dias_jax.metrics import best_partners, count_pixels, intersection_over_union


def match_slots(pred, things):
    """The matching with the largest sum of IoU over all pixels, as the released code has it.

    pred (B, P, S), things (B, P, G) bool one-hot masks, no background among the things ->
    slot (B, G) int32, iou (B, G) float32: -1 and 0 where a thing has no pixel or no partner.
    """
    counts = count_pixels(pred, things)
    iou = intersection_over_union(counts)
    slots, columns = best_partners(iou)
    sample = jnp.arange(len(iou))[:, None]
    slot = jnp.full((len(iou), things.shape[-1]), -1).at[sample, columns].set(slots)
    is_matched = (slot >= 0) & (counts.true_size > 0)
    found = jnp.take_along_axis(iou, jnp.maximum(slot, 0)[:, None], axis=1)[:, 0]
    return jnp.where(is_matched, slot, -1).astype(jnp.int32), jnp.where(is_matched, found, 0.0)


def match_maps(segments, mask, num_slots, num_things):
    """`match_slots` of index maps, one sample's one-hot masks in memory at a time.

    segments (B, H, W) slot indices, mask (B, H, W) uint8 (0 not annotated, 1 background, 2...
    things; at most `num_things` things) -> slot (B, G) int32, iou (B, G) float32.
    """

    def one(maps):
        segment, true = (x.reshape(1, -1).astype(jnp.int32) for x in maps)
        pred = jax.nn.one_hot(segment, num_slots, dtype=bool)
        things = jax.nn.one_hot(true - 2, num_things, dtype=bool)  # of -2 and -1 nothing is set
        return jax.tree.map(lambda x: x[0], match_slots(pred, things))

    return jax.lax.map(one, (segments, mask))


def keep_pairs(iou, threshold, things="all"):
    """Which things a probe learns from and is asked about: iou (..., G) -> (..., G) bool.

    Those whose slot's IoU is strictly above `threshold`, of "all" things or of the "first_two" of
    each image: these alone the released code can keep, because it looks a thing's number up among
    the values of a boolean mask.
    """
    is_kept = iou > threshold
    return is_kept & (jnp.arange(iou.shape[-1]) < 2) if things == "first_two" else is_kept


def slots_of_things(slots, slot):
    """The slot of every thing: slots (B, S, D), slot (B, G) int -> (B, G, D); of -1 the first."""
    return jnp.take_along_axis(slots, jnp.maximum(slot, 0)[..., None], axis=1)
