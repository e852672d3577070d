"""The extraction step: vectors of a batch's regions, and which thing each of them has found."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dias_jax.downstream import regions
from dias_jax.downstream.k_means import k_means
from dias_jax.downstream.matching import match_maps
from dias_jax.downstream.regions import Regions
from dias_jax.errors import UserError
from dias_jax.models.prediction import predict
from dias_jax.models.video import VideoDIAS, merge_frames
from dias_jax.segmentation import slot_map
from dias_jax.steps.scoring import attentions
from dias_jax.video_losses import box_input


class Seen(NamedTuple):
    """What a model makes of images; of clips, frames are images."""

    features: jax.Array  # (B, h, w, C)
    slots: jax.Array  # (B, S, D)
    slot_mask: jax.Array  # (B, S) bool
    attention: jax.Array  # (B, S, h, w), the one that is the segmentation
    mask: jax.Array  # (B, H, W) uint8
    crowd: jax.Array  # (B, G) bool, things that are crowds
    number: jax.Array  # (B,) int32, of the image
    states: Any = None  # (B, G, 5), what `true_states` gives, where the data set tells


def regions_of_slots(seen):
    """The slots, and the segmentation."""
    segments = slot_map(seen.attention, seen.mask.shape[1:])
    return Regions(seen.slots, seen.slot_mask, segments)


def regions_of_boxes(seen):
    """The same regions, but of each only where it lies."""
    found = regions_of_slots(seen)
    return found.replace(vectors=regions.region_boxes(found.segments, seen.slots.shape[1]))


def true_segments(seen):
    """The thing of each pixel, -1: none."""
    return jnp.maximum(seen.mask.astype(jnp.int32) - 2, -1)


def regions_of_true_masks(seen):
    """True things, each with the mean of its features."""
    segments = true_segments(seen)
    grid, num_things = seen.features.shape[1:3], seen.crowd.shape[1]
    shares = regions.patch_shares(segments, num_things, grid)
    vectors = regions.mean_features(seen.features, shares)
    return Regions(vectors, shares.any((1, 2)), segments)


def regions_of_true_states(seen):
    """True things, each with its state. Raises UserError where the data set does not tell."""
    if seen.states is None:
        raise UserError("--representation=true_states: only bouncing tells where things truly are")
    return Regions(seen.states, seen.states[..., 2] > 0, true_segments(seen))


def regions_of_k_means(seen):
    """As many clusters of features as the model has slots, each with the mean of its features."""
    size, h, w, width = seen.features.shape
    count, tokens = seen.slots.shape[1], seen.features.reshape(size, h * w, width)
    shape = jax.ShapeDtypeStruct(tokens.shape[:2], jnp.int32)
    run = functools.partial(k_means, count=count)
    assignment = jax.pure_callback(run, shape, tokens, seen.number)
    shares = jax.nn.one_hot(assignment.reshape(size, h, w), count)
    segments = slot_map(shares.transpose(0, 3, 1, 2), seen.mask.shape[1:])
    vectors = regions.mean_features(seen.features, shares)
    return Regions(vectors, shares.any((1, 2)), segments)


FINDERS = {  # of regions.REPRESENTATIONS
    "slots": regions_of_slots,
    "boxes": regions_of_boxes,
    "true_masks": regions_of_true_masks,
    "k_means": regions_of_k_means,
    "true_states": regions_of_true_states,
}


def extract_step(
    variables,
    batch,
    rng,
    *,
    model,
    masks,
    representation="slots",
    with_features=False,
    axis_name=None,
):
    """Regions and matches of a batch: -> ({}, what was found), on each device that of its samples.

    batch: "image" (B, H, W, 3) uint8, "index" (B,) int32, which decides where slots start, "mask"
    (B, H, W) uint8, "crowd" (B, G) bool; of videos also "frame_valid" (B, F), "boxes", and an axis
    F after B of "image" and "mask": their frames are images, (B * F, ...), in what is found. masks:
    "decoder" or "aggregator", whose segmentation is matched; representation: of
    `regions.REPRESENTATIONS`.
    Found are "slots" (B, S, D), "slot_mask" (B, S), "segments" (B, h, w) uint8, the region in the
    middle of each patch, 255: none, and "slot", "iou", "overlap", as `match_maps` has them;
    with_features: "features" (B, h, w, C) bfloat16, the frozen ones, too.
    """
    seen = look(model, variables, batch, rng, masks)
    found = FINDERS[representation](seen)
    count = found.vectors.shape[1]
    slot, iou, overlap = match_maps(found.segments, seen.mask, count, seen.crowd)
    segments = regions.on_patches(found.segments, seen.features.shape[1:3])
    features = {"features": seen.features.astype(jnp.bfloat16)} if with_features else {}
    return {}, features | {
        **{"slots": found.vectors, "slot_mask": found.is_used, "slot": slot, "iou": iou},
        **{"overlap": overlap, "segments": segments.astype(jnp.uint8)},  # -1 becomes 255
    }


def look(model, variables, batch, rng, masks):
    """Apply the model: -> Seen, of clips with frames as images."""
    is_of_videos, inputs = isinstance(model, VideoDIAS), {}
    if is_of_videos:
        inputs = {"frame_valid": batch["frame_valid"], "boxes": box_input(model, batch)}
    output = predict(model, variables, batch["image"], rng, batch["index"], **inputs)
    arrays = (output.features, output.slots, output.slot_mask, attentions(output)[masks])
    seen = Seen(*arrays, batch["mask"], batch["crowd"], batch["index"])
    if "centres" in batch:
        seen = seen._replace(states=true_states(batch))
    return frames_as_images(seen, batch["frame_valid"]) if is_of_videos else seen


def true_states(batch):
    """Centre (2), radius and whether it is asked about, first or second (2): -> (B, F, G, 5).

    Zeros for a thing that is not there. batch: "centres" (B, F, G, 2), "radii" (B, G), "queried"
    (B, 2), of drawn videos whose things keep their numbers.
    """
    centres = jnp.asarray(batch["centres"])
    queried = batch["queried"][:, None] == jnp.arange(centres.shape[2])[:, None]  # (B, G, 2)
    still = jnp.concatenate([batch["radii"][..., None], queried], axis=-1)
    still = jnp.repeat(still[:, None], centres.shape[1], axis=1)
    return jnp.concatenate([centres, still], axis=-1)


def frames_as_images(seen, frame_valid):
    """A Seen with the axes (B, F), frame_valid (B, F) bool -> one with (B * F)."""
    num_frames = frame_valid.shape[1]
    number = seen.number[:, None] * num_frames + jnp.arange(num_frames)
    crowd = jnp.repeat(seen.crowd[:, None], num_frames, axis=1)
    slot_mask = seen.slot_mask & frame_valid[..., None]
    return merge_frames(seen._replace(number=number, crowd=crowd, slot_mask=slot_mask))
