"""What each part of the video model is worth on drawn videos.

python -m dias_jax.experiments.studies.video --out=runs/video_study

The recipe of `moving_shapes` and others with the same number of frames a step: an image model on
single frames, its slots as they come or linked from frame to frame by their cosine; the recurrence
without transition, with RandSF.Q's, with slot contrast, with reduction by the whole clip and
without any. Every arm is trained with every seed and evaluated on --videos of the test split. What
is in OUT already is continued or not repeated. k-means gets the features of a whole video, with as
many clusters as a video has masks at most. At the end OUT holds decoder.md and aggregator.md, the
tables over all seeds found there.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from scipy.optimize import linear_sum_assignment

from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.downstream.k_means import k_means
from dias_jax.evaluation.split import (
    compile_evaluation,
    evaluate_split,
    open_evaluation,
    protocol_line,
)
from dias_jax.models.prediction import predict
from dias_jax.models.reduction import unit
from dias_jax.segmentation import MASKS, slot_map
from dias_jax.steps.scoring import sum_up
from dias_jax.steps.video_evaluation import score_videos, segment_videos
from dias_jax.training.train_model import train_model

from . import arms

VIDEOS = flags.DEFINE_integer("videos", 128, "of the test split; 0: all", 0)

SPLIT = "test"
IMAGE, LINKED, CLUSTERS = "image model", "image model, slots linked", "k-means on the video"
# {name: changes to the config}, in the order of the table.
CHANGES = {
    "encoder layer": {},
    "no transition": {"model.video.transition": "identity"},
    "RandSF.Q's transition": {"model.video.transition": "random_past"},
    "slot contrast": {"loss.contrast_weight": 0.5},
    "reduced by the clip": {"model.video.reduce_at": "clip"},
    "not reduced": {"model.reinit.threshold": 0.0, "model.reinit.num_iterations": 0},
    IMAGE: {"data.clip_frames": 1, "batch_size": 32},
}
METRICS = {
    "ari": "ARI",
    "fg_ari": "FG-ARI",
    "mbo": "mBO",
    "frame_mbo": "mBO of frames",
    "consistency": "consistency",
    "switches": "switches",
    "switches/no_twins": "without twins",
    "recovery": "recovery",
    "coverage": "coverage",
    "mbo/alike": "mBO, alike",
    "mbo/no_alike": "mBO, not alike",
}


def arm_config(name, seed, steps=0):
    """The config of one run; steps 0: those of the recipe."""
    config = load_experiment("moving_shapes")
    config.steps = steps or config.steps
    config.update_from_flattened_dict(CHANGES[name])
    config.seed = seed
    config.evaluation.every = config.steps
    return config


def run_arm(name, seed, out):
    """Train one arm and evaluate it on the test split, unless its result is there."""
    directory = out / name / str(seed)
    if (directory / arms.RESULT).exists():
        return
    trained = train_model(arm_config(name, seed, arms.STEPS.value), directory)
    config = trained.config
    config.evaluation.limit = VIDEOS.value
    num_masks = open_evaluation(config, SPLIT).num_masks
    if name != IMAGE:
        step = compile_evaluation(config, trained.model, num_masks)
        arms.keep_result(directory, *evaluate(step, trained, config))
        return
    for arm, step in ((LINKED, linked_step), (CLUSTERS, k_means_step), (IMAGE, frame_step)):
        step = functools.partial(step, model=trained.model, num_masks=num_masks)
        folder = out / arm / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        arms.keep_result(folder, *evaluate(step, trained, config))


def evaluate(step, trained, config):
    """-> metrics, the line that says how they were made."""
    return evaluate_split(step, trained.variables, config, SPLIT)[0], protocol_line(config, SPLIT)


@functools.partial(jax.jit, static_argnames="num_masks")
def sum_scores(predictions, batch, num_masks):
    """Scores of videos as `evaluate_split` takes them."""
    return sum_up(score_videos(predictions, batch, num_masks)[0], batch["valid"])


def segment_frames(variables, batch, rng, model):
    """Every frame as an image: -> predictions of videos, slots (B, F, S, D)."""
    batch_size, frames = batch["image"].shape[:2]
    images = batch["image"].reshape(-1, 1, *batch["image"].shape[2:])
    index = jnp.asarray(batch["index"])[:, None] * frames + jnp.arange(frames)
    output = predict(model, variables, images, rng, index.reshape(-1))
    predictions = segment_videos(output, images.shape[2:4])
    predictions["slots"] = output.slots
    predictions = jax.tree.map(lambda x: x.reshape(batch_size, frames, *x.shape[2:]), predictions)
    return predictions, predictions.pop("slots")


def frame_step(variables, batch, rng, *, model, num_masks):
    """`eval_step` for frames that know nothing of each other."""
    predictions, _ = segment_frames(variables, batch, rng, model)
    return sum_scores(predictions, batch, num_masks), {}


def linked_step(variables, batch, rng, *, model, num_masks):
    """The same, with slots renamed so that they follow those of the frame before."""
    predictions, slots = segment_frames(variables, batch, rng, model)
    names = [link(*pair) for pair in zip(*jax.device_get((unit(slots), predictions["slot_mask"])))]
    names = np.stack(names)
    for masks in MASKS:
        maps = np.asarray(predictions[masks])
        flat = np.take_along_axis(names, maps.reshape(*maps.shape[:2], -1).astype(int), axis=-1)
        predictions[masks] = flat.reshape(maps.shape).astype(np.uint8)
    return sum_scores(predictions, batch, num_masks), {}


def link(slots, slot_mask):
    """One-to-one by cosine (Hungarian) with the latest slot of each name: -> names (F, S) int.

    slots (F, S, D) of length 1; slot_mask (F, S): a slot that is not in use takes a free name.
    """
    num_slots = slots.shape[1]
    names, latest = np.zeros(slots.shape[:2], int), np.zeros(slots.shape[1:])
    for frame, (here, in_use) in enumerate(zip(slots, slot_mask)):
        score = np.where(in_use[:, None], here @ latest.T, -np.ones(num_slots))
        names[frame] = linear_sum_assignment(score, maximize=True)[1]
        latest[names[frame][in_use]] = here[in_use]
    return names


def k_means_step(variables, batch, rng, *, model, num_masks):
    """`eval_step` for k-means on the frozen features of the whole video."""
    features = predict(model, variables, batch["image"], rng, batch["index"]).features
    size, frames, h, w, width = features.shape
    tokens = np.asarray(features).reshape(size, -1, width)
    assignment = k_means(tokens, batch["index"], num_masks).reshape(-1, h, w)
    maps = jax.nn.one_hot(assignment, num_masks, axis=1)
    maps = np.asarray(slot_map(maps, batch["image"].shape[2:4]), np.uint8)
    maps = maps.reshape(size, frames, *maps.shape[1:])
    predictions = dict.fromkeys(MASKS, maps)
    predictions["slot_mask"] = np.ones((size, frames, num_masks), bool)
    return sum_scores(predictions, batch, num_masks), {}


def main(arguments):
    """Run what is missing, then write the table."""
    require("out")
    out = pathlib.Path(arms.OUT.value)
    for seed, name in arms.chosen_arms(CHANGES):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(name, seed, out)
    results = arms.read_results(out, [*CHANGES, LINKED, CLUSTERS])
    for masks in MASKS:
        columns = {f"{masks}/{name}": title for name, title in METRICS.items()}
        table = f"{masks} masks\n\n{arms.results_table(results, columns)}\n"
        (out / f"{masks}.md").write_text(table)
        print(table)


if __name__ == "__main__":
    run(main)
