"""The slots of a whole split written into a cache, from where it was stopped."""

import functools
import hashlib
import json
import pathlib

import jax
import numpy as np

from dias_jax import devices, feeding
from dias_jax.config.defaults import flatten
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.evaluation.filling import check_one_host, fill
from dias_jax.evaluation.split import open_evaluation, read_evaluation
from dias_jax.runs.checkpoints import digests
from dias_jax.steps.extraction import extract_step

# What decides the slots of an image, beside the parameters and the seed.
DECISIVE = ("model.", "data.name", "data.image_size", "data.seed")
QUESTIONS = ("answer", "ghost_answer")  # about a video, which some data sets ask and answer
OF_VIDEO = ("video", "scenario", "queried")  # numbers, the last two not everywhere
OF_THINGS = ("classes", "boxes", "crowd", "kinds", "numbers")  # the last two not everywhere


def extract_split(
    trained, split, out, masks, representation="slots", views=0, name="", with_features=False
):
    """Write the slots of `split` into out/SPLIT, those that are not there yet: -> the folder.

    trained: TrainedModel, and `name`, that of the work directory or of what ships; masks: "decoder"
    or "aggregator", the segmentation that is matched with things; representation: what is written
    as slots, of `regions.REPRESENTATIONS`; views: as many random training views of each image, 0:
    the one of an evaluation; with_features: whether the frozen features come with them. Raises
    UserError where there is nothing to match, or another cache.
    """
    config = trained.config
    source = open_evaluation(config, split)
    check_can_match(config, source, representation)
    devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
    step = functools.partial(
        extract_step,
        model=trained.model,
        masks=masks,
        representation=representation,
        with_features=with_features,
    )
    read = functools.partial(read_batches, config, split, views)
    header = {"model": name, "representation": representation}
    header |= describe(trained, source, split, masks, views)
    header |= shapes_of(step, trained, next(read()))
    folder = pathlib.Path(out) / split
    step = devices.compile_step(step, split_results=True)

    def samples_of(numbers):
        frames = header["clip_frames"]
        batches = read(start=numbers.start // frames, limit=numbers.stop // frames)
        return extract_samples(step, trained, batches, header)

    fill(SlotCache, folder, header, samples_of)
    return folder


def check_can_match(config, source, representation="slots"):
    """Raise UserError where there are no things in the images, or several hosts.

    Of videos without any masks slots are wanted nevertheless, for what comes next.
    """
    is_unmasked_video = source.max_frames and not source.num_masks
    if is_unmasked_video and representation == "true_masks":
        raise UserError(f"--representation=true_masks: {config.data.name} has no masks")
    if source.num_masks < 2 and not is_unmasked_video:
        raise UserError(
            f"{config.data.name} has no things to match slots with: prepare it with --masks=DIR"
        )
    check_one_host("slots")


def read_batches(config, split, views, start=0, limit=0):
    """Batches of an evaluation of a split, or of training views: numbers `start` to `limit`."""
    return map(with_things, read_evaluation(config, split, start, limit, views))


def with_things(batch):
    """A batch as it is; of clips without masks with one thing that is not there."""
    if "mask" in batch:
        return batch
    size, frames = batch["frame_valid"].shape
    return batch | {
        "mask": np.zeros(batch["image"].shape[:-1], np.uint8),  # nothing is annotated
        "classes": np.full((size, 1), -1, np.int32),
        "boxes": np.zeros((size, frames, 1, 4), np.float32),
        "crowd": np.zeros((size, 1), bool),
    }


def decisive_digest(config):
    """The sha256 of what in a config decides the slots of an image."""
    values = {
        name: value
        for name, value in flatten(config).items()
        if name.startswith(DECISIVE) and name != "model.backbone.weights"  # a path
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def describe(trained, source, split, masks, views):
    """The header of a cache, but for what `shapes_of` adds: all that decides what is in it."""
    config, size = trained.config, len(source)
    clip_frames = source.max_frames or 1
    count = min(config.evaluation.limit or size, size) * max(views, 1)
    return {
        "data": config.data.name,
        "image_size": config.data.image_size,
        "data_seed": config.data.seed,
        "split": split,
        "views": views,
        "crop_scale": list(config.data.crop_scale) if views else None,
        "flip": config.data.flip if views else None,
        "clip_frames": clip_frames,
        "min_frames": source.min_frames if source.max_frames else 1,
        "reduce_at": config.model.video.reduce_at if source.max_frames else "",
        "window": config.evaluation.clip_frames if source.max_frames else 0,
        "num_samples": count * clip_frames,
        "parameters": digests({"all": trained.variables})["all"],
        "config": decisive_digest(config),
        "step": trained.step,
        "seed": config.seed,
        "masks": masks,
        "num_things": max(source.num_masks - 1, 1),
        "class_names": list(source.class_names),
        "kinds": dict(source.properties.kinds),
        "numbers": dict(source.properties.numbers),
        "scenarios": list(source.scenarios) or None,
        "protocol": f"{views} random training views of each image"
        if views
        else source.protocol(config.data.image_size),
    }


def shapes_of(step, trained, batch):
    """Sizes of what a step finds in a batch, and questions, for the header; nothing is computed."""
    found = jax.eval_shape(step, trained.variables, batch, jax.random.key(0))[1]
    _, num_slots, width = found["slots"].shape
    grid = list(found["segments"].shape[1:])
    sizes = {"num_slots": num_slots, "slot_width": width, "grid": grid}
    sizes["features"] = list(found["features"].shape[1:]) if "features" in found else None
    sizes["queried"] = batch["queried"].shape[1] if "queried" in batch else None
    return sizes | {"questions": [name for name in QUESTIONS if name in batch]}


def extract_samples(step, trained, batches, header):
    """The samples of some batches, as dicts, one batch in memory at a time."""
    frames, key = header["clip_frames"], jax.random.key(trained.config.seed)
    for batch, fed in feeding.ahead(batches):
        check_classes(batch["classes"], header)
        found = devices.to_host(step(trained.variables, fed, key)[1])
        found |= labels_of_frames(batch, frames)
        answers = [batch[name] for name in header["questions"]]
        answers = np.reshape(answers, (len(answers), len(batch["index"]))).astype(bool)
        found["answers"] = np.repeat(answers.T, frames, axis=0)
        found |= {name: np.repeat(batch[name], frames, 0) for name in OF_VIDEO if name in batch}
        for i in np.flatnonzero(np.repeat(batch["valid"], frames)):
            yield {name: values[i] for name, values in found.items()}


def check_classes(classes, header):
    """Raise UserError where classes have no names, as in a release of the reference."""
    if classes.max() >= len(header["class_names"]):
        raise UserError(
            f"{header['data']} has classes without names, up to {classes.max()}: prepare it from "
            "its publisher's files"
        )


def labels_of_frames(batch, frames):
    """What a batch tells of things, for each image or, of clips, each of `frames` frames.

    A thing that a frame does not show is none there.
    """
    size, num_things = batch["classes"].shape
    untold = np.zeros((size, num_things, 0))
    labels = {name: batch.get(name, untold) for name in OF_THINGS}
    if "frame_valid" in batch:  # only boxes are told of every frame
        boxes = labels.pop("boxes").reshape(size * frames, -1, 4)
        labels = {name: np.repeat(values, frames, axis=0) for name, values in labels.items()}
        is_seen = boxes.any(-1)
        labels |= {"boxes": boxes, "classes": np.where(is_seen, labels["classes"], -1)}
    numbers = np.repeat(batch["index"], frames), np.tile(np.arange(frames), size)
    return labels | dict(zip(("index", "frame"), numbers))
