"""What frozen features are worth, measured in a minute and without any slot.

python -m dias_jax.experiments.studies.features --config=shapes [--images=96]

Prints a Markdown line a variant of the features, as they are and with their mean over images at
each place taken away and every channel scaled to variance 1 (centred):

- deviation: of all features, over everything;
- nearest true mean: the masks that come out when every token goes to the mean of the true object
  (or ground) that it is nearest to: what perfect slots would reach;
- k-means 6 and 16: clusters of each image alone; objects for free, if these are good;
- from neighbours: how much of a token's variance a linear map of the four tokens 16 pixels away
  explains (R2 on the other half of the images): if that is most of it, a decoder that sees some
  tokens needs no slots.

Masks are measured as everywhere (`dias_jax.metrics`), on validation scenes.
"""

import jax
import numpy as np
from absl import flags

from data_pipelines import pipeline
from data_pipelines.sources import open_split
from dias_jax import cli
from dias_jax.config.experiments import define_config_flag
from dias_jax.downstream.k_means import k_means
from dias_jax.metrics import METRIC_TITLES, METRICS
from dias_jax.models.build import build
from dias_jax.models.prediction import predict
from dias_jax.pictures.tables import markdown_table
from dias_jax.runs.state import start_variables
from dias_jax.segmentation import slot_map
from dias_jax.steps.scoring import measure

CLUSTERS = (6, 16)
DISTANCE = 16  # pixels between a token and the neighbours that it is predicted from


def define_flags(arguments):
    """--config of an experiment, and what is this study's own."""
    flags.DEFINE_integer("images", 96, "validation images to measure", 2)
    return define_config_flag(arguments)


def frozen_features(config, batch):
    """Of the images of a batch: (B, h, w, C) float32."""
    model = build(config.model)
    variables, _ = start_variables(config, model)
    images = np.array_split(batch["image"], -(-len(batch["image"]) // 32))
    key = jax.random.key(config.seed)
    return np.concatenate([predict(model, variables, x, key).features for x in images])


def centre(features):
    """Without the mean over images at each place, channels of variance 1: (B, h, w, C)."""
    rest = features - features.mean(0)
    return rest / np.maximum(rest.std((0, 1, 2)), 1e-6)


def nearest_true_mean(features, masks):
    """Tokens by the mean of the true segment that they are nearest to: -> (B, h, w) int.

    masks (B, H, W): 0 = nothing, whose tokens make no mean.
    """
    height, width = features.shape[1:3]
    step = masks.shape[1] // height, masks.shape[2] // width
    truth = masks[:, step[0] // 2 :: step[0], step[1] // 2 :: step[1]]
    found = np.zeros(truth.shape, int)
    for row, tokens, labels in zip(found, features, truth):
        names = np.unique(labels[labels > 0])
        means = np.stack([tokens[labels == name].mean(0) for name in names])
        distance = np.square(tokens[:, :, None] - means).sum(-1)
        row[:] = names[distance.argmin(-1)] - 1
    return found


def explained_by_neighbours(features, distance):
    """R2 of a linear map from the four tokens `distance` tokens away, on the other half."""
    middle = slice(distance, -distance)
    before, after = slice(None, -2 * distance), slice(2 * distance, None)
    places = [(before, middle), (after, middle), (middle, before), (middle, after)]
    half = len(features) // 2
    near = np.concatenate([features[:, rows, columns] for rows, columns in places], -1)
    target = features[:, middle, middle]
    flat = [x.reshape(-1, x.shape[-1]) for x in (near[:half], target[:half], near[half:])]
    weights, *_ = np.linalg.lstsq(*(x - x.mean(0) for x in flat[:2]), rcond=1e-3)
    guess = (flat[2] - flat[0].mean(0)) @ weights + flat[1].mean(0)
    rest = target[half:].reshape(guess.shape)
    return 1 - np.square(rest - guess).sum() / np.square(rest - rest.mean(0)).sum()


def mask_cells(assignment, batch, num_masks, count):
    """The four metrics, in percent, of a segment a token (B, h, w): a cell of the table."""
    maps = jax.nn.one_hot(assignment, count, axis=1)
    prediction = slot_map(maps, batch["mask"].shape[1:])
    values = measure(prediction, batch["mask"], count, num_masks)
    return " ".join(f"{100 * float(np.mean(values[name][0])):.0f}" for name in METRICS)


def table_row(name, features, batch, num_masks):
    """A line of the table."""
    cells = [name, f"{features.std():.2f}"]
    cells.append(mask_cells(nearest_true_mean(features, batch["mask"]), batch, num_masks, 255))
    tokens = features.reshape(len(features), -1, features.shape[-1])
    for count in CLUSTERS:
        assignment = k_means(tokens, batch["index"], count).reshape(features.shape[:3])
        cells.append(mask_cells(assignment, batch, num_masks, count))
    distance = max(DISTANCE * features.shape[1] // batch["image"].shape[1], 1)
    return [*cells, f"{explained_by_neighbours(features, distance):.2f}"]


def main(arguments):
    """Measure and print."""
    cli.require("config")
    config = flags.FLAGS.config
    num_masks = open_split(config.data, "validation").num_masks
    batch = next(
        pipeline.evaluation_batches(
            config.data, "validation", flags.FLAGS.images, limit=flags.FLAGS.images
        )
    )
    features = frozen_features(config, batch)
    rows = [
        table_row(name, values, batch, num_masks)
        for name, values in (("as they are", features), ("centred", centre(features)))
    ]
    kinds = "/".join(METRIC_TITLES.values())
    titles = [f"nearest true mean, {kinds}", *(f"k-means {count}" for count in CLUSTERS)]
    print(markdown_table(["features", "deviation", *titles, "from neighbours"], rows))


if __name__ == "__main__":
    cli.run(main, define_flags)
