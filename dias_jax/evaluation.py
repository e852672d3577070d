"""Metrics of a whole split, exact whatever the batch size and number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines import pipeline, sources
from dias_jax import devices
from dias_jax.metrics import METRICS
from dias_jax.steps import eval_step

TABLE_HEAD = "| | ARI | FG-ARI | mBO | mIoU |\n|---|---|---|---|---|"


def compile_evaluation(config, model, num_masks):
    """`eval_step` for a config, compiled for all devices."""
    step = functools.partial(
        eval_step,
        model=model,
        num_masks=num_masks,
        distillation=config.loss.distillation,
        teacher=config.loss.distillation_teacher,
    )
    return devices.compile_step(step, split_results=True)


def evaluate(step, variables, config, split, on_batch=None):
    """Metrics of `split`, each sample once: -> ({name: value}, number of samples).

    step: from `compile_evaluation`, or another with its arguments and results. `METRICS` are in
    percent, everything else is as it is. `on_batch(number, batch, predictions)` sees every batch
    of this host; predictions are still on the device (`devices.to_host`). Slots are sampled from
    keys that depend on the seed and the sample only.
    """
    size, limit = len(sources.open_split(config.data, split)), config.evaluation.limit
    batches = pipeline.evaluation_batches(
        config.data,
        split,
        config.evaluation.batch_size,
        shard=devices.host_shard(),
        limit=limit,
        num_threads=config.data.threads,
    )
    rng, totals = jax.random.key(config.seed), None
    for number, batch in enumerate(batches):
        sums, predictions = step(variables, batch, rng)
        totals = sums if totals is None else jax.tree.map(jnp.add, totals, sums)
        if on_batch is not None:
            on_batch(number, batch, predictions)
    totals = jax.device_get(totals)
    means = {}
    for name, (total, count) in totals.items():
        scale = 100 if name.rpartition("/")[-1] in METRICS else 1
        total, count = np.asarray(total, float), np.asarray(count, float)
        means[name] = (scale * total / np.maximum(count, 1)).tolist()
    return means, min(limit or size, size)


def evaluate_model(trained, split, on_batch=None):
    """`evaluate` a TrainedModel as its config says: -> ({name: value}, number of samples)."""
    num_masks = sources.open_split(trained.config.data, split).num_masks
    step = compile_evaluation(trained.config, trained.model, num_masks)
    return evaluate(step, trained.variables, trained.config, split, on_batch)


def table_row(name, metrics, masks):
    """One line of a Markdown table under TABLE_HEAD: the four metrics of one segmentation."""
    values = " | ".join(f"{metrics[f'{masks}/{metric}']:.1f}" for metric in METRICS)
    return f"| {name} | {values} |"


def score(metrics, masks):
    """ARI + FG-ARI + mBO + mIoU of one segmentation ("decoder" or "aggregator"): the higher the
    better checkpoint (released code)."""
    return sum(metrics[f"{masks}/{name}"] for name in METRICS)


def protocol(config, split):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    size, source = config.data.image_size, sources.open_split(config.data, split)
    return (
        f"{config.data.name} {split}: {source.protocol(size)}; attention upsampled "
        f"bilinearly to {size}x{size}, argmax over slots; ARI over annotated pixels, FG-ARI over "
        "pixels of objects, mBO and mIoU over objects and background; mean over samples"
    )
