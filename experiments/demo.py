"""Everything in some minutes, without a download: python -m experiments.demo --out=DIR.

Evaluates the model that ships with the package on held-out scenes, draws what its slots do, trains
a fresh model for a fraction of the steps (a run in OUT/fresh, continued where it was stopped) and
does the same with that.
"""

import pathlib

from absl import flags

from dias_jax.cli import require, run
from dias_jax.config import check_config
from dias_jax.evaluation import TABLE_HEAD, evaluate_model, protocol, table_row
from dias_jax.gallery import write_gallery
from dias_jax.models.shipped import shipped_config
from dias_jax.runs import open_shipped, train_run
from experiments import shapes

OUT = flags.DEFINE_string("out", None, "directory for galleries and the fresh run")
STEPS = flags.DEFINE_integer("steps", 1_000, "optimiser steps of the fresh run", 1)
SCENES = flags.DEFINE_integer("scenes", 256, "held-out scenes to evaluate on", 1)
SPLIT = "test"


def fresh_config():
    """`shapes.py`, shortened."""
    config = shapes.get_config()
    config.steps = STEPS.value
    config.evaluation.every = max(STEPS.value // 4, 1)
    config.evaluation.limit = 64
    check_config(config)
    return config


def score(trained):
    """Metrics on the first held-out scenes."""
    trained.config.evaluation.limit = SCENES.value
    return evaluate_model(trained, SPLIT)[0]


def study(name, trained, out):
    """Evaluate and draw one model: -> rows of the table, what to look at."""
    metrics = score(trained)
    rows = [
        table_row(f"{name}, {masks} masks", metrics, masks) for masks in ("decoder", "aggregator")
    ]
    print("\n".join([TABLE_HEAD, *rows]), flush=True)
    return rows, write_gallery(trained, SPLIT, out, count=8, poster=4)


def main(arguments):
    """The shipped model, then a fresh one, then both."""
    require("out")
    out, config = pathlib.Path(OUT.value), fresh_config()
    print(f"the model that ships, on {SCENES.value} held-out scenes:", flush=True)
    shipped = open_shipped("shapes", shipped_config("shapes"))
    rows, files = study(f"shipped, {shipped.step:,} steps", shipped, out)
    print(f"a fresh model, {config.steps:,} steps:", flush=True)
    fresh = train_run(config, out / "fresh")
    more_rows, more_files = study(f"fresh, {fresh.step:,} steps", fresh, out / "fresh")
    print(
        "\n".join(["", protocol(config, SPLIT), "", TABLE_HEAD, *rows, *more_rows, "", "Look at"])
    )
    print(*files, *more_files, out / "fresh" / "images", sep="\n")


if __name__ == "__main__":
    run(main)
