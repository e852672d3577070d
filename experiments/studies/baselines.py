"""What training has gained: random initialisation, k-means and DIAS on the same held-out images.

python -m dias_jax.experiments.studies.baselines --split=test [--clusters=5,7,16]

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME. Prints a
Markdown table. k-means gets the same frozen features and, unless --clusters names other numbers, as
many clusters as there are slots; it is run on each image alone, the best of five k-means++ starts
by its own objective, and its cluster map is upsampled like attention.
"""

import functools
import json

import jax
import jax.numpy as jnp
from absl import flags

from data_pipelines.sources import open_split
from dias_jax import devices
from dias_jax.errors import UserError
from dias_jax.evaluation.split import (
    compile_evaluation,
    evaluate_split,
    metrics_table,
    protocol_line,
)
from dias_jax.models.inputs import initialize
from dias_jax.models.prediction import predict
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.segmentation import MASKS, slot_map
from dias_jax.steps.scoring import measure, sum_up

from .k_means import k_means

SPLIT = flags.DEFINE_string("split", "test", "held-out split")
CLUSTERS = flags.DEFINE_list("clusters", None, "numbers of clusters; default: that of slots")


def k_means_step(variables, batch, rng, *, model, num_clusters, num_masks, axis_name=None):
    """`eval_step` for k-means on the frozen features."""
    features = predict(model, variables, batch["image"], rng, batch["index"]).features
    size, h, w, width = features.shape
    tokens = features.reshape(size, h * w, width)
    shape = jax.ShapeDtypeStruct(tokens.shape[:2], jnp.int32)
    run = functools.partial(k_means, count=num_clusters)
    assignment = jax.pure_callback(run, shape, tokens, batch["index"])
    maps = jax.nn.one_hot(assignment, num_clusters, axis=1).reshape(size, num_clusters, h, w)
    prediction = slot_map(maps, batch["image"].shape[1:3])
    values = measure(prediction, batch["mask"], num_clusters, num_masks)
    return sum_up({f"k-means/{k}": v for k, v in values.items()}, batch["valid"], axis_name), {}


def read_numbers(default):
    """The numbers of clusters. Raises UserError on what is none."""
    values = CLUSTERS.value or [str(default)]
    if not all(value.isdigit() and int(value) for value in values):
        raise UserError(f"--clusters={','.join(values)}: give whole numbers from 1, like 5,7,16")
    return [int(value) for value in values]


def main(arguments):
    """Evaluate the three and print the table."""
    config, split = flags.FLAGS.config, SPLIT.value
    num_masks = open_split(config.data, split).num_masks
    trained = open_model()
    start = functools.partial(initialize, trained.model, image_size=config.data.image_size)
    untrained = jax.jit(start)(jax.random.key(config.seed)) | {
        "backbone": trained.variables["backbone"]
    }
    dias = compile_evaluation(config, trained.model, num_masks)
    before, _ = evaluate_split(dias, untrained, config, split)
    after, count = evaluate_split(dias, trained.variables, config, split)
    rows = [(f"random initialisation, {masks} masks", before, masks) for masks in MASKS]
    for number in read_numbers(config.model.num_slots):
        step = functools.partial(
            k_means_step, model=trained.model, num_clusters=number, num_masks=num_masks
        )
        step = devices.compile_step(step, split_results=True)
        plain, _ = evaluate_split(step, trained.variables, config, split)
        rows.append((f"k-means, {number} clusters", plain, "k-means"))
    rows += [(f"DIAS, {masks} masks", after, masks) for masks in MASKS]
    print(metrics_table(rows))
    report = {"protocol": protocol_line(config, split), "step": trained.step, "num_samples": count}
    print(json.dumps(report))


if __name__ == "__main__":
    run_on_model(main)
