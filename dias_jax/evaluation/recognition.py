"""How well a probe reads classes and boxes off the slots of a whole split."""

import functools

import jax
import numpy as np

from dias_jax.downstream.matching import keep_pairs, slots_of_things
from dias_jax.downstream.recognition_metrics import found_metrics, pair_metrics


def evaluate_probe(probe, variables, samples, options, batch_size):
    """Metrics of both protocols: -> {name: value}, shares in percent.

    samples: of an extraction, for random access; options: `config.probe`.
    """
    samples = [samples[i] for i in range(len(samples))]
    data = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    logits, boxes = read_things(probe, variables, data["slots"], data["slot"], batch_size)
    is_kept = np.asarray(keep_pairs(data["iou"], options.threshold, options.things))
    kept = (values[is_kept] for values in (logits, boxes, data["classes"], data["boxes"]))
    num_slots = data["slot_mask"].sum(1)
    values = pair_metrics(*kept) | found_metrics(logits, data["classes"], data["iou"], num_slots)
    return {name: float(value) for name, value in values.items()}


def read_things(probe, variables, slots, slot, batch_size):
    """What a probe says of every thing: slots (B, S, D), slot (B, G) -> (B, G, K), (B, G, 4)."""
    variables = jax.device_get(variables)
    batches = (slice(start, start + batch_size) for start in range(0, len(slots), batch_size))
    parts = [jax.device_get(read(probe, variables, slots[i], slot[i])) for i in batches]
    return tuple(map(np.concatenate, zip(*parts)))


@functools.partial(jax.jit, static_argnums=0)
def read(probe, variables, slots, slot):
    """`read_things` of one batch."""
    return probe.apply(variables, slots_of_things(slots, slot))


def recognition_protocol(header, split, options):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    things = "all things" if options.things == "all" else "the first two things (released code)"
    return (
        f"{header['data']} {split}: {header['protocol']}; masks of the {header['masks']}, "
        f"Hungarian matching on IoU; top-1, top-3, boxes and balance over pairs of "
        f"IoU > {options.threshold} among {things}; recall and recognised share over all things, "
        "precision over slots in use"
    )
