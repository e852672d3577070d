"""What training has gained: random initialisation, k-means and DIAS on the same held-out images.

python -m dias_jax.experiments.studies.baselines --split=test [--clusters=5,7,16]

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME. Prints a
Markdown table. k-means gets the same frozen features and, unless --clusters names other numbers, as
many clusters as there are slots; it is run on each image alone, the best of five k-means++ starts
by its own objective, and its cluster map is upsampled like attention. Of several numbers of
clusters the best for each metric is chosen on the first validation scenes and has its own row.
"""

import functools
import json

import jax
import jax.numpy as jnp
from absl import flags

from data_pipelines.sources import open_split
from dias_jax import devices
from dias_jax.downstream.k_means import k_means
from dias_jax.errors import UserError
from dias_jax.evaluation.split import (
    compile_evaluation,
    evaluate_split,
    metrics_table,
    protocol_line,
)
from dias_jax.metrics import METRICS
from dias_jax.models.inputs import initialize
from dias_jax.models.prediction import predict
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.segmentation import MASKS, slot_map
from dias_jax.steps.scoring import measure, sum_up

SPLIT = flags.DEFINE_string("split", "test", "held-out split")
CHOSEN_ON = 256  # validation samples
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


def evaluate_k_means(trained, config, split, number, num_masks):
    """k-means with a number of clusters on a split: -> metrics."""
    step = functools.partial(
        k_means_step, model=trained.model, num_clusters=number, num_masks=num_masks
    )
    step = devices.compile_step(step, split_results=True)
    return evaluate_split(step, trained.variables, config, split)[0]


def best_numbers(by_number):
    """{number: metrics} -> {name of a metric: the number with the highest value}."""
    names = [f"k-means/{metric}" for metric in METRICS]
    return {name: max(by_number, key=lambda number: by_number[number][name]) for name in names}


def k_means_rows(trained, config, split, numbers, num_masks):
    """Rows of the table: each number of clusters, and the best for each metric."""
    on = functools.partial(evaluate_k_means, trained, num_masks=num_masks)
    found = {number: on(config, split, number) for number in numbers}
    rows = [(f"k-means, {n} clusters", metrics, "k-means") for n, metrics in found.items()]
    if len(numbers) > 1:
        few = config.copy_and_resolve_references()
        few.evaluation.limit = CHOSEN_ON
        best = best_numbers({number: on(few, "validation", number) for number in numbers})
        title = f"k-means, best for each metric ({', '.join(map(str, best.values()))} clusters)"
        chosen = {name: found[number][name] for name, number in best.items()}
        rows.append((title, chosen, "k-means"))
    return rows


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
    numbers = read_numbers(config.model.num_slots)
    rows += k_means_rows(trained, config, split, numbers, num_masks)
    rows += [(f"DIAS, {masks} masks", after, masks) for masks in MASKS]
    print(metrics_table(rows))
    report = {"protocol": protocol_line(config, split), "step": trained.step, "num_samples": count}
    print(json.dumps(report))


if __name__ == "__main__":
    run_on_model(main)
