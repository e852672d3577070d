"""The slots of a whole split written into a cache, from where it was stopped."""

import functools
import hashlib
import json
import pathlib

import jax
import numpy as np
from tqdm import tqdm

from data_pipelines import pipeline
from dias_jax import devices
from dias_jax.config.defaults import flatten
from dias_jax.downstream.slot_cache import missing_files, write_samples
from dias_jax.errors import UserError
from dias_jax.evaluation.split import open_evaluation
from dias_jax.runs.checkpoints import digests
from dias_jax.steps.extraction import extract_step

# What decides the slots of an image, beside the parameters and the seed.
DECISIVE = ("model.", "data.name", "data.image_size", "data.seed")
LABELS = ("index", "classes", "boxes")


def extract_split(trained, split, out, masks):
    """Write the slots of `split` into out/SPLIT, those that are not there yet: -> the folder.

    trained: TrainedModel; masks: "decoder" or "aggregator", the segmentation that is matched with
    things. Raises UserError where there is nothing to match, or another cache.
    """
    config = trained.config
    source = open_evaluation(config, split)
    check_can_match(config, source)
    devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
    folder = pathlib.Path(out) / split
    header = describe(trained, source, split, masks)
    missing = missing_files(folder, header)
    step = functools.partial(
        extract_step, model=trained.model, masks=masks, num_things=header["num_things"]
    )
    step = devices.compile_step(step, split_results=True)
    done = header["num_samples"] - sum(map(len, missing.values()))
    with tqdm(total=header["num_samples"], initial=done, unit="image") as bar:
        for path, samples in missing.items():
            write_samples(path, header, extract_samples(step, trained, split, samples, bar))
    return folder


def check_can_match(config, source):
    """Raise UserError where there are no images, or no things in them."""
    if config.model.kind == "video":
        raise UserError('config.model.kind="video": slots of images are extracted only')
    if source.num_masks < 2:
        raise UserError(
            f"{config.data.name} has no things to match slots with: prepare it with --masks=DIR"
        )


def describe(trained, source, split, masks):
    """The header of a cache: all that decides what is in it."""
    config, size = trained.config, len(source)
    values = {
        name: value
        for name, value in flatten(config).items()
        if name.startswith(DECISIVE) and name != "model.backbone.weights"  # a path
    }
    text = json.dumps(values, sort_keys=True)
    return {
        "data": config.data.name,
        "split": split,
        "num_samples": min(config.evaluation.limit or size, size),
        "parameters": digests({"all": trained.variables})["all"],
        "config": hashlib.sha256(text.encode()).hexdigest(),
        "step": trained.step,
        "seed": config.seed,
        "masks": masks,
        "num_slots": config.model.num_slots,
        "slot_width": config.model.slot_width,
        "num_things": source.num_masks - 1,
        "num_classes": source.num_classes,
        "protocol": source.protocol(config.data.image_size),
    }


def extract_samples(step, trained, split, samples, bar):
    """The samples of a range, as dicts, one batch in memory at a time; `bar` counts them."""
    config = trained.config
    batches = pipeline.evaluation_batches(
        config.data,
        split,
        config.evaluation.batch_size,
        start=samples.start,
        limit=samples.stop,
        num_threads=config.data.threads,
    )
    for batch in batches:
        found = step(trained.variables, batch, jax.random.key(config.seed))[1]
        found = devices.to_host(found) | {name: batch[name] for name in LABELS}
        for i in np.flatnonzero(batch["valid"]):
            yield {name: values[i] for name, values in found.items()}
            bar.update()
