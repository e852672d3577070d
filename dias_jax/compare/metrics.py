"""Metrics of both implementations on the same samples, weights and initial slots."""

import functools

import jax
import numpy as np
from matplotlib.figure import Figure

from data_pipelines import pipeline
from dias_jax.compare.case import draw_noise, image_size
from dias_jax.compare.ours import place_slots
from dias_jax.compare.report import Section, Table
from dias_jax.evaluation import protocol
from dias_jax.metrics import METRICS
from dias_jax.steps import compare_with_truth, normalize
from experiments import base

BATCH_SIZE = 20
MASKS = ("decoder", "aggregator")
NAMES = {"ari": "ARI", "fg_ari": "FG-ARI", "mbo": "mBO", "miou": "mIoU"}
COLUMNS = tuple(f"{masks}/{metric}" for masks in MASKS for metric in METRICS)
HEADER = [
    "masks",
    "metric",
    "samples",
    "ours",
    "reference",
    "difference",
    "largest of a sample",
]


def compare_metrics(pair, data, data_dir, split, limit):
    """Section on samples of a prepared data set: means, per-sample differences and scatter.

    data, data_dir: name and place of the data set, as in a config; limit: how many samples of the
    split, 0 for all.
    """
    from dias_jax.compare import their_metrics  # needs torch

    case = pair.case("float32", BATCH_SIZE, 0)
    model, wrapper, variables = case.model, pair.theirs(case), case.variables
    config = base.get_config()
    changes = {"name": data, "data_dir": data_dir, "image_size": image_size(model)}
    config.data.update(changes)
    num_masks = pipeline.open_split(config.data, split).num_masks
    ours = jax.jit(functools.partial(evaluate, model, num_masks=num_masks))
    batches = pipeline.evaluation_batches(config.data, split, BATCH_SIZE, limit=limit)
    random, pairs, pixels = np.random.default_rng(pair.seed), [], {name: [] for name in MASKS}
    for batch in batches:
        noise = draw_noise(model, len(batch["image"]), random)
        with jax.default_matmul_precision("highest"):
            mine, predictions = jax.device_get(ours(variables, batch, noise))
        true = batch["mask"].reshape(len(noise), -1, 1) == np.arange(1, num_masks + 1)
        images = np.asarray(normalize(batch["image"]))
        other, their_predictions = their_metrics.evaluate(
            wrapper, images, true, model.evaluation_sees_tokens, noise
        )
        pairs.append({name: select(mine[name], other[name], batch["valid"]) for name in other})
        for name in MASKS:
            differs = (predictions[name] != their_predictions[name])[batch["valid"]]
            pixels[name].append(differs.reshape(len(differs), -1))
    pairs = {name: np.concatenate([part[name] for part in pairs], 1) for name in pairs[0]}
    shares = {name: np.concatenate(parts).mean() for name, parts in pixels.items()}
    return section(pairs, shares, protocol(config, split))


def evaluate(model, variables, batch, noise, num_masks):
    """Our metrics and index maps of a batch: see `steps.compare_with_truth`."""
    output = model.apply(
        variables,
        normalize(batch["image"]),
        initial_slots=place_slots(model, variables["params"], noise, False),
    )
    return compare_with_truth(output, batch, num_masks)


def select(mine, other, valid):
    """(values, valid) of both for a batch -> (2, samples) percent; of the samples that count.

    A sample counts where either implementation says so: where only one does, its value differs.
    """
    pair = [np.where(has_value, 100 * value, np.nan) for value, has_value in (mine, other)]
    counted = valid & (mine[1] | other[1])
    return np.stack(pair)[:, counted]


def section(pairs, shares, protocol_line):
    """{name: (2, samples)} and {masks: share of pixels that differ} -> Section."""
    rows = [metric_row(name, values) for name, values in pairs.items()]
    pixels = ", ".join(f"{name} {share:.1e}" for name, share in shares.items())
    text = (
        "Same weights, samples and initial slots; each implementation with its own metrics, in "
        f"percent. {protocol_line}. Share of pixels whose slot differs: {pixels}."
    )
    figures = (("Every sample, ours over reference", scatter(pairs)),)
    return Section("Metrics", text, (Table(HEADER, rows),), figures)


def metric_row(name, values):
    """One line of the table; values (2, samples) percent."""
    masks, metric = name.split("/")
    means, differences = values.mean(1), np.abs(values[0] - values[1])
    return [
        masks,
        NAMES[metric],
        str(values.shape[1]),
        *(f"{mean:.4f}" for mean in means),
        f"{means[0] - means[1]:+.1e}",
        f"{differences.max():.1e}",
    ]


def scatter(pairs):
    """One panel for each segmentation and metric, a dot a sample."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(len(MASKS), len(METRICS), squeeze=False)
    for row, masks in enumerate(MASKS):
        for column, metric in enumerate(METRICS):
            axis, (ours, theirs) = axes[row, column], pairs[f"{masks}/{metric}"]
            low, high = min(0, np.nanmin([ours, theirs])), 100
            axis.plot([low, high], [low, high], color="0.8", linewidth=1, zorder=0)
            axis.scatter(theirs, ours, s=8, alpha=0.5, linewidths=0)
            axis.set(title=f"{NAMES[metric]}, {masks} masks", aspect="equal")
    figure.supxlabel("reference (%)")
    figure.supylabel("ours (%)")
    return figure
