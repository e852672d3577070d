"""Segmentations against the truth: per-sample metrics, and sums of them over all devices."""

import jax
import jax.numpy as jnp

from dias_jax.metrics import OF_COUNTS, count_error_of, count_maps
from dias_jax.segmentation import MASKS, slot_map


def attentions(output):
    """The two attentions of a DIASOutput that are segmentations: {name: (B, S, h, w)}."""
    return dict(zip(MASKS, (output.decoder_attention, output.final_attention)))


def predict_masks(output, size):
    """Both segmentations of a DIASOutput at `size` (H, W).

    -> {"decoder" and "aggregator": (B, H, W) uint8 slot indices, "decoder_attention" and
    "aggregator_attention": (B, S, h, w), "slot_mask": (B, S)}.
    """
    predictions = {"slot_mask": output.slot_mask}
    for name, attention in attentions(output).items():
        predictions[name] = slot_map(attention, size).astype(jnp.uint8)
        predictions[f"{name}_attention"] = attention
    return predictions


def compare_with_truth(predictions, mask, num_masks):
    """Both segmentations against index maps (B, H, W): -> {name: (values (B,), valid (B,))}.

    Names are "decoder/ari" ..., the same of "aggregator", and "slot_count_error", the difference
    between the number of slots in use and of true masks, background included. Without ground
    truth, `num_masks` 0, there is nothing to compare.
    """
    if not num_masks:
        return {}
    slot_mask, values = predictions["slot_mask"], {}
    for name in MASKS:
        counts = count_annotated(predictions[name], mask, slot_mask.shape[1], num_masks)
        values |= {f"{name}/{metric}": pair for metric, pair in scores_of(counts).items()}
    present = (counts.true_size > 0).sum(-1)
    error = jnp.abs(slot_mask.sum(-1) - present).astype(jnp.float32)
    return values | {"slot_count_error": (error, counts.has_truth())}


def measure(prediction, mask, num_slots, num_masks):
    """All metrics of index maps (B, H, W): -> {metric: (values (B,), valid (B,))}."""
    return scores_of(count_annotated(prediction, mask, num_slots, num_masks))


def count_annotated(prediction, mask, num_slots, num_masks):
    """`count_maps` of index maps, where index 0 of `mask` is not annotated: in no true mask."""
    return count_maps(prediction, mask.astype(jnp.int32) - 1, num_slots, num_masks)


def scores_of(counts):
    """All metrics of Counts: -> {metric: (values (B,), valid (B,))}."""
    values = {metric: score(counts) for metric, score in OF_COUNTS.items()}
    return values | {"count_error": count_error_of(counts)}


def sum_up(values, valid, axis_name=None):
    """{name: (values (B, ...), their validity (B,))} -> {name: (sum, count)} over all devices.

    `valid` (B,) is False for samples that only fill the batch.
    """
    totals = {}
    for name, (value, has_value) in values.items():
        counted = has_value & valid
        shape = (-1,) + (1,) * (value.ndim - 1)
        total = jnp.where(counted.reshape(shape), value, 0).sum(0)
        totals[name] = total, counted.sum().astype(jnp.float32)
    return totals if axis_name is None else jax.lax.psum(totals, axis_name)
