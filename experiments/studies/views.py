"""What K kept views of each image cost against ever new ones.

python -m dias_jax.experiments.studies.views --out=runs/views

Drawn scenes, written and prepared as one's own photographs, because these are cropped and mirrored
in training and scenes are not. The recipe of `shapes` is trained on them, from images and from
features in files of so many views; all are evaluated on images. What is in OUT already is continued
or not repeated. At the end OUT holds table.md over all seeds found there.
"""

import pathlib

import numpy as np
from PIL import Image

from data_pipelines.building.build import build
from data_pipelines.drawn import shapes
from data_pipelines.records import VERSION, is_prepared
from data_pipelines.sets.folder import Folder
from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.evaluation.features import extract_features
from dias_jax.evaluation.split import evaluate_model, protocol_line
from dias_jax.training.train_model import train_model

from . import ablation, arms

VIEWS = {"new views": 0, "1 view": 1, "4 views": 4, "2 views": 2}  # 0: from images
SIZES = {"train": 1_000, "validation": 250}  # scenes
SIDE = 128  # pixels of a scene; views have those of the recipe
NAME, DATA = "scenes", "data"


def prepare_scenes(out):
    """The scenes as a prepared data set in OUT/data, unless they are there."""
    data_dir = out / DATA
    if is_prepared(data_dir / NAME / VERSION):
        return
    for split, size in SIZES.items():
        for kind in ("images", "masks"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(size):
            scene = shapes.render(index, split, SIDE)
            pictures = {"images": scene.image, "masks": (scene.mask - 1).astype(np.uint8)}
            for kind, picture in pictures.items():
                Image.fromarray(picture).save(out / kind / split / f"{index:04d}.png")
    build(Folder(source=out / "images", masks=out / "masks", data_dir=data_dir, name=NAME))


def arm_config(name, seed, out, steps=0):
    """The config of one run; steps 0: those of the recipe."""
    config = load_experiment("shapes")
    config.steps, config.seed = steps or config.steps, seed
    config.data.update(name=NAME, data_dir=str(out / DATA), keep_in_memory=True)
    config.evaluation.update(every=config.steps, limit=0)
    if VIEWS[name]:
        config.data.update(views=VIEWS[name], features=str(out / f"features_{VIEWS[name]}"))
    return config


def run_arm(config, directory):
    """Train one arm and evaluate it, unless its result is there."""
    if (directory / arms.RESULT).exists():
        return
    split = config.evaluation.split
    for of in ("train", split) if config.data.features else ():
        extract_features(config, of, config.data.features)
    metrics, _ = evaluate_model(train_model(config, directory), split)
    arms.keep_result(directory, metrics, protocol_line(config, split))


def main(arguments):
    """Run what is missing, then write the table."""
    require("out")
    out = pathlib.Path(arms.OUT.value)
    prepare_scenes(out)
    for seed, name in arms.chosen_arms(VIEWS):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(arm_config(name, seed, out, arms.STEPS.value), out / name / str(seed))
    table = arms.results_table(arms.read_results(out, VIEWS), ablation.COLUMNS)
    (out / "table.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    run(main)
