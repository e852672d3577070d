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
    slot = best_slots(iou)
    is_matched = (slot >= 0) & (counts.true_size > 0)
    return jnp.where(is_matched, slot, -1), jnp.where(is_matched, of_pairs(iou, slot), 0.0)


def best_slots(score):
    """The slot of every thing in the one-to-one matching of the largest sum.

    score (B, S, G) -> (B, G) int32, -1 where there are fewer slots than things.
    """
    slots, things = best_partners(score)
    sample = jnp.arange(len(score))[:, None]
    slot = jnp.full((len(score), score.shape[-1]), -1, jnp.int32)
    return slot.at[sample, things].set(slots.astype(jnp.int32))


def of_pairs(values, slot):
    """Values (B, S, G) of every thing and its slot (B, G) int: -> (B, G); of -1 the first."""
    return jnp.take_along_axis(values, jnp.maximum(slot, 0)[:, None], axis=1)[:, 0]


def match_maps(segments, mask, num_slots, is_crowd):
    """`match_slots` of index maps, one sample's one-hot masks in memory at a time.

    segments (B, H, W) slot indices, -1: none; mask (B, H, W) uint8 (0 not annotated, 1 background,
    2... things, at most G); is_crowd (B, G) bool -> slot (B, G) int32, iou (B, G) float32, overlap
    (B, S, G) float32: IoU of every slot and thing, of a crowd the share of the slot that lies in
    it, as COCO has it.
    """

    def one(maps):
        segment, true, crowd = maps
        pred = jax.nn.one_hot(segment.reshape(1, -1), num_slots, dtype=bool)
        true = true.reshape(1, -1).astype(jnp.int32) - 2  # of -2 and -1 nothing is set
        things = jax.nn.one_hot(true, is_crowd.shape[1], dtype=bool)
        counts = count_pixels(pred, things)
        within = counts.shared / jnp.maximum(counts.pred_size, 1)[..., None]
        overlap = jnp.where(crowd, within, intersection_over_union(counts))
        return jax.tree.map(lambda x: x[0], (*match_slots(pred, things), overlap))

    return jax.lax.map(one, (segments, mask, is_crowd))


def keep_pairs(iou, threshold, things="all"):
    """Which things a probe learns from and is asked about: iou (..., G) -> (..., G) bool.

    Those whose slot's IoU is strictly above `threshold`, of "all" things or of the "first_two" of
    each image: these alone the released code can keep, because it looks a thing's number up among
    the values of a boolean mask.
    """
    is_kept = iou > threshold
    return is_kept & (jnp.arange(iou.shape[-1]) < 2) if things == "first_two" else is_kept


def of_partner(values, partner):
    """Values (B, M, D) of each one's partner (B, N) int -> (B, N, D); without one, -1, the first.

    Things have slots as partners, slots have things.
    """
    return jnp.take_along_axis(values, jnp.maximum(partner, 0)[..., None], axis=1)


def things_of_slots(slot, is_kept, num_slots):
    """Which thing each slot has: slot (B, G) int, is_kept (B, G) bool -> (B, S) int, -1: none."""
    is_pair = (slot[:, None] == jnp.arange(num_slots)[:, None]) & is_kept[:, None]  # (B, S, G)
    return jnp.where(is_pair.any(-1), is_pair.argmax(-1), -1)
