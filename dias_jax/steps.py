"""The pure training and evaluation steps; the same functions run under jit and pmap."""

import jax
import jax.numpy as jnp
import optax

from dias_jax import losses
from dias_jax.metrics import METRICS
from dias_jax.segmentation import segment

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # on the 0-255 scale
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalize(images):
    """uint8 (B, H, W, 3) -> float32, ImageNet-normalised."""
    mean, deviation = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_STD)
    return (images.astype(jnp.float32) - mean) / deviation


def random_streams(rng):
    """The model's random streams from one key."""
    slots, decoder = jax.random.split(rng)
    return {"slots": slots, "decoder": decoder}


def train_step(
    state,
    batch,
    rng,
    *,
    model,
    optimizer,
    distillation_weight,
    distillation="released",
    accumulation=1,
    axis_name=None,
):
    """One optimiser step: (TrainState, batch, key) -> (TrainState, metrics).

    batch: "image" (B, H, W, 3) uint8, "index" (B,) int32, the samples' indices in their split,
    which together with the key and the step decide their random numbers. `distillation_weight`
    is a function of the step. The batch is taken in `accumulation` equal parts. Under pmap,
    `axis_name` is the axis over which gradients are averaged. metrics: dict of scalars.
    """
    streams = random_streams(jax.random.fold_in(rng, state.step))
    weight = distillation_weight(state.step)

    def loss_fn(params, part):
        output = model.apply(
            {"params": params, "backbone": state.backbone},
            normalize(part["image"]),
            train=True,
            rngs=streams,
            sample_index=part["index"],
        )
        reconstruction = losses.reconstruction(output)
        distill = losses.self_distillation(output.attention, distillation)
        loss = reconstruction + weight * distill
        return loss, {"loss": loss, "reconstruction": reconstruction, "distillation": distill}

    gradients, metrics = mean_gradients(loss_fn, state.params, batch, accumulation)
    if axis_name is not None:
        gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
    metrics |= {"gradient_norm": optax.tree.norm(gradients), "distillation_weight": weight}
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


def eval_step(variables, batch, rng, *, model, num_masks, distillation="released", axis_name=None):
    """Metrics and segmentations of one batch: -> (totals, predictions).

    batch: as in `train_step`, and "mask" (B, H, W) uint8 (0 un-annotated, 1 background, 2...
    objects; at most `num_masks` masks) and "valid" (B,) bool, False where the batch is padding.
    totals: {name: (sum, count)} over the valid samples of all devices; names are losses and
    "decoder/ari" ... of both segmentations. predictions: "decoder" and "aggregator" (B, H, W)
    uint8 slot indices, "decoder_attention" and "aggregator_attention" (B, S, h, w).
    """
    output = model.apply(
        variables,
        normalize(batch["image"]),
        rngs=random_streams(rng),
        sample_index=batch["index"],
    )
    valid = batch["valid"]
    distilled = losses.self_distillation_per_sample(output.attention, distillation)
    values = {
        "reconstruction": (losses.reconstruction_per_sample(output), valid),
        "distillation": (distilled, valid),
    }
    predictions = {}
    attentions = {"decoder": output.decoder_attention, "aggregator": output.final_attention}
    for name, attention in attentions.items():
        prediction = segment(attention, batch["image"].shape[1:3])
        predictions[name] = prediction.astype(jnp.uint8)
        predictions[f"{name}_attention"] = attention
        scores = measure(prediction, batch["mask"], attention.shape[1], num_masks)
        values |= {f"{name}/{metric}": pair for metric, pair in scores.items()}
    return sum_up(values, valid, axis_name), predictions


def sum_up(values, valid, axis_name=None):
    """{name: (values (B,), their validity (B,))} -> {name: (sum, count)} over all devices.

    `valid` (B,) is False for samples that only fill the batch.
    """
    totals = {}
    for name, (value, has_value) in values.items():
        counted = has_value & valid
        totals[name] = jnp.where(counted, value, 0).sum(), counted.sum().astype(jnp.float32)
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
        return jax.tree.map(lambda x: x[0], {k: f(pred, true) for k, f in METRICS.items()})

    return jax.lax.map(one, (prediction, mask))
