"""Images a second that one core prepares, beside the PyTorch reference's steps.

taskset -c 0 python -m dias_jax.experiments.benchmarks.data_speed --data_dir=DIR [--images=100]

DIR holds the prepared COCO (`python -m data_pipelines.prepare`). Ours is the whole pipeline from
the files to batches. The reference's steps start from encoded images in memory: OpenCV decodes
image and mask, PyTorch crops, resizes, normalises, makes one-hot masks and stacks; they are timed
where torch and cv2 are installed. Both take turns; the median of the CPU seconds counts, so that
other work on the machine disturbs little. The first batch of each turn is not timed.
"""

import functools
import importlib.util
import itertools
import time

import numpy as np
import tensorflow_datasets as tfds
from absl import flags

from data_pipelines import pipeline, transforms
from data_pipelines.records import prepared_directory
from dias_jax.cli import run
from dias_jax.config import defaults

DATA_DIR = flags.DEFINE_string("data_dir", "data", "directory of the prepared data sets")
IMAGES = flags.DEFINE_integer("images", 96, "images of a timing, two batches or more", 64)
REPEATS = flags.DEFINE_integer("repeats", 7, "timings of each", 1)
SIZES = flags.DEFINE_multi_integer("size", [256, 384], "pixels along each side of a view", 1)
BATCH_SIZE = 32
SPLITS = {"training": "train", "evaluation": "validation"}


def our_batches(data_config, kind):
    """The batches of the pipeline, IMAGES images in all."""
    if kind == "training":
        batches = pipeline.train_batches(data_config, BATCH_SIZE, 0, num_threads=0)
        return itertools.islice(batches, -(-IMAGES.value // BATCH_SIZE))
    return pipeline.evaluation_batches(
        data_config, SPLITS[kind], BATCH_SIZE, limit=IMAGES.value, num_threads=0
    )


def encoded_samples(data_config, kind):
    """IMAGES records with encoded image and mask, in memory."""
    directory = prepared_directory("coco", data_config.data_dir)
    skip = tfds.decode.SkipDecoding()
    records = tfds.builder_from_directory(directory).as_data_source(
        SPLITS[kind], decoders={"image": skip, "mask": skip}
    )
    return [records[i % len(records)] for i in range(IMAGES.value)]


def reference_batches(data_config, kind, encoded):
    """The batches that the reference's steps make of encoded samples."""
    import cv2
    import torch

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    for first in range(0, len(encoded), BATCH_SIZE):
        records = encoded[first : first + BATCH_SIZE]
        samples = [reference_sample(record, data_config, kind, random) for record in records]
        images, masks = zip(*samples)
        most = max(mask.shape[2] for mask in masks)
        masks = [torch.nn.functional.pad(mask, (0, most - mask.shape[2])) for mask in masks]
        yield {"image": torch.stack(images), "mask": torch.stack(masks)}


def reference_sample(record, data_config, kind, random):
    """The reference's image (3, H, W) float32 and one-hot masks (H, W, G) bool, torch tensors."""
    import cv2
    import torch
    import torch.nn.functional as functional

    decoded = cv2.imdecode(np.frombuffer(record["image"], np.uint8), cv2.IMREAD_UNCHANGED)
    image = torch.from_numpy(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None]
    mask = cv2.imdecode(np.frombuffer(record["mask"], np.uint8), cv2.IMREAD_UNCHANGED)
    mask = torch.from_numpy(mask)[None, None]
    height, width = mask.shape[2:]
    side = min(height, width)
    crop = (height - side) // 2, (width - side) // 2, side, side
    if kind == "training":
        crop = transforms.random_crop(height, width, random, data_config.crop_scale)
    rows, columns = slice(crop[0], crop[0] + crop[2]), slice(crop[1], crop[1] + crop[3])
    size = (data_config.image_size,) * 2
    image = functional.interpolate(
        image[..., rows, columns], size, mode="bilinear", antialias=True
    )[0]
    mask = functional.interpolate(mask[..., rows, columns], size, mode="nearest-exact")[0, 0]
    if kind == "training" and random.random() < 0.5:
        image, mask = image.flip(-1), mask.flip(-1)
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    deviation = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    one_hot = functional.one_hot(mask.long()).bool()[:, :, 1:]
    return (image - mean) / deviation, one_hot[:, :, one_hot.flatten(0, 1).any(0)]


def images_per_second(pipelines):
    """Median of images / CPU second: {name: function that returns batches} -> {name: float}."""
    speeds = {name: [] for name in pipelines}
    for _ in range(REPEATS.value):
        for name, start_batches in pipelines.items():
            batches = iter(start_batches())
            next(batches)  # opens files and fills caches
            start = time.process_time()
            count = sum(len(batch["image"]) for batch in batches)
            speeds[name].append(count / (time.process_time() - start))
    return {name: float(np.median(values)) for name, values in speeds.items()}


def main(argv):
    """Print a table."""
    data_config = defaults.get_config().data
    data_config.name, data_config.data_dir = "coco", DATA_DIR.value
    compare = all(importlib.util.find_spec(name) for name in ("cv2", "torch"))
    print("| view | size | images/s | reference | ratio |\n|---|---|---|---|---|")
    for kind, size in itertools.product(SPLITS, SIZES.value):
        data_config.image_size = size
        pipelines = {"ours": functools.partial(our_batches, data_config, kind)}
        if compare:
            pipelines["reference"] = functools.partial(
                reference_batches, data_config, kind, encoded_samples(data_config, kind)
            )
        speeds = images_per_second(pipelines)
        line = f"| {kind} | {size} | {speeds['ours']:.0f} |"
        if compare:
            line += f" {speeds['reference']:.0f} | {speeds['ours'] / speeds['reference']:.2f} |"
        print(line if compare else f"{line} | |", flush=True)


if __name__ == "__main__":
    run(main)
