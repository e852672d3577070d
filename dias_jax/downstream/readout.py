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
    Which slots these are may be told in training (`role_loss`).
    slots (B, F, S, D) float32, slot_mask (B, F, S) bool or None, at least one slot in use a frame
    -> logits (B,).
    """

    slot_width: int  # D
    width: int  # of the MLP's hidden layer
    units: Units = Units()  # in which it has its slots

    def setup(self):
        self.role, self.answer = Linear(2), Mlp(self.width, 1)

    def __call__(self, slots, slot_mask=None, train=False):
        roles = nn.softmax(self.score_roles(slots, slot_mask), axis=2)
        selected = jnp.einsum("bfsr,bfsd->bfrd", roles, self.units.apply(slots))
        return self.answer(selected.reshape(*slots.shape[:2], -1)).max((1, 2))

    def score_roles(self, slots, slot_mask=None):
        """How well each slot fits either role: (B, F, S, 2), -inf where it is not in use."""
        scores = self.role(self.units.apply(slots))
        return scores if slot_mask is None else jnp.where(slot_mask[..., None], scores, -jnp.inf)

    smallest_inputs = two_slots


def role_loss(scores, roles):
    """Mean cross-entropy of who is asked about, where that is told: -> scalar.

    scores (B, F, S, 2) of `score_roles`, roles (B, F, 2) int, the right slots, -1: not told.
    """
    told = roles >= 0
    right = jnp.where(told, roles, 0)[:, :, None]
    losses = -jnp.take_along_axis(nn.log_softmax(scores, axis=2), right, axis=2)[:, :, 0]
    return jnp.where(told, losses, 0).sum() / jnp.maximum(told.sum(), 1)


def answer_objective(variables, batch, rng, step, *, model, role_weight=0.0):
    """Binary cross-entropy of a read-out: -> loss, {name: scalar}.

    batch: "slots" (B, F, S, D), "slot_mask" (B, F, S) bool, "answer" (B,) bool; role_weight: of the
    `role_loss` on the first frames, which takes "roles" (B, at most F, 2); 0: it is not computed.
    """
    logits = model.apply(variables, batch["slots"], batch["slot_mask"])
    answer = batch["answer"].astype(jnp.float32)
    loss = optax.sigmoid_binary_cross_entropy(logits, answer).mean()
    values = {"accuracy": ((logits > 0) == batch["answer"]).mean()}
    if role_weight:
        first = (batch[name][:, : batch["roles"].shape[1]] for name in ("slots", "slot_mask"))
        scores = model.apply(variables, *first, method="score_roles")
        values["roles"] = role_loss(scores, batch["roles"])
        loss += role_weight * values["roles"]
    return loss, values | {"loss": loss}
