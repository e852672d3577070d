"""Segmentations against the truth: per-sample metrics, and sums of them over all devices."""

import jax
import jax.numpy as jnp

from dias_jax.metrics import METRICS, count_error
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
        scores = measure(predictions[name], mask, slot_mask.shape[1], num_masks)
        values |= {f"{name}/{metric}": pair for metric, pair in scores.items()}
    present = (mask[..., None] == jnp.arange(1, num_masks + 1)).any((1, 2))  # (B, G)
    error = jnp.abs(slot_mask.sum(-1) - present.sum(-1)).astype(jnp.float32)
    return values | {"slot_count_error": (error, present.any(-1))}


def measure(prediction, mask, num_slots, num_masks):
    """All metrics of index maps (B, H, W): -> {metric: (values (B,), valid (B,))}.

    Sample by sample, so that only one sample's one-hot masks are in memory.
    """

    def one(maps):
        slot, true = (x.reshape(1, -1) for x in maps)
        pred = jax.nn.one_hot(slot, num_slots, dtype=bool)
        # Index 0 belongs to no mask: one_hot of -1 is all False.
        true = jax.nn.one_hot(true.astype(jnp.int32) - 1, num_masks, dtype=bool)
        functions = METRICS | {"count_error": count_error}
        return jax.tree.map(lambda x: x[0], {k: f(pred, true) for k, f in functions.items()})

    return jax.lax.map(one, (prediction, mask))


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
