"""What a model made of whole videos, ready to be drawn."""

import dataclasses
import functools

import jax
import numpy as np

from data_pipelines import pipeline
from data_pipelines.drawn.motion import EVENTS
from dias_jax.evaluation.split import mean_value, open_evaluation
from dias_jax.gallery.scenes import match_labels
from dias_jax.models.prediction import predict
from dias_jax.steps.video_evaluation import score_videos, segment_videos
from dias_jax.tasks.video import check_boxes
from dias_jax.video_losses import box_input

SCORES = ("mbo", "frame_mbo", "consistency", "switches")  # what is told of a video
SEEN = 0.001  # share of a frame's pixels below which a slot has no place


@dataclasses.dataclass(frozen=True)
class Video:
    """One video of F frames and its S slots in use, all numpy.

    Slots are numbered by their size over all frames, the largest is 0. True masks have the numbers
    of the slots that match them over all frames.
    """

    index: int  # in its split
    frames: np.ndarray  # (F, H, W, 3) uint8
    truth: np.ndarray | None  # (F, H, W) int, -1 = un-annotated; None: there is none
    prediction: np.ndarray  # (F, H, W) int
    slot: np.ndarray  # (S,) int, the model's number of each slot
    share: np.ndarray  # (F, S), of the frame's pixels
    centre: np.ndarray  # (F, S, 2), of mass, x and y in widths and heights; NaN: not seen
    background: int  # the slot that is the background
    scores: dict  # {one of SCORES: percent, or number}, those that there are
    events: tuple | None  # what happens, names of EVENTS; None: nobody knows


def study_videos(trained, split, count):
    """Run a TrainedModel on the first videos of a split: -> list of `count` Videos.

    Slots are sampled as in evaluation, and videos go through the model in batches no larger than
    there. Masks are of the kind config.evaluation.masks names.
    """
    config, source = trained.config, open_evaluation(trained.config, split)
    check_boxes(config, source)
    options = {"limit": count, "clip_frames": config.evaluation.clip_frames}
    size = min(count, config.evaluation.batch_size)
    videos = []
    for batch in pipeline.evaluation_batches(config.data, split, size, **options):
        found = study_batch(trained, batch, source.num_masks)
        videos += [describe_video(i, batch, *found) for i in np.flatnonzero(batch["valid"])]
    return videos


def study_batch(trained, batch, num_masks):
    """As `segment_and_score`, of a batch that has not been through the model, in numpy."""
    model, config = trained.model, trained.config
    inputs = {"frame_valid": batch["frame_valid"], "boxes": box_input(model, batch)}
    rng = jax.random.key(config.seed)
    output = predict(model, trained.variables, batch["image"], rng, batch["index"], **inputs)
    return jax.device_get(segment_and_score(output, batch, config.evaluation.masks, num_masks))


@functools.partial(jax.jit, static_argnames=("masks", "num_masks"))
def segment_and_score(output, batch, masks, num_masks):
    """Slots of a VideoOutput: -> index maps (B, F, H, W), slot_mask (B, F, S), scores.

    scores: {name: (values (B,), valid (B,))}, empty without ground truth.
    """
    predictions = segment_videos(output, batch["image"].shape[2:4])
    values = score_videos(predictions, batch, num_masks)[0] if num_masks else {}
    scores = {name: values[f"{masks}/{name}"] for name in SCORES} if values else {}
    return predictions[masks], predictions["slot_mask"], scores


def describe_video(i, batch, slot_maps, slot_mask, scores):
    """The Video of sample `i` of a batch; the others as `segment_and_score` gives them."""
    valid = batch["frame_valid"][i]
    slot, prediction = number_by_size(slot_maps[i, valid], slot_mask[i, valid].any(0))
    truth = batch["mask"][i, valid].astype(int) - 1 if "mask" in batch else None
    share, centre = follow(prediction, len(slot))
    happens = batch["events"][i] if "events" in batch else None
    return Video(
        index=int(batch["index"][i]),
        frames=batch["image"][i, valid],
        truth=None if truth is None else match_labels(truth, prediction),
        prediction=prediction,
        slot=slot,
        share=share,
        centre=centre,
        background=find_background(prediction, truth),
        scores={
            name: mean_value(name, values[i], 1)
            for name, (values, has_value) in scores.items()
            if has_value[i]
        },
        events=None if happens is None else tuple(np.array(EVENTS)[happens].tolist()),
    )


def number_by_size(slot_maps, in_use):
    """Number slots by size, those in use first: (F, H, W) int, (S,) bool -> slots in use, maps."""
    size = np.bincount(slot_maps.ravel(), minlength=len(in_use))
    order = np.lexsort((-size, ~in_use))
    return order[: in_use.sum()], np.argsort(order)[slot_maps]


def follow(prediction, count):
    """How large `count` slots are and where: (F, H, W) int -> (F, S), (F, S, 2) as in Video."""
    height, width = prediction.shape[1:]
    owns = prediction[..., None] == np.arange(count)
    share = owns.mean((1, 2))
    x, y = (np.arange(side) + 0.5 for side in (width, height))
    moments = np.stack([x @ owns.sum(1) / width, y @ owns.sum(2) / height], -1)
    is_seen = (share >= SEEN)[..., None]
    mass = np.where(is_seen, share[..., None] * height * width, 1)
    return share, np.where(is_seen, moments / mass, np.nan)


def find_background(prediction, truth):
    """The slot with most pixels of true mask 0, or of all where there are none of it: -> int."""
    has_ground = truth is not None and (truth == 0).any()
    return int(np.bincount((prediction[truth == 0] if has_ground else prediction).ravel()).argmax())
