"""Slots over time: frame after frame, from those of the frame before."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.dias import DIAS, Aggregation, Encoded, FirstAggregation
from dias_jax.models.draws import Draws
from dias_jax.models.reduction import unit
from dias_jax.models.transition import Past
from dias_jax.models.video_output import Tracked, VideoState


class Recurrence(DIAS, kw_only=True):
    """DIAS that follows its slots over the tokens of a video; `VideoDIAS` says the rest.

    Frame 0 is outside the scan over frames: it has another number of iterations, and its slots are
    the image model's.
    """

    transition: nn.Module
    later_iterations: int = 1  # T on the frames after the first
    reduce_at: str = "first"  # when redundant slots merge: first, clip or every

    def aggregate_first(self, tokens, initial_slots, slot_mask, draws):
        """Frame 0 before its reduction: tokens (B, N, C), slots (B, S, D) -> FirstAggregation."""
        slots, attention = self.aggregator(tokens, initial_slots, slot_mask)
        if self.is_initializing():  # there may be no other frame
            age = jnp.ones(len(tokens), int)
            self.transition(Past(slots, tokens, age, age - 1))
        return FirstAggregation(Encoded(None, tokens), slots, attention, draws, slot_mask)

    def track(self, first, later):
        """Reduce on frame 0, then follow: FirstAggregation, Frames or None -> as `go_on` gives."""
        threshold, judged = self.reinit.threshold, first
        if self.reduce_at == "clip" and threshold and later is not None:
            judged = first.replace(slots=self.mean_direction(first, later))
        last = self.aggregate_again(first, self.find_clusters(judged, threshold))
        number = jnp.ones(len(last.slots), int)
        state = VideoState(last.slots, last.slot_mask, last.cluster, number)
        begin = Tracked(state, took_part(first), last.attention)
        begin = jax.tree.map(lambda x: x[:, None], begin)
        if later is None:
            return begin, None, state
        tracked, iterations, state = self.go_on(state, later)
        whole = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), begin, tracked)
        return whole, iterations, state

    def mean_direction(self, first, later):
        """Mean over valid frames of the unit slots of a pass without reduction: (B, S, D)."""
        alone = jnp.broadcast_to(jnp.arange(first.slots.shape[1]), first.slots.shape[:2])
        state = VideoState(first.slots, took_part(first), alone, jnp.ones(len(alone), int))
        tracked, _, _ = self.go_on(state, later)
        weights = later.valid[..., None, None]
        total = unit(first.slots) + (weights * unit(tracked.state.slots)).sum(1)
        return total / (1 + weights.sum(1))

    def go_on(self, state, frames):
        """Follow slots over the frames after `state`: VideoState, Frames -> three things.

        Tracked; attention (T, B, F, S, N) of every iteration of each frame's first aggregation;
        the VideoState after the last valid frame.
        """
        past = None
        if frames.past_slots is not None:
            size = frames.number.shape[1] + 1
            past = jax.tree.map(
                lambda x: jnp.repeat(x[:, None], size, axis=1), (state.slots, state.slot_mask)
            )
        scan = nn.scan(
            lambda model, carry, frame: model.advance(carry, frame),
            variable_broadcast=("params", "backbone"),
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        (state, _), (tracked, iterations) = scan(self, (state, past), frames)
        return tracked, jnp.moveaxis(iterations, 2, 0), state

    def advance(self, carry, frame):
        """One frame on: (VideoState, past slots and masks), Frames without the axis F.

        -> the same carry, (Tracked, attention of every iteration (B, T, S, N)).
        """
        state, past = carry
        query = self.next_query(state, past, frame)
        draws = Draws(is_reduced=frame.is_reduced)
        slot_mask = None if self.reduce_at == "every" else state.slot_mask
        slots, attention = self.aggregator(frame.tokens, query, slot_mask, self.later_iterations)
        first = FirstAggregation(Encoded(None, frame.tokens), slots, attention, draws, slot_mask)
        if self.reduce_at == "every":
            last = self.aggregate_again(first, self.find_clusters(first, self.reinit.threshold))
        else:
            slots = jnp.where(slot_mask[..., None], slots, 0)
            last = Aggregation(slots, slot_mask, attention[-1], state.cluster)
        found = VideoState(last.slots, last.slot_mask, last.cluster, state.number + 1)
        state = keep_valid(frame.valid, found, state)
        if past is not None:
            here = jnp.arange(len(slots)), frame.number
            now = state.slots, state.slot_mask
            past = jax.tree.map(lambda frames, new: frames.at[here].set(new), past, now)
        tracked = Tracked(state, took_part(first), last.attention)
        return (state, past), (tracked, attention.swapaxes(0, 1))

    def next_query(self, state, past, frame):
        """Where slots start on the next frame: (B, S, D); zero, or afresh, where none was."""
        slots, slot_mask, slot_age = state.slots, state.slot_mask, jnp.ones_like(frame.number)
        if past is not None:
            there = jnp.arange(len(slots)), frame.past_slots
            slots, slot_mask = jax.tree.map(lambda frames: frames[there], past)
            slot_age = frame.number - frame.past_slots
        seen = Past(slots, frame.seen_tokens, slot_age, frame.token_age)
        query = self.transition(seen, slot_mask, frame.keys)
        fresh = 0 if frame.fresh is None else frame.fresh
        return jnp.where(state.slot_mask[..., None], query, fresh)


def took_part(first):
    """FirstAggregation -> (B, S) bool, the slots that took part in it."""
    if first.slot_mask is None:
        return jnp.ones(first.slots.shape[:2], bool)
    return first.slot_mask


def keep_valid(valid, new, old):
    """`new` for samples that are valid (B,), else `old`: trees of arrays (B, ...)."""

    def choose(new, old):
        return jnp.where(valid.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(choose, new, old)
