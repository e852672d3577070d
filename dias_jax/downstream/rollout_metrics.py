"""How far into the future a prediction is good: values of every predicted frame, and baselines.

What has the axes (B, K), of K predicted frames, comes with a bool array that says which values
there are; means over samples are for the caller. The size of slots is arbitrary, so their errors
compare models only relative to those of copying; masks and centres compare as they are.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.metrics import ari_of, fg_ari_of, miou_of
from dias_jax.video_metrics import count_frames, match_things


def copy_last(slots, num_steps):
    """Nothing moves: slots (B, F, S, D) -> (B, K, S, D)."""
    return jnp.repeat(slots[:, -1:], num_steps, axis=1)


def extrapolate(slots, num_steps):
    """All goes on as between the last two frames: slots (B, F, S, D) -> (B, K, S, D)."""
    steps = jnp.arange(1, num_steps + 1)[:, None, None]
    return slots[:, -1:] + steps * (slots[:, -1:] - slots[:, -2:-1])


def slot_errors(predicted, true, is_counted):
    """Mean squared error over a frame's counted slots: -> values (B, K), valid (B, K).

    predicted, true (B, K, S, D), is_counted (B, K, S) bool.
    """
    error = jnp.where(is_counted, jnp.square(predicted - true).mean(-1), 0)
    count = is_counted.sum(-1)
    return error.sum(-1) / jnp.maximum(count, 1), count > 0


def relative_errors(errors, baseline, valid):
    """Mean error of each step over the baseline's mean: (B, K) twice, valid (B, K) -> (K,)."""
    of_ours, of_baseline = (jnp.where(valid, x, 0).sum(0) for x in (errors, baseline))
    return of_ours / of_baseline


def mask_metrics(pred, true, num_slots, num_masks):
    """Of every frame alone: -> {"ari", "fg_ari", "miou", "fg_miou": (values (B, K), valid)}.

    pred (B, K, H, W) int, slots; true (B, K, H, W) int, 0 background, 1 ... things, -1 not
    annotated. "fg_miou" leaves the background out.
    """
    counts = count_frames(pred, true, num_slots, num_masks)
    return {
        "ari": ari_of(counts),
        "fg_ari": fg_ari_of(counts),
        "miou": miou_of(counts),
        "fg_miou": miou_of(counts.without_background()),
    }


def centres_of(maps, count):
    """Centres of masks: index maps (B, F, H, W) int -> (B, F, count, 2), is_seen (B, F, count).

    x and y in sides of the image; what no pixel has is at 0.
    """
    height, width = maps.shape[-2:]
    one_hot = (maps[..., None] == jnp.arange(count)).astype(jnp.float32)
    area = one_hot.sum((2, 3))
    x = (one_hot.sum(2) * ((jnp.arange(width) + 0.5) / width)[:, None]).sum(2)
    y = (one_hot.sum(3) * ((jnp.arange(height) + 0.5) / height)[:, None]).sum(2)
    return jnp.stack([x, y], axis=-1) / jnp.maximum(area, 1)[..., None], area > 0


def centre_errors(pred, true, num_slots, num_masks, threshold=0.5):
    """Distances between centres of things and of their slots: -> values (B, K), valid (B, K).

    pred, true (B, 1 + K, H, W) int as in `mask_metrics`, the first frame the last that is observed:
    things are matched to slots there, one to one by IoU of at least `threshold`, and for good.
    Mean over matched things that a frame shows, in sides of the image. A slot that it does not show
    is where it was seen last.
    """
    counts = count_frames(pred[:, :1], true[:, :1], num_slots, num_masks)
    slot = match_things(counts, threshold)  # (B, 1, G - 1)
    centres, is_seen = centres_of(pred, num_slots)
    last_seen = jax.lax.cummax(jnp.where(is_seen, jnp.arange(pred.shape[1])[:, None], 0), axis=1)
    centres = jnp.take_along_axis(centres, last_seen[..., None], axis=1)
    centres = jnp.take_along_axis(centres, jnp.maximum(slot, 0)[..., None], axis=2)
    true_centres, is_there = centres_of(true - 1, num_masks - 1)  # without the background
    distance = jnp.linalg.norm(centres - true_centres, axis=-1)[:, 1:]
    counted = (is_there & (slot >= 0))[:, 1:]
    number = counted.sum(-1)
    return jnp.where(counted, distance, 0).sum(-1) / jnp.maximum(number, 1), number > 0


def half_life(values):
    """Steps until a metric (K,) is below half of its first value; K where it never is."""
    below = np.asarray(values) < 0.5 * values[0]
    return int(below.argmax()) if below.any() else len(below)
