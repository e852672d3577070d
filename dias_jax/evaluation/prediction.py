"""How well slots are predicted, step by step, relative to those that do not move."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.downstream import rollout_metrics
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.downstream.slot_cache import stack
from dias_jax.downstream.slotformer import roll_out_interleaved

SHOWN = (1, 5, 10, 20)  # steps with a name of their own


def roll_out(model, variables, slots, slot_mask, num_steps, offset=1):
    """Slots (B, F, S, D) of observed frames, slot_mask (B, F, S): -> (B, num_steps, S, D)."""
    if offset == 1:
        return model.apply(variables, slots, num_steps, slot_mask)

    def masked(both, steps):  # the mask goes through as one more coordinate
        predicted = model.apply(variables, both[..., :-1], steps, both[..., -1] > 0)
        return jnp.concatenate([predicted, predicted[..., :1]], axis=-1)

    both = jnp.concatenate([slots, slot_mask[..., None].astype(slots.dtype)], axis=-1)
    return roll_out_interleaved(masked, both, num_steps, offset, model.window)[..., :-1]


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def predict_slots(model, variables, slots, slot_mask, observed, offset):
    """What is expected of the frames after the `observed` ones: -> {name: (B, K, S, D)}.

    By the model, by copying the last frame and by going on as between the last two.
    """
    past, num_steps = slots[:, :observed], slots.shape[1] - observed
    return {
        "roll_out": roll_out(model, variables, past, slot_mask[:, :observed], num_steps, offset),
        "copy_last": rollout_metrics.copy_last(past, num_steps),
        "linear": rollout_metrics.extrapolate(past, num_steps),
    }


def observed_frames(options):
    """How many frames an evaluation observes: `rollout.observed` of every interleaved sequence."""
    return options.observed * options.frame_offset


def predict_clips(model, variables, clips, options, batch_size):
    """Errors of slots over whole clips: -> {"roll_out", "linear": (K,)} relative to copying.

    clips: SlotClips; options: `config.rollout`. Of the slots in use on the last observed frame and
    on the predicted one.
    """
    errors, variables = [], jax.device_get(variables)
    for start in range(0, len(clips), batch_size):
        batch = stack([clips[i] for i in range(start, min(start + batch_size, len(clips)))])
        slots, slot_mask, observed = batch["slots"], batch["slot_mask"], observed_frames(options)
        sizes = observed, options.frame_offset
        predicted = predict_slots(model, variables, slots, slot_mask, *sizes)
        is_counted = slot_mask[:, observed:] & slot_mask[:, observed - 1, None]
        measure = functools.partial(
            rollout_metrics.slot_errors, true=slots[:, observed:], is_counted=is_counted
        )
        errors.append(jax.device_get({name: measure(x) for name, x in predicted.items()}))
    errors = jax.tree.map(lambda *parts: np.concatenate(parts), *errors)
    baseline, valid = errors.pop("copy_last")
    return {
        name: np.asarray(rollout_metrics.relative_errors(values, baseline, valid))
        for name, (values, _) in errors.items()
    }


def summarize(errors):
    """Errors over the horizon as {name: number}: their mean, and those of some steps."""
    values = {}
    for name, steps in errors.items():
        values[f"{name}/error"] = float(np.mean(steps))
        shown = [step for step in SHOWN if step <= len(steps)]
        values |= {f"{name}/error_{step}": float(steps[step - 1]) for step in shown}
    return values


def prediction_protocol(header, split, options):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    observed = observed_frames(options)
    steps, what = header["clip_frames"] - observed, REPRESENTATIONS[header["representation"]]
    return (
        f"{header['data']} {split}: {header['protocol']}; {what.format(masks=header['masks'])}; "
        f"{observed} frames observed, "
        f"{steps} predicted one from another; squared error of slots in use over that of copying "
        "the last frame's, mean over videos, of single steps and over all"
    )
