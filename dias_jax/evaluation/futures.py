"""Predicted slots decoded: masks, places of things and features of frames that nobody has seen.

The decoder sees no token of these frames: any would be a glimpse of the future.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.downstream.rollout_metrics import centre_errors, half_life, mask_metrics
from dias_jax.evaluation.prediction import predict_slots
from dias_jax.models.prediction import predict
from dias_jax.segmentation import slot_map
from dias_jax.video_losses import box_input

TITLES = {  # of who tells the future
    "roll_out": "roll-out",
    "copy_last": "copy of the last frame",
    "linear": "linear extrapolation",
    "transition": "the model's own transition",
    "oracle": "slots of the true future",
}
METRICS = {"ari": "ARI", "fg_ari": "FG-ARI", "miou": "mIoU", "fg_miou": "FG-mIoU"}  # percent
CENTRE = "centre"  # error, in image sides
FEATURES = "features"  # squared error of what is decoded, as of a reconstruction
PANELS = METRICS | {CENTRE: "error of centres (image sides)", FEATURES: "error of features"}


def key_of(config):
    """The key from which slots of an evaluation start."""
    return jax.random.key(config.seed)


@functools.partial(jax.jit, static_argnums=(0, 1, 4, 5))
def tell_futures(video, rollout, variables, batch, observed, offset, key):
    """Slots of the frames after the `observed` ones, by everybody: -> {name of TITLES: slots}.

    video, rollout: the models, variables: of both; batch: whole videos. Slots are (B, 1 + K, S, D),
    the first those of the last observed frame; "slot_mask" (B, S) of that frame and the true
    "features" (B, 1 + K, h, w, C) are there, too.
    """
    inputs = {"frame_valid": batch["frame_valid"], "boxes": box_input(video, batch)}
    output = predict(video, variables[0], batch["image"], key, batch["index"], **inputs)
    slots, slot_mask = output.slots, output.slot_mask
    found = predict_slots(rollout, variables[1], slots, slot_mask, observed, offset)
    now, last = slots[:, observed - 1 : observed], slot_mask[:, observed - 1]
    found["oracle"] = slots[:, observed:]
    if not video.transition.looks_at_tokens:
        steps = slots.shape[1] - observed
        arguments = now[:, 0], last, steps
        found["transition"] = video.apply(variables[0], *arguments, method="continue_alone")
    found = {name: jnp.concatenate([now, x], axis=1) for name, x in found.items()}
    return found | {"slot_mask": last, "features": output.features[:, observed - 1 :]}


@functools.partial(jax.jit, static_argnums=(0, 4))
def decode_alone(video, variables, slots, slot_mask, size):
    """What slots alone give: (B, F, S, D), (B, S) -> segmentations (B, F, H, W) int32, features.

    These are (B, F, N, C). Frame after frame, so that one's attention is in memory.
    """

    def decode(slots):
        features, attention = video.apply(variables, slots, slot_mask, method="imagine")
        side = round(attention.shape[-1] ** 0.5)
        return slot_map(attention.reshape(*attention.shape[:2], side, side), size), features

    decoded = jax.lax.map(decode, slots.swapaxes(0, 1))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), decoded)


def score_futures(video, rollout, variables, batches, config, num_masks, observed):
    """Everybody's futures against the truth: -> {"NAME/METRIC": (K,) over the horizon}.

    batches: of an evaluation; config: of the video model and, `rollout`, of the roll-out. Of every
    frame alone, means over the videos that have a value there.
    """
    offset, key = config.rollout.frame_offset, key_of(config)
    totals = {}
    for batch in batches:
        futures = tell_futures(video, rollout, variables, batch, observed, offset, key)
        true = batch["mask"][:, observed - 1 :].astype(np.int32) - 1
        slot_mask, features = futures.pop("slot_mask"), futures.pop("features")
        valid = batch["valid"][:, None] & batch["frame_valid"][:, observed:]
        for name, slots in futures.items():
            maps, decoded = decode_alone(video, variables[0], slots, slot_mask, true.shape[2:])
            errors = feature_errors(decoded, features)[:, 1:]
            sums = sum_scores(maps, true, errors, valid, slot_mask.shape[1], num_masks)
            for metric, pair in sums.items():
                old = totals.get(f"{name}/{metric}", (0, 0))
                totals[f"{name}/{metric}"] = tuple(a + np.asarray(b) for a, b in zip(old, pair))
    scale = {metric: 100 for metric in METRICS}
    means = {name: total / np.maximum(count, 1) for name, (total, count) in totals.items()}
    return {
        name: np.where(totals[name][1], scale.get(name.split("/")[1], 1) * values, np.nan)
        for name, values in means.items()
    }


def feature_errors(decoded, true):
    """Mean squared errors (B, F) of decoded features (B, F, N, C); true (B, F, h, w, C)."""
    return jnp.square(decoded.astype(jnp.float32) - true.reshape(decoded.shape)).mean((2, 3))


@functools.partial(jax.jit, static_argnums=(4, 5))
def sum_scores(maps, true, errors, valid, num_slots, num_masks):
    """Sums over videos, of the frames after the first: -> {metric: (sum (K,), count (K,))}.

    errors, valid (B, K): of the features, and which frames there are.
    """
    scores = mask_metrics(maps[:, 1:], true[:, 1:], num_slots, num_masks)
    scores[FEATURES] = errors, jnp.ones_like(valid)
    scores[CENTRE] = centre_errors(maps, true, num_slots, num_masks)
    return {
        name: (jnp.where(has & valid, value, 0).sum(0), (has & valid).sum(0))
        for name, (value, has) in scores.items()
    }


def half_lives(scores):
    """Steps until the FG-mIoU of each is below half of its first value: -> {name: steps}."""
    return {
        name.replace("fg_miou", "half_life"): half_life(values)
        for name, values in scores.items()
        if name.endswith("/fg_miou")
    }
