"""Everything in some minutes, without a download: python -m dias_jax.demo [--out=runs/demo].

Evaluates the model that ships with the package on held-out scenes, draws what its slots do, trains
a fresh model for a fraction of the steps (a run in OUT/fresh, continued where it was stopped) and
does the same with that.
"""

import pathlib

from absl import flags

from dias_jax.cli import run
from dias_jax.config.experiments import load_experiment
from dias_jax.evaluation.split import evaluate_model, metrics_table, protocol_line
from dias_jax.gallery import write_gallery
from dias_jax.models.shipped import shipped_config
from dias_jax.runs.trained_model import open_shipped
from dias_jax.segmentation import MASKS
from dias_jax.training.train_model import train_model

OUT = flags.DEFINE_string("out", "runs/demo", "directory for galleries and the fresh run")
STEPS = flags.DEFINE_integer("steps", 600, "optimiser steps of the fresh run", 1)
SCENES = flags.DEFINE_integer("scenes", 256, "held-out scenes to evaluate on", 1)
SPLIT = "test"


def fresh_config():
    """The experiment `shapes`, somewhat shortened."""
    config = load_experiment("shapes")
    config.steps = STEPS.value
    config.evaluation.every = max(STEPS.value // 4, 1)
    config.evaluation.limit = 64
    return config


def study(name, trained, out):
    """Evaluate and draw one model: -> rows of the table, the page with the drawings."""
    print(f"evaluating the {name} model on {SCENES.value} held-out scenes", flush=True)
    trained.config.evaluation.limit = SCENES.value
    metrics, _ = evaluate_model(trained, SPLIT)
    _, page = write_gallery(trained, SPLIT, out, count=8, poster=4)
    return [(f"{name}, {masks} masks", metrics, masks) for masks in MASKS], page


def main(arguments):
    """The shipped model, then a fresh one, then both in a table."""
    out, config = pathlib.Path(OUT.value), fresh_config()
    shipped = open_shipped("shapes", shipped_config("shapes"))
    rows, page = study("shipped", shipped, out)
    print(f"training a fresh model for {config.steps:,} steps", flush=True)
    fresh = train_model(config, out / "fresh")
    more_rows, _ = study("fresh", fresh, out / "fresh")
    lines = [
        "",
        protocol_line(config, SPLIT),
        "",
        metrics_table(rows + more_rows),
        "",
        f"shipped: {shipped.step:,} steps of training, in the package; fresh: {fresh.step:,}, here",
        "decoder masks: how it rebuilds the features; aggregator masks: how slots share the image",
        "",
        f"open {page}",
    ]
    print(*lines, sep="\n")


if __name__ == "__main__":
    run(main)
