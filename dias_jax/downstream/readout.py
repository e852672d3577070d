"""Heads that read the answer to a question about two things off the slots of a video.

Both tell for every frame, from single frames, how likely the two meet there; that they do on any is
the answer, so the largest over the frames is taken. In training they are no others.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from dias_jax.downstream.standardise import Units
from dias_jax.errors import UserError
from dias_jax.models.layers import Linear, Mlp

AGGREGATIONS = {"max": jnp.max, "mean": jnp.mean, "sum": jnp.sum}


def two_slots(readout, height, width):
    """A frame of two slots, {name of an argument: zeros}, whatever the image's size."""
    return {"slots": jnp.zeros((1, 1, 2, readout.slot_width))}


class RelationReadout(nn.Module):
    """Affine map of each pair of slots, aggregated over pairs, affine map: SlotFormer's on Physion.

    slots (B, F, S, D) float32, slot_mask (B, F, S) bool or None, of slots in use, which alone make
    pairs -> logits (B,). A pair is in the slots' order, so that this matters. Released code. Raises
    UserError on an unknown aggregation.
    """

    slot_width: int  # D
    width: int  # of what is known of a pair
    aggregation: str = "max"  # of AGGREGATIONS, over pairs
    units: Units = Units()  # in which it has its slots

    @nn.compact
    def __call__(self, slots, slot_mask=None, train=False):
        if self.aggregation not in AGGREGATIONS:
            raise UserError(
                f'aggregation "{self.aggregation}" is unknown: use one of {tuple(AGGREGATIONS)}'
            )
        slots = self.units.apply(slots)
        first, second = np.triu_indices(slots.shape[2], 1)
        pairs = jnp.concatenate([slots[:, :, first], slots[:, :, second]], axis=-1)
        pairs = Linear(self.width, name="relation")(pairs)  # (B, F, pair, width)
        together = AGGREGATIONS[self.aggregation]
        if slot_mask is None:
            frames = together(pairs, axis=2)
        else:
            in_use = (slot_mask[:, :, first] & slot_mask[:, :, second])[..., None]
            start = {"initial": -jnp.inf} if together is jnp.max else {}
            frames = together(pairs, axis=2, where=in_use, **start)
            frames = jnp.where(in_use.any(2), frames, 0)
        return Linear(1, name="answer")(frames).max((1, 2))

    smallest_inputs = two_slots


class SelectingReadout(nn.Module):
    """First finds the two slots that are asked about, then looks at these.

    A linear score of each slot for either role, softmax over slots in use, an MLP on both selected.
    slots (B, F, S, D) float32, slot_mask (B, F, S) bool or None, at least one slot in use a frame
    -> logits (B,).
    """

    slot_width: int  # D
    width: int  # of the MLP's hidden layer
    units: Units = Units()  # in which it has its slots

    @nn.compact
    def __call__(self, slots, slot_mask=None, train=False):
        slots = self.units.apply(slots)
        scores = Linear(2, name="role")(slots)  # (B, F, S, 2)
        if slot_mask is not None:
            scores = jnp.where(slot_mask[..., None], scores, -jnp.inf)
        selected = jnp.einsum("bfsr,bfsd->bfrd", nn.softmax(scores, axis=2), slots)
        selected = selected.reshape(*slots.shape[:2], -1)
        return Mlp(self.width, 1, name="answer")(selected).max((1, 2))

    smallest_inputs = two_slots


def answer_objective(variables, batch, rng, step, *, model):
    """Binary cross-entropy of a read-out: -> loss, {name: scalar}.

    batch: "slots" (B, F, S, D), "slot_mask" (B, F, S) bool, "answer" (B,) bool.
    """
    logits = model.apply(variables, batch["slots"], batch["slot_mask"])
    answer = batch["answer"].astype(jnp.float32)
    loss = optax.sigmoid_binary_cross_entropy(logits, answer).mean()
    return loss, {"loss": loss, "accuracy": ((logits > 0) == batch["answer"]).mean()}
