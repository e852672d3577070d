"""The extraction step: the slots of a batch, and which thing each of them has found."""

from dias_jax.downstream.matching import match_maps
from dias_jax.models.prediction import predict
from dias_jax.segmentation import slot_map
from dias_jax.steps.scoring import attentions


def extract_step(variables, batch, rng, *, model, masks, num_things, axis_name=None):
    """Slots and matches of a batch: -> ({}, what was found), on each device that of its samples.

    batch: "image" (B, H, W, 3) uint8, "index" (B,) int32, which decides where slots start, "mask"
    (B, H, W) uint8 with at most `num_things` things. masks: "decoder" or "aggregator", whose
    segmentation is matched. Found are "slots" (B, S, D), "slot_mask" (B, S), "slot" and "iou"
    (B, G), as `match_slots` has them.
    """
    output = predict(model, variables, batch["image"], rng, batch["index"])
    segments = slot_map(attentions(output)[masks], batch["image"].shape[1:3])
    slot, iou = match_maps(segments, batch["mask"], output.slots.shape[1], num_things)
    found = {"slots": output.slots, "slot_mask": output.slot_mask}
    return {}, found | {"slot": slot, "iou": iou}
