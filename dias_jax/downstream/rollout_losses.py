"""What a roll-out of slots minimises."""

import jax
import jax.numpy as jnp

from dias_jax.video_losses import mean_over


def slot_loss(predicted, true, is_counted, decay=1.0, axis_name=None):
    """Mean squared error over the counted slots of all predicted frames: -> scalar.

    predicted, true (B, K, S, D), is_counted (B, K, S) bool; decay: see `frame_weights`. No gradient
    reaches the true slots. SlotFormer, released code.
    """
    error = jnp.square(predicted - jax.lax.stop_gradient(true)).mean(-1)
    weights = frame_weights(error.shape[1], decay)
    return mean_over(error * weights[:, None], is_counted, axis_name)


def feature_loss(predicted, slot_mask, features, decode, decay=1.0):
    """Mean squared error of features decoded from predicted slots alone: -> scalar.

    predicted (B, K, S, D), slot_mask (B, S) bool, features (B, K, h, w, C), those of the true
    frames; decode: the frozen decoder without visible tokens, for these would be of the future:
    slots (B, S, D), slot_mask (B, S) -> (B, N, C). Normalised as the reconstruction of the video
    model; decay: see `frame_weights`.
    """

    @jax.checkpoint  # frame after frame, so that the attention of one is in memory
    def frame_error(frame):
        slots, true = frame
        decoded = decode(slots, slot_mask).astype(jnp.float32)
        return jnp.square(decoded - true.reshape(decoded.shape)).mean((1, 2))

    frames = predicted.swapaxes(0, 1), features.swapaxes(0, 1)
    errors = jax.lax.map(frame_error, frames)  # (K, B)
    return (errors * frame_weights(len(errors), decay)[:, None]).mean()


def frame_weights(count, decay):
    """Weights of predicted frames, decay^k of frame k, scaled to a mean of 1 (as RPIN): (K,)."""
    weights = decay ** jnp.arange(count, dtype=jnp.float32)
    return weights / weights.mean()


def rollout_objective(
    variables,
    batch,
    rng,
    step,
    *,
    model,
    num_steps,
    decay=1.0,
    features_weight=0.0,
    decode=None,
    axis_name=None,
):
    """The training loss of a SlotFormer on the last `num_steps` frames: -> loss, {name: scalar}.

    batch, of an extraction: "slots" (B, F, S, D) and "slot_mask" (B, F, S) bool, the slots in use,
    of observed and predicted frames; "index" (B,) int, which with `rng` decides dropout. Counted
    are slots in use both on the last observed frame and on the predicted one. features_weight: of
    the `feature_loss`, which takes `decode` and "features" (B, num_steps, h, w, C) of the predicted
    frames; 0: it is not computed.
    """
    slots, slot_mask = batch["slots"], batch["slot_mask"]
    predicted = model.apply(
        variables,
        slots[:, :-num_steps],
        num_steps,
        slot_mask[:, :-num_steps],
        train=True,
        sample_index=batch["index"],
        rngs={"dropout": rng},
    )
    is_counted = slot_mask[:, -num_steps:] & slot_mask[:, -num_steps - 1, None]
    loss = slot_loss(predicted, slots[:, -num_steps:], is_counted, decay, axis_name)
    if not features_weight:
        return loss, {"loss": loss}
    last = slot_mask[:, -num_steps - 1]
    error = feature_loss(predicted, last, batch["features"], decode, decay)
    total = loss + features_weight * error
    return total, {"loss": total, "slots": loss, "features": error}
