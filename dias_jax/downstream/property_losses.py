"""What a probe of properties minimises, and how losses decide which slot stands for which thing."""

import jax
import jax.numpy as jnp

from dias_jax.downstream.matching import best_slots, of_pairs
from dias_jax.downstream.property_probe import split_by_name
from dias_jax.video_losses import mean_over


def property_objective(variables, batch, rng, step, *, probe, matching="mask", axis_name=None):
    """The training loss of a probe: -> loss, {name: scalar}. Dittadi et al. 2022.

    batch, of an extraction: "slots" (B, S, D), "slot_mask" (B, S) bool, "slot" (B, G) int, the slot
    of each thing by masks, "classes" (B, G) int, -1: there is no thing, "kinds" (B, G, P) int and
    "numbers" (B, G, Q). The loss is the mean over things with a slot; under pmap over `axis_name`
    the mean of the losses is that of the whole batch.
    """
    losses = pair_losses(probe.apply(variables, batch["slots"]), batch, probe)
    slot = match_things(losses, batch, matching)
    is_matched = slot >= 0
    values = {
        name: mean_over(of_pairs(loss, slot), is_matched, axis_name)
        for name, loss in losses.items()
    }
    loss, pairs = sum(values.values()), is_matched.sum().astype(jnp.float32)
    if axis_name is not None:
        pairs = jax.lax.psum(pairs, axis_name)
    return loss, values | {"loss": loss, "pairs": pairs}


def pair_losses(found, batch, probe):
    """The loss of every pair of slot and thing, by property: -> {name: (B, S, G)}.

    found: what the probe says of all slots, {name: (B, S, n)}; batch: as of the objective.
    """
    kinds = {name: batch["kinds"][..., i] for i, (name, _) in enumerate(probe.kinds)}
    numbers = split_by_name(batch["numbers"], probe.numbers)
    unit = split_by_name(jnp.array(probe.deviation), probe.numbers)
    return {
        **{name: cross_entropy(found[name], true) for name, true in kinds.items()},
        **{name: squared_error(found[name], numbers[name], unit[name]) for name in numbers},
    }


def cross_entropy(logits, kinds):
    """Of every pair: logits (B, S, K), kinds (B, G) int -> (B, S, G), 0 where a kind is -1."""
    kinds = kinds[:, None]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.maximum(kinds, 0), axis=-1)
    return jnp.where(kinds >= 0, -chosen, 0.0)


def squared_error(numbers, true, unit):
    """Of every pair, mean over coordinates: (B, S, n), (B, G, n), unit (n,) -> (B, S, G)."""
    return jnp.square((numbers[:, :, None] - true[:, None]) / unit).mean(-1)


def match_things(losses, batch, matching):
    """The slot of every thing: -> (B, G) int32, -1 where it has none. No gradient.

    By "mask": that of the extraction. By "loss": one to one with the smallest sum of `pair_losses`,
    so that the probe chooses. A slot that is not in use stands for nothing.
    """
    is_pair = batch["slot_mask"][:, :, None] & (batch["classes"] >= 0)[:, None]
    slot = batch["slot"]
    if matching == "loss":
        cost = jax.lax.stop_gradient(sum(losses.values()))
        # What is no pair costs more than any pair: it is taken where nothing else is left.
        slot = best_slots(jnp.where(is_pair, -cost, -1 - cost.max((1, 2), keepdims=True)))
    return jnp.where((slot >= 0) & of_pairs(is_pair, slot), slot, -1)
