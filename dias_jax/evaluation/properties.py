"""How well a probe reads properties off the slots of a whole split."""

import functools

import jax
import numpy as np

from dias_jax.downstream.matching import of_pairs, of_partner
from dias_jax.downstream.property_losses import match_things, pair_losses
from dias_jax.downstream.property_metrics import property_metrics
from dias_jax.downstream.property_probe import split_by_name
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.downstream.slot_cache import stack

MATCHINGS = ("mask", "loss")


def evaluate_probe(probe, variables, samples, batch_size):
    """Metrics under both matchings of slots and things: -> {"mask/NAME": value, ..}.

    For each matching accuracy in percent or R² of every property, the mean loss and the number of
    pairs; beside them the number of things. samples: of an extraction, for random access.
    """
    data = stack(samples)
    values = {"things": (data["classes"] >= 0).sum()}
    for matching in MATCHINGS:
        found, slot, loss = read_things(probe, variables, data, matching, batch_size)
        is_matched = slot >= 0
        kinds, numbers = data["kinds"][is_matched], data["numbers"][is_matched]
        metrics = property_metrics(
            {name: value[is_matched] for name, value in found.items()},
            {name: kinds[:, i] for i, (name, _) in enumerate(probe.kinds)},
            split_by_name(numbers, probe.numbers),
        )
        metrics |= {"loss": loss[is_matched].mean()} if is_matched.any() else {}
        metrics |= {"pairs": is_matched.sum()}
        values |= {f"{matching}/{name}": value for name, value in metrics.items()}
    return {name: float(value) for name, value in values.items()}


def read_things(probe, variables, data, matching, batch_size):
    """What a probe says of every thing: -> {name: (B, G, n)}, slot (B, G), loss (B, G).

    data: arrays of a whole split, by name; matching: "mask" or "loss".
    """
    variables = jax.device_get(variables)
    parts = []
    for start in range(0, len(data["slots"]), batch_size):
        batch = {name: values[start : start + batch_size] for name, values in data.items()}
        parts.append(jax.device_get(read(probe, matching, variables, batch)))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


@functools.partial(jax.jit, static_argnums=(0, 1))
def read(probe, matching, variables, batch):
    """`read_things` of one batch."""
    found = probe.apply(variables, batch["slots"])
    losses = pair_losses(found, batch, probe)
    slot = match_things(losses, batch, matching)
    found = {name: of_partner(values, slot) for name, values in found.items()}
    return found, slot, of_pairs(sum(losses.values()), slot)


def property_protocol(header, split, options):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    what = REPRESENTATIONS[header["representation"]]
    return (
        f"{header['data']} {split}: {header['protocol']}; accuracy and R² over matched things, "
        f"mask/: Hungarian matching on IoU, {what.format(masks=header['masks'])}, loss/: on the "
        f"probe's own losses (numbers in standard deviations), which flatters it; trained with "
        f"{options.matching} matching"
    )
