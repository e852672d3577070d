"""How well a probe reads classes and boxes off the slots of a whole split."""

import dataclasses
import functools

import jax
import numpy as np
import scipy.special

from dias_jax.downstream.average_precision import average_precision
from dias_jax.downstream.matching import keep_pairs, of_partner
from dias_jax.downstream.recognition_metrics import found_metrics, pair_metrics
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.downstream.slot_cache import Part, stack

OF_PRECISION = ("slot_mask", "overlap", "classes", "crowd")  # what `average_precision` takes
COUNTED = 10_000  # training samples


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a probe says of a split's slots; all numpy."""

    data: dict  # the samples' arrays, as `SlotCache.record_type` has them
    logits: np.ndarray  # (B, G, K), of each thing's slot: whatever it is, it is a thing
    boxes: np.ndarray  # (B, G, 4), the same
    is_kept: np.ndarray  # (B, G) bool, pairs of slot and thing that count
    for_precision: tuple  # what `average_precision` takes


def read_split(probe, variables, samples, options, batch_size):
    """Apply a probe to all samples of an extraction: -> Reading; options: `config.probe`."""
    data = stack(samples)
    logits, boxes = read_slots(probe, variables, data["slots"], batch_size)
    of_things = (np.asarray(of_partner(x, data["slot"])) for x in (logits, boxes))
    logits_of_things, boxes_of_things = of_things
    return Reading(
        data,
        logits_of_things[..., : probe.num_classes],
        boxes_of_things,
        np.asarray(keep_pairs(data["iou"], options.threshold, options.things)),
        (*score_slots(probe, logits), *(data[name] for name in OF_PRECISION)),
    )


def score_reading(reading):
    """Metrics of both protocols: -> {name: value}, shares in percent."""
    data, kept = reading.data, reading.is_kept
    pairs = (reading.logits, reading.boxes, data["classes"], data["boxes"])
    values = pair_metrics(*(x[kept] for x in pairs))
    num_slots = data["slot_mask"].sum(1)
    values |= found_metrics(reading.logits, data["classes"], data["iou"], num_slots)
    values |= average_precision(*reading.for_precision)
    return {name: float(value) for name, value in values.items()}


def read_slots(probe, variables, slots, batch_size):
    """What a probe says of slots (B, S, D): -> logits (B, S, K), boxes (B, S, 4)."""
    variables = jax.device_get(variables)
    starts = range(0, len(slots), batch_size)
    parts = [jax.device_get(read(probe, variables, slots[i : i + batch_size])) for i in starts]
    return tuple(map(np.concatenate, zip(*parts)))


@functools.partial(jax.jit, static_argnums=0)
def read(probe, variables, slots):
    """`read_slots` of one batch."""
    return probe.apply(variables, slots)


def score_slots(probe, logits):
    """The likeliest class of every slot: logits (B, S, K) -> its probability, number (B, S)."""
    shares = scipy.special.softmax(logits, axis=-1)[..., : probe.num_classes]
    return shares.max(-1), shares.argmax(-1)


def majority_share(reading, train_samples, options):
    """How often a probe is right that always says the most frequent class: -> percent.

    Of kept pairs, as top-1; the class is that of the pairs among the first COUNTED training
    samples. options: `config.probe`.
    """
    counted = stack(Part(train_samples, range(min(len(train_samples), COUNTED))))
    is_kept = np.asarray(keep_pairs(counted["iou"], options.threshold, options.things))
    asked, known = reading.data["classes"][reading.is_kept], counted["classes"][is_kept]
    if not len(asked) or not len(known):
        return 0.0
    return 100 * float(np.mean(asked == np.bincount(known).argmax()))


def recognition_protocol(header, split, options):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    things = "all things" if options.things == "all" else "the first two things (released code)"
    regions = REPRESENTATIONS[header["representation"]].format(masks=header["masks"])
    return (
        f"{header['data']} {split}: {header['protocol']}; {regions}, "
        f"Hungarian matching on IoU; top-1, top-3, boxes and balance over pairs of "
        f"IoU > {options.threshold} among {things}; recall and recognised share over all things, "
        "precision over slots in use, AP of slots' masks as COCO has it"
    )
