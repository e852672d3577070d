"""The pure training and evaluation steps; the same functions run under jit and pmap."""

import jax
import jax.numpy as jnp
import optax

from dias_jax import losses
from dias_jax.metrics import METRICS, count_error
from dias_jax.segmentation import segment
from dias_jax.slot_statistics import slot_statistics

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # on the 0-255 scale
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalize(images):
    """uint8 (B, H, W, 3) -> float32, ImageNet-normalised."""
    mean, deviation = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
    return (images.astype(jnp.float32) - mean) / deviation


def random_streams(rng):
    """The model's random streams from one key."""
    return dict(zip(("slots", "decoder", "reinit"), jax.random.split(rng, 3)))


def train_step(
    state,
    batch,
    rng,
    *,
    model,
    optimizer,
    distillation_weight,
    reduce_probability,
    distillation="released",
    teacher="first",
    accumulation=1,
    axis_name=None,
):
    """One optimiser step: (TrainState, batch, key) -> (TrainState, metrics).

    batch: "image" (B, H, W, 3) uint8, "index" (B,) int32, the samples' indices in their split,
    which together with the key and the step decide their random numbers. `distillation_weight`
    and `reduce_probability` (that slots are reduced) are functions of the step; for `distillation`
    and `teacher` see `losses`. The batch is taken in `accumulation` equal parts. Under pmap,
    `axis_name` is the axis over which gradients are averaged. metrics: dict of scalars and of
    "active_slots_histogram" (S,).
    """
    streams = random_streams(jax.random.fold_in(rng, state.step))
    weight, probability = distillation_weight(state.step), reduce_probability(state.step)

    def loss_fn(params, part):
        output = model.apply(
            {"params": params, "backbone": state.backbone},
            normalize(part["image"]),
            train=True,
            rngs=streams,
            sample_index=part["index"],
            reduce_probability=probability,
        )
        reconstruction = losses.reconstruction(output)
        maps, slot_mask = losses.distilled_maps(output, teacher)
        distill = losses.self_distillation(maps, distillation, slot_mask)
        loss = reconstruction + weight * distill
        values = {"loss": loss, "reconstruction": reconstruction, "distillation": distill}
        return loss, values | jax.tree.map(lambda x: x.mean(0), slot_statistics(output))

    gradients, metrics = mean_gradients(loss_fn, state.params, batch, accumulation)
    if axis_name is not None:
        gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
    metrics |= {
        "gradient_norm": optax.tree.norm(gradients),
        "distillation_weight": weight,
        "reduce_probability": probability,
    }
    return state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        optimizer_state=optimizer_state,
    ), metrics


def mean_gradients(loss_fn, params, batch, parts):
    """Gradients and metrics of `loss_fn`, averaged over equal parts of the batch."""
    gradient_fn = jax.grad(loss_fn, has_aux=True)
    if parts == 1:
        return gradient_fn(params, batch)

    def add(total, part):
        return jax.tree.map(jnp.add, total, gradient_fn(params, part)), None

    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    first = jax.tree.map(lambda x: x[0], batch)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient_fn, params, first)
    )
    total, _ = jax.lax.scan(add, zeros, batch)
    return jax.tree.map(lambda x: x / parts, total)


def eval_step(
    variables,
    batch,
    rng,
    *,
    model,
    num_masks,
    distillation="released",
    teacher="first",
    axis_name=None,
):
    """Metrics and segmentations of one batch: -> (totals, predictions).

    batch: as in `train_step`, and "mask" (B, H, W) uint8 (0 un-annotated, 1 background, 2...
    objects; at most `num_masks` masks) and "valid" (B,) bool, False where the batch is padding.
    totals: {name: (sum, count)} over the valid samples of all devices; names are losses, those of
    `slot_statistics` and `compare_with_truth`. predictions: "decoder" and "aggregator" (B, H, W)
    uint8 slot indices, "decoder_attention" and "aggregator_attention" (B, S, h, w), "slot_mask".
    """
    output = model.apply(
        variables,
        normalize(batch["image"]),
        rngs=random_streams(rng),
        sample_index=batch["index"],
    )
    maps, slot_mask = losses.distilled_maps(output, teacher)
    values = {
        "reconstruction": losses.reconstruction_per_sample(output),
        "distillation": losses.self_distillation_per_sample(maps, distillation, slot_mask),
    }
    values |= slot_statistics(output)
    values = {name: (value, batch["valid"]) for name, value in values.items()}
    scores, predictions = compare_with_truth(output, batch, num_masks)
    return sum_up(values | scores, batch["valid"], axis_name), predictions


def threshold_step(variables, batch, rng, *, model, num_masks, thresholds, axis_name=None):
    """`eval_step` at K thresholds of the reduction, from one first aggregation.

    -> ({name: (sums (K,), counts (K,))}, {}).
    """
    first = model.apply(
        variables,
        normalize(batch["image"]),
        False,
        None,
        batch["index"],
        rngs=random_streams(rng),
        method="aggregate_first",
    )

    def at(threshold):
        output = model.apply(variables, first, threshold, batch["index"], method="at_threshold")
        scores, _ = compare_with_truth(output, batch, num_masks)
        active = slot_statistics(output)["active_slots"], batch["valid"]
        return sum_up(scores | {"active_slots": active}, batch["valid"])

    totals = jax.lax.map(at, jnp.asarray(thresholds, jnp.float32))
    return totals if axis_name is None else jax.lax.psum(totals, axis_name), {}


def compare_with_truth(output, batch, num_masks):
    """Both segmentations of a DIASOutput against a batch's masks: -> (values, predictions).

    values: {name: (values (B,), valid (B,))}; names are "decoder/ari" ..., the same of
    "aggregator", and "slot_count_error", the difference between the number of slots in use and of
    true masks, background included.
    """
    values, predictions = {}, {"slot_mask": output.slot_mask}
    attentions = {"decoder": output.decoder_attention, "aggregator": output.final_attention}
    for name, attention in attentions.items():
        prediction = segment(attention, batch["image"].shape[1:3])
        predictions[name] = prediction.astype(jnp.uint8)
        predictions[f"{name}_attention"] = attention
        scores = measure(prediction, batch["mask"], attention.shape[1], num_masks)
        values |= {f"{name}/{metric}": pair for metric, pair in scores.items()}
    present = (batch["mask"][..., None] == jnp.arange(1, num_masks + 1)).any((1, 2))  # (B, G)
    error = jnp.abs(output.slot_mask.sum(-1) - present.sum(-1)).astype(jnp.float32)
    return values | {"slot_count_error": (error, present.any(-1))}, predictions


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
