"""Evaluation steps: metrics and segmentations of a batch, at one threshold or at many."""

import jax
import jax.numpy as jnp

from dias_jax import losses
from dias_jax.models.inputs import normalize, random_streams
from dias_jax.models.prediction import predict
from dias_jax.slot_statistics import slot_statistics
from dias_jax.steps.scoring import compare_with_truth, predict_masks, sum_up


def eval_step(
    variables,
    batch,
    rng,
    *,
    model,
    num_masks,
    distillation="released",
    teacher="first",
    parts=None,
    axis_name=None,
):
    """Metrics and segmentations of one batch: -> (totals, predictions).

    batch: "image" (B, H, W, 3) uint8, "index" (B,) int32, the samples' indices in their split,
    which decide their slots; "valid" (B,) bool, False where the batch is padding; perhaps
    "features" (B, h, w, C), which then need not be computed; and, unless `num_masks` is 0, "mask"
    (B, H, W) uint8 (0 un-annotated, 1 background, 2... objects; at most `num_masks` masks). totals:
    {name: (sum, count)} over the valid samples of all devices; names are losses, those of
    `slot_statistics` and of `compare_with_truth`. predictions: as `predict_masks` gives them.
    parts: those of `predict`.
    """
    images, index, features = batch["image"], batch["index"], batch.get("features")
    output = predict(model, variables, images, rng, index, parts, features=features)
    maps, slot_mask = losses.distilled_maps(output, teacher)
    values = {
        "reconstruction": losses.reconstruction_per_sample(output),
        "distillation": losses.self_distillation_per_sample(maps, distillation, slot_mask),
    }
    values |= slot_statistics(output)
    values = {name: (value, batch["valid"]) for name, value in values.items()}
    predictions = predict_masks(output, images.shape[1:3])
    values |= compare_with_truth(predictions, batch.get("mask"), num_masks)
    return sum_up(values, batch["valid"], axis_name), predictions


def threshold_step(variables, batch, rng, *, model, num_masks, thresholds, axis_name=None):
    """`eval_step` at K thresholds of the reduction, from one first aggregation.

    -> ({name: (sums (K,), counts (K,))}, {}).
    """
    size, streams = batch["image"].shape[1:3], random_streams(rng)
    first = model.apply(
        variables,
        normalize(batch["image"]),
        sample_index=batch["index"],
        rngs=streams,
        method="first_aggregation",
    )

    def at(threshold):
        output = model.apply(variables, first, threshold, method="finish")
        scores = compare_with_truth(predict_masks(output, size), batch.get("mask"), num_masks)
        active = slot_statistics(output)["active_slots"], batch["valid"]
        return sum_up(scores | {"active_slots": active}, batch["valid"])

    totals = jax.lax.map(at, jnp.asarray(thresholds, jnp.float32))
    return totals if axis_name is None else jax.lax.psum(totals, axis_name), {}
