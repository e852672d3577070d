"""Metrics of both implementations on the same samples, weights and initial slots."""

import functools

import jax
import numpy as np
from matplotlib.figure import Figure

from data_pipelines import pipeline, sources
from dias_jax.compare.case import draw_noise, image_size
from dias_jax.compare.report import Section, Table
from dias_jax.config.defaults import get_config
from dias_jax.evaluation.split import protocol_line
from dias_jax.metrics import METRIC_TITLES, METRICS
from dias_jax.models.draws import Draws
from dias_jax.models.inputs import normalize
from dias_jax.segmentation import MASKS
from dias_jax.steps.scoring import compare_with_truth, predict_masks

BATCH_SIZE = 20
COLUMNS = tuple(f"{masks}/{metric}" for masks in MASKS for metric in METRICS)
OVERFLOW = (
    "The reference multiplies numbers of pixel pairs in 64-bit integers. Where one segment covers "
    "most of a large image in both maps, the product overflows and its ARI is wrong."
)
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
    from dias_jax.compare.reference.metrics import reference_metrics  # needs torch

    case = pair.case("float32", BATCH_SIZE, 0)
    model, wrapper, variables = case.model, pair.theirs(case), case.variables
    config = get_config()
    changes = {"name": data, "data_dir": data_dir, "image_size": image_size(model)}
    config.data.update(changes)
    num_masks = sources.open_split(config.data, split).num_masks
    ours = jax.jit(functools.partial(our_metrics, model, num_masks=num_masks))
    batches = pipeline.evaluation_batches(config.data, split, BATCH_SIZE, limit=limit)
    random, pairs, pixels = np.random.default_rng(pair.seed), [], {name: [] for name in MASKS}
    left_out = dict.fromkeys(COLUMNS, 0)
    for batch in batches:
        noise = draw_noise(model, len(batch["image"]), random)
        with jax.default_matmul_precision("highest"):
            mine, predictions = jax.device_get(ours(variables, batch, noise))
        true = batch["mask"].reshape(len(noise), -1, 1) == np.arange(1, num_masks + 1)
        images = np.asarray(normalize(batch["image"]))
        other, their_predictions = reference_metrics(
            wrapper, images, true, model.evaluation_sees_tokens, noise
        )
        counted = dict.fromkeys(COLUMNS, batch["valid"])
        for name, prediction in their_predictions.items():
            for metric, skipped in (("ari", 0), ("fg_ari", 1)):
                wrong = batch["valid"] & overflows(prediction, true[..., skipped:])
                counted[f"{name}/{metric}"] = batch["valid"] & ~wrong
                left_out[f"{name}/{metric}"] += int(wrong.sum())
        pairs.append({name: select(mine[name], other[name], counted[name]) for name in other})
        for name in MASKS:
            differs = (predictions[name] != their_predictions[name])[batch["valid"]]
            pixels[name].append(differs.reshape(len(differs), -1))
    pairs = {name: np.concatenate([part[name] for part in pairs], 1) for name in pairs[0]}
    shares = {name: np.concatenate(parts).mean() for name, parts in pixels.items()}
    return section(pairs, shares, left_out, protocol_line(config, split))


def our_metrics(model, variables, batch, noise, num_masks):
    """Our metrics and index maps of a batch: as `compare_with_truth` and `predict_masks` do."""
    output = model.apply(variables, normalize(batch["image"]), draws=Draws(noise=noise))
    predictions = predict_masks(output, batch["image"].shape[1:3])
    values = compare_with_truth(predictions, batch["mask"], num_masks)
    return values, {name: predictions[name] for name in MASKS}


def select(mine, other, valid):
    """(values, valid) of both for a batch -> (2, samples) percent; of the samples that count.

    A sample counts where either implementation says so: where only one does, its value differs.
    """
    pair = [np.where(has_value, 100 * value, np.nan) for value, has_value in (mine, other)]
    counted = valid & (mine[1] | other[1])
    return np.stack(pair)[:, counted]


def overflows(prediction, true):
    """Where the reference's ARI is wrong: (B, H, W) indices, (B, P, G) bool -> (B,) bool.

    It multiplies the numbers of pairs in both maps in int64.
    """
    largest = float(np.iinfo(np.int64).max)

    def num_pairs(masks):
        sizes = masks.sum(1).astype(float)  # (B, masks)
        return (sizes * (sizes - 1)).sum(1)

    annotated = true.any(-1)
    maps = prediction.reshape(len(prediction), -1, 1) == np.arange(prediction.max() + 1)
    return num_pairs(maps & annotated[..., None]) * num_pairs(true) > largest


def section(pairs, shares, left_out, protocol):
    """{name: (2, samples)}, {masks: share of pixels that differ} and {name: samples} -> Section."""
    rows = [metric_row(name, values) for name, values in pairs.items()]
    pixels = ", ".join(f"{name} {share:.1e}" for name, share in shares.items())
    text = (
        "Same weights, samples and initial slots; each implementation with its own metrics, in "
        f"percent. {protocol}. Share of pixels whose slot differs: {pixels}."
    )
    if any(left_out.values()):
        numbers = ", ".join(f"{name} {number}" for name, number in left_out.items() if number)
        text += f"\n\n{OVERFLOW} Samples left out for that: {numbers}."
    figures = (("Every sample, ours over reference", scatter(pairs)),)
    return Section("Metrics", text, (Table(HEADER, rows),), figures)


def metric_row(name, values):
    """One line of the table; values (2, samples) percent."""
    masks, metric = name.split("/")
    if not values.size:
        return [masks, METRIC_TITLES[metric], "0", *["-"] * 4]
    means, differences = values.mean(1), np.abs(values[0] - values[1])
    return [
        masks,
        METRIC_TITLES[metric],
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
            low, high = np.nanmin([*ours, *theirs, 0]), 100
            axis.plot([low, high], [low, high], color="0.8", linewidth=1, zorder=0)
            axis.scatter(theirs, ours, s=8, alpha=0.5, linewidths=0)
            axis.set(title=f"{METRIC_TITLES[metric]}, {masks} masks", aspect="equal")
    figure.supxlabel("reference (%)")
    figure.supylabel("ours (%)")
    return figure
