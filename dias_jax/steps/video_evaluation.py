"""Evaluation step of videos: metrics over time and of frames, tracks, and segmentations."""

import jax.numpy as jnp

from data_pipelines.drawn.motion import EVENTS
from dias_jax import losses, metrics, video_metrics
from dias_jax.models.prediction import predict
from dias_jax.models.video import merge_frames, split_frames
from dias_jax.segmentation import MASKS, slot_map
from dias_jax.slot_statistics import slot_statistics
from dias_jax.steps.scoring import attentions, sum_up
from dias_jax.video_losses import box_input

BY_EVENT = ("mbo", "consistency", "switches", "recovery", "coverage")  # reported for events too


def video_eval_step(
    variables,
    batch,
    rng,
    *,
    model,
    num_masks,
    distillation="released",
    teacher="first",
    axis_name=None,
):
    """Metrics and segmentations of a batch of videos: -> (totals, predictions).

    As `eval_step`, with an axis F after B of "image", "features" and "mask"; "frame_valid" (B, F)
    bool, False for frames that only fill; and perhaps "boxes" (B, F, G, 4) and "events" (B, E)
    bool. totals: names are losses, those of `slot_statistics` of the first frame, and of
    `score_videos`. predictions: as `segment_videos` gives them, and "decoder_shared" and
    "aggregator_shared" (B, S, G), pixels of every slot and true mask over the video.
    """
    valid = batch["frame_valid"]
    inputs = {"frame_valid": valid, "features": batch.get("features")}
    inputs["boxes"] = box_input(model, batch)
    output = predict(model, variables, batch["image"], rng, batch["index"], **inputs)
    maps, slot_mask = losses.distilled_maps(output.first_frame(), teacher)
    error = jnp.where(valid, losses.reconstruction_per_sample(output), 0).sum(1) / valid.sum(1)
    values = {
        "reconstruction": error,
        "distillation": losses.self_distillation_per_sample(maps, distillation, slot_mask),
    }
    values |= slot_statistics(output.first_frame())
    values = {name: (value, batch["valid"]) for name, value in values.items()}
    predictions = segment_videos(output, batch["image"].shape[2:4])
    if num_masks:
        scores, shared = score_videos(predictions, batch, num_masks)
        values, predictions = values | scores, predictions | shared
    return sum_up(values, batch["valid"], axis_name), predictions


def segment_videos(output, size):
    """`predict_masks` of a VideoOutput: everything has the axis F after B."""
    batch, predictions = len(output.slots), {"slot_mask": output.slot_mask}
    for name, attention in attentions(output).items():
        maps = slot_map(merge_frames(attention), size).astype(jnp.uint8)
        predictions |= {name: split_frames(maps, batch), f"{name}_attention": attention}
    return predictions


def score_videos(predictions, batch, num_masks):
    """Both segmentations of videos against the truth: -> {name: (values (B,), valid (B,))}, shared.

    Names begin with "decoder/" or "aggregator/". `METRICS` are over the whole video, where a thing
    has to keep its slot; "frame_..." are means over its frames, each taken alone; "objects_mbo" is
    over objects only; "j_and_f", "j", "f" and the names of `track_metrics` follow. `BY_EVENT` are
    there again as "decoder/mbo/twins" and "decoder/mbo/no_twins", for videos with and without an
    event, where the data set tells. shared: {"decoder_shared": (B, S, G) ...}.
    """
    true, valid = batch["mask"].astype(jnp.int32) - 1, batch["frame_valid"]
    values, shared = {}, {}
    for masks in MASKS:
        sizes = predictions["slot_mask"].shape[-1], num_masks, valid
        counts = video_metrics.count_frames(predictions[masks], true, *sizes)
        boundaries = video_metrics.count_boundaries(predictions[masks], true, *sizes)
        found = score_counts(counts, boundaries, valid)
        found |= split_by_event(found, batch.get("events"))
        values |= {f"{masks}/{name}": pair for name, pair in found.items()}
        shared[f"{masks}_shared"] = video_metrics.over_time(counts).shared
    return values, shared


def score_counts(counts, boundaries, frame_valid):
    """All metrics of Counts with the axes (B, F), of areas and boundaries: as `score_videos`."""
    video = video_metrics.over_time(counts)
    values = {name: score(video) for name, score in metrics.OF_COUNTS.items()}
    values |= {
        f"frame_{n}": mean_of_frames(*metrics.OF_COUNTS[n](counts)) for n in ("fg_ari", "mbo")
    }
    values["objects_mbo"] = metrics.mbo_of(video.without_background())
    values |= video_metrics.j_and_f(counts, boundaries, frame_valid)
    visible = counts.true_size[..., 1:] > 0
    slot = video_metrics.match_things(counts)
    return values | video_metrics.track_metrics(slot, visible, counts.pred_size.shape[-1])


def mean_of_frames(values, valid):
    """Values and validity of frames (B, F) -> their means (B,), and where there is one."""
    count = valid.sum(1)
    return jnp.where(valid, values, 0).sum(1) / jnp.maximum(count, 1), count > 0


def split_by_event(values, events):
    """`BY_EVENT` of videos with and without events: values of `score_counts`, (B, E) or None."""
    if events is None:
        return {}
    split = {}
    for number, event in enumerate(EVENTS):
        for name in BY_EVENT:
            value, valid = values[name]
            split[f"{name}/{event}"] = value, valid & events[:, number]
            split[f"{name}/no_{event}"] = value, valid & ~events[:, number]
    return split
