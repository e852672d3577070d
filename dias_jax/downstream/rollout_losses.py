"""What a roll-out of slots minimises."""

import jax
import jax.numpy as jnp

from dias_jax.video_losses import mean_over


def slot_loss(predicted, true, is_counted, decay=1.0, axis_name=None):
    """Mean squared error over the counted slots of all predicted frames: -> scalar.

    predicted, true (B, K, S, D), is_counted (B, K, S) bool. Frame k has the weight decay^k, scaled
    to a mean of 1 (as RPIN). No gradient reaches the true slots. SlotFormer, released code.
    """
    error = jnp.square(predicted - jax.lax.stop_gradient(true)).mean(-1)
    weights = decay ** jnp.arange(error.shape[1], dtype=jnp.float32)
    weights /= weights.mean()
    return mean_over(error * weights[:, None], is_counted, axis_name)


def rollout_objective(variables, batch, rng, step, *, model, num_steps, decay=1.0, axis_name=None):
    """The training loss of a SlotFormer on the last `num_steps` frames: -> loss, {name: scalar}.

    batch, of an extraction: "slots" (B, F, S, D) and "slot_mask" (B, F, S) bool, the slots in use,
    of observed and predicted frames; "index" (B,) int, which with `rng` decides dropout. Counted
    are slots in use both on the last observed frame and on the predicted one.
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
    return loss, {"loss": loss}
