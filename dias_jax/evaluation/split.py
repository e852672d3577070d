"""Metrics of a whole split, exact whatever the batch size and number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import pipeline
from data_pipelines.sources import open_split
from dias_jax import devices, feeding
from dias_jax.metrics import METRIC_TITLES, METRICS
from dias_jax.pictures.tables import markdown_table
from dias_jax.segmentation import MASKS
from dias_jax.steps.evaluation import eval_step
from dias_jax.steps.video_evaluation import video_eval_step

OVER_TIME = "all of these over all frames together, a thing keeps its slot; frame_* frame by frame"
# Values between 0 and 1 that are given in percent.
SHARES = {*METRICS, "frame_fg_ari", "frame_mbo", "objects_mbo", "j_and_f", "j", "f"}
SHARES |= {"consistency", "recovery", "coverage"}


def compile_evaluation(config, model, num_masks):
    """`eval_step`, or that of videos, for a config, compiled for all devices.

    Raises UserError where the batch does not split evenly over them.
    """
    devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
    step = functools.partial(
        video_eval_step if config.model.kind == "video" else eval_step,
        model=model,
        num_masks=num_masks,
        distillation=config.loss.distillation,
        teacher=config.loss.distillation_teacher,
    )
    return devices.compile_step(step, split_results=True)


def open_evaluation(config, split):
    """The source that an evaluation of a whole config reads."""
    return open_split(config.data, split, clip_frames=config.evaluation.clip_frames)


def read_evaluation(config, split, start=0, limit=0, views=0, features=None):
    """This host's batches of an evaluation of a whole config, samples `start` to `limit`.

    Arguments as of `pipeline.evaluation_batches`.
    """
    return pipeline.evaluation_batches(
        config.data,
        split,
        config.evaluation.batch_size,
        shard=devices.host_shard(),
        start=start,
        limit=limit,
        num_threads=config.data.threads,
        clip_frames=config.evaluation.clip_frames,
        views=views,
        features=features,
    )


def evaluate_split(step, variables, config, split, on_batch=None, features=None):
    """Metrics of `split`, each sample once: -> ({name: value}, number of samples).

    step: from `compile_evaluation`, or another with its arguments and results. What is a share is
    in percent, everything else is as it is. `on_batch(number, batch, predictions)` sees every batch
    of this host; predictions are still on the device (`devices.to_host`). Slots are sampled from
    keys that depend on the seed and the sample only. features: random access to those of the
    samples, None: they are computed.
    """
    size, limit = len(open_evaluation(config, split)), config.evaluation.limit
    rng, totals = jax.random.key(config.seed), None
    batches = read_evaluation(config, split, limit=limit, features=features)
    for number, (batch, fed) in enumerate(feeding.ahead(batches)):
        sums, predictions = step(variables, fed, rng)
        totals = sums if totals is None else jax.tree.map(jnp.add, totals, sums)
        if on_batch is not None:
            on_batch(number, batch, predictions)
    means = {name: mean_value(name, *pair) for name, pair in jax.device_get(totals).items()}
    return means, min(limit or size, size)


def mean_value(name, total, count):
    """The mean of a (sum, count) pair, a number or a list; of shares in percent."""
    scale = 100 if SHARES & set(name.split("/")) else 1
    return (scale * np.asarray(total, float) / np.maximum(np.asarray(count, float), 1)).tolist()


def evaluate_model(trained, split, on_batch=None):
    """`evaluate_split` of a TrainedModel, as its config says: -> ({name: value}, samples)."""
    num_masks = open_evaluation(trained.config, split).num_masks
    step = compile_evaluation(trained.config, trained.model, num_masks)
    return evaluate_split(step, trained.variables, trained.config, split, on_batch)


def metrics_table(rows):
    """Markdown of the four metrics, a line a segmentation: rows of (name, metrics, masks)."""
    cells = [
        [name, *(f"{metrics[f'{masks}/{metric}']:.1f}" for metric in METRICS)]
        for name, metrics, masks in rows
    ]
    return markdown_table(["", *METRIC_TITLES.values()], cells)


def metrics_sum(metrics, masks):
    """ARI + FG-ARI + mBO + mIoU of one segmentation: the higher the better (released code)."""
    return sum(metrics[f"{masks}/{name}"] for name in METRICS)


def protocol_line(config, split):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    size, source = config.data.image_size, open_evaluation(config, split)
    line = f"{config.data.name} {split}: {source.protocol(size)}"
    if not source.num_masks:
        return f"{line}; losses, mean over samples"
    line = (
        f"{line}; attention upsampled bilinearly to {size}x{size}, argmax over slots; ARI over "
        "annotated pixels, FG-ARI over pixels of objects, mBO and mIoU over objects and "
        "background; mean over samples"
    )
    return f"{line}; {OVER_TIME}" if source.max_frames else line


def summary_lines(metrics, num_slots):
    """What an evaluation found, in a line for each segmentation and one for the slots."""
    lines = [
        f"{masks}: "
        + " ".join(
            f"{title} {metrics[f'{masks}/{name}']:.1f}" for name, title in METRIC_TITLES.items()
        )
        for masks in MASKS
        if f"{masks}/ari" in metrics
    ]
    if f"{MASKS[0]}/frame_mbo" in metrics:
        lines = [line + track_summary(metrics, masks) for line, masks in zip(lines, MASKS)]
    return [
        *lines,
        f"reconstruction {metrics['reconstruction']:.4f}, "
        f"{metrics['active_slots']:.1f} of {num_slots} slots in use",
    ]


def track_summary(metrics, masks):
    """What `summary_lines` adds of videos to the line of a segmentation."""
    frame_mbo, consistency, switches = (
        f"{metrics[f'{masks}/{name}']:.1f}" for name in ("frame_mbo", "consistency", "switches")
    )
    return f"; frame mBO {frame_mbo} consistency {consistency} switches {switches}"
