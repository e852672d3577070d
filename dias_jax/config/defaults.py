"""Every key of a config: its default, what it means and what it may be.

The defaults are the published recipe of the image model: 256-pixel images, DINOv2 ViT-S/14,
7 slots, 100k steps. An experiment file changes what differs, and any key can be changed on the
command line: --config.optimizer.learning_rate=1e-4
"""

import dataclasses
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from dias_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a config."""

    default: Any
    meaning: str
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple = ()


KEYS = {
    "seed": Key(42, "of initial parameters, order of samples, views and sampled slots", at_least=0),
    "task": Key(
        "discovery",
        "of objects; on their slots, instead of model and loss: recognition and properties with "
        "what begins with probe, prediction with rollout, reasoning with readout",
        choices=("discovery", "recognition", "properties", "prediction", "reasoning"),
    ),
    "start_from": Key(
        "",
        "a run's directory or the name of a checkpoint that ships: a new run starts with its "
        "parameters, wherever names are the same; empty: with random ones",
    ),
    "steps": Key(100_000, "optimiser steps", at_least=1),
    "batch_size": Key(32, "samples a step, over all devices and hosts", at_least=1),
    "accumulation": Key(
        0,
        "equal parts in which a device takes its share of the batch; 0: of images as suits it, "
        "about 4 at once on a CPU and 32 on a TPU, otherwise all at once",
        at_least=0,
    ),
    "steps_per_call": Key(
        1,
        "steps that the device does at one call, at most: their number divides log_every, "
        "evaluation.every and steps; changes no number, and speeds up small models",
        at_least=1,
    ),
    "log_every": Key(100, "steps between log lines; only these wait for the device", at_least=1),
    # Data.
    "data.name": Key("coco", "shapes, or a data set that was prepared: coco, voc, ... one's own"),
    "data.data_dir": Key("data", "where `python -m data_pipelines.prepare` has put the data"),
    "data.image_size": Key(256, "pixels, square", at_least=1),
    "data.crop_scale": Key((0.75, 1.0), "area of a training crop / the largest square's", 0, 1),
    "data.flip": Key(True, "mirror half of the training views"),
    "data.clip_frames": Key(6, "F, of a training clip; of videos only", at_least=1),
    "data.seed": Key(0, "of data sets that are drawn", at_least=0),
    "data.skip_damaged": Key(True, "the next readable training sample replaces a damaged one"),
    "data.threads": Key(4, "that read and decode, per host", at_least=0),
    "data.processes": Key(
        -1,
        "that read training samples in place of threads, per host; -1: with a GPU or TPU one for "
        "each processor core but one, 16 at most, and none where cores are fewer than four",
        at_least=-1,
        at_most=256,
    ),
    "data.features": Key(
        "", "folder of features that `extract --features` has written; empty: they are computed"
    ),
    "data.views": Key(4, "K, random ones of each training image, when these are written", 1, 1_000),
    "data.keep_in_memory": Key(False, "samples once read; all scenes of shapes take 2 GB"),
    # Model.
    "model.kind": Key(
        "image",
        "of images, or of videos: then what begins with model.video counts too",
        choices=("image", "video"),
    ),
    "model.dtype": Key(
        "float32",
        "of computation; parameters stay float32",
        choices=("float32", "bfloat16"),
    ),
    "model.num_slots": Key(7, "S", at_least=1),
    "model.slot_width": Key(256, "D", at_least=1),
    "model.num_iterations": Key(3, "T", at_least=1),
    "model.initializer": Key(
        "shared",
        "one Gaussian for all slots, or one for each",
        choices=("shared", "separate"),
    ),
    "model.token_stride": Key(1, "train on a random token of each stride x stride cell", 1),
    "model.bilevel": Key(False, "bi-level gradient to initial slots; not with distillation"),
    "model.backbone.name": Key(
        "dinov2_vits14_reg4",
        "or vitb14, vitl14, without _reg4; vision_transformer of the sizes below; patch_colours, "
        "which needs no weights",
    ),
    "model.backbone.weights": Key("dinov2_vits14_reg4.safetensors", 'file, or "random"'),
    "model.backbone.input_scale": Key(0.875, "bicubic resize first: 256 -> 224 pixels", 0.01, 100),
    "model.backbone.position_grid": Key(37, "side of the stored grid; not of patch_colours", 1),
    "model.backbone.width": Key(32, "C; like the others below not of dinov2_*", at_least=1),
    "model.backbone.patch_size": Key(8, "pixels", at_least=1),
    "model.backbone.connected": Key(
        False, "regions of one colour, of patch_colours only: connected ones, or near ones"
    ),
    "model.backbone.depth": Key(12, "blocks; of vision_transformer only, as those below", 1),
    "model.backbone.heads": Key(4, "of its attention", at_least=1),
    "model.backbone.num_registers": Key(4, "tokens without a place in the image", at_least=0),
    # Redundant slots are merged and aggregated again; threshold 0, no iteration: released model.
    "model.reinit.threshold": Key(0.12, "slots of smaller 1 - cosine merge; SOLV's value", 0, 2),
    "model.reinit.min_clusters": Key(3, "nothing merges where fewer would remain", 1, 1_000),
    "model.reinit.num_iterations": Key(1, "of the aggregation from the merged slots", 0, 1_000),
    "model.reinit.probability": Key(1.0, "that a training step merges; evaluation does", 0, 1),
    "model.reinit.probability_rise": Key(1.0, "share of steps, half a cosine; 0: at once", 0, 1),
    "model.reinit.per_sample": Key(False, "draw for each sample instead of each step"),
    "model.decoder.num_tokens": Key(256, "N, tokens the backbone gives", at_least=1),
    "model.decoder.num_layers": Key(4, "Transformer decoder layers", at_least=1),
    "model.decoder.heads": Key(4, "of their attention", at_least=1),
    "model.decoder.uniform_probability": Key(0.5, "of a uniform number of visible tokens", 0, 1),
    "model.decoder.fixed_visible": Key(24, "their number otherwise; int(0.1 * 256) - 1", 0),
    "model.decoder.order": Key(
        "random",
        "in which tokens become visible; raster: row by row",
        choices=("random", "raster"),
    ),
    "model.decoder.evaluation_sees_tokens": Key(True, "all tokens, or none, in evaluation"),
    # Of a video model, beside all of the above.
    "model.video.transition": Key(
        "encoder",
        "from frame to frame: a layer over the latest slots, RandSF.Q's, or none",
        choices=("encoder", "random_past", "identity"),
    ),
    "model.video.transition_heads": Key(4, "of its attention", at_least=1),
    "model.video.dropout": Key(0.1, "in it; RandSF.Q has 0.5", 0, 0.99),
    "model.video.time_window": Key(5, "frames it can tell apart; of random_past only", 1),
    "model.video.later_iterations": Key(1, "T on the frames after the first", at_least=1),
    "model.video.reduce_at": Key(
        "first",
        "redundant slots merge on the first frame, by the whole clip, or on every frame",
        choices=("first", "clip", "every"),
    ),
    "model.video.boxes": Key(False, "slots start from boxes on the first frame"),
    "model.video.predicts_similarity": Key(False, "the decoder tells where tokens go next"),
    # Loss.
    "loss.distillation": Key(
        "released",
        "form of the cross-entropy: as released, or the textbook's",
        choices=("released", "cross_entropy"),
    ),
    "loss.distillation_teacher": Key(
        "first",
        "aggregation whose last iteration teaches; last: the re-initialised one's, attention of "
        "merged slots summed",
        choices=("first", "last"),
    ),
    "loss.distillation_weight": Key(1.0, "reached by half a cosine from 0; 0: off", at_least=0),
    # Of videos, beside these.
    "loss.contrast_weight": Key(0.0, "of slots against those of the frame before; 0: off", 0),
    "loss.contrast_temperature": Key(0.1, "that divides their cosines", 1e-6),
    "loss.similarity_weight": Key(
        0.0, "of where tokens go next; 0: off, else model.video.predicts_similarity", 0
    ),
    "loss.similarity_temperature": Key(1.0, "that divides the cosines of features", 1e-6),
    # Of a probe.
    "probe.slots": Key("slots", "folder that `python -m dias_jax.extract` has written"),
    "probe.head": Key(
        "mlp",
        "two layers, as released, or one",
        choices=("mlp", "linear"),
    ),
    "probe.knows_nothing": Key(
        True, "one more class, for slots in use that are in no pair; released: False"
    ),
    "probe.dropout": Key(0.1, "of the hidden layer", 0, 0.99),
    "probe.threshold": Key(
        0.1, "IoU above which a thing and its slot are a pair that counts", 0, 0.99
    ),
    "probe.things": Key(
        "all",
        "which may be in a pair; first_two: of each image, as released",
        choices=("all", "first_two"),
    ),
    "probe.box_weight": Key(1.0, "of the boxes' L1 beside the classes' cross-entropy", 0),
    "probe.held_out": Key(0.1, "share of train on which the best step is chosen", 0, 0.9),
    # Of a probe of properties, which has neither dropout nor a threshold.
    "probe.hidden_layers": Key(1, "of its mlp, of 256 units each", 1, 100),
    "probe.matching": Key(
        "mask",
        "of slots and things: by their masks, or by the probe's loss, which flatters it",
        choices=("mask", "loss"),
    ),
    "probe.standardise": Key(
        False, "slots by their mean and deviation over train; of roll-outs and read-outs"
    ),
    # Of a roll-out of slots into the future (task prediction).
    "rollout.observed": Key(6, "frames before those that it predicts", 1),
    "rollout.window": Key(0, "the last frames that it sees at a time; 0: as many as observed", 0),
    "rollout.predicted": Key(10, "frames that it predicts in training, one from another", 1),
    "rollout.frame_offset": Key(1, "it sees and predicts every so manieth frame", 1),
    "rollout.width": Key(128, "of its Transformer", 2),
    "rollout.layers": Key(4, "of its Transformer", 1),
    "rollout.heads": Key(8, "of its Transformer", 1),
    "rollout.mlp_width": Key(512, "of its Transformer", 1),
    "rollout.pre_norm": Key(True, "norms before the branches, as released, or after them"),
    "rollout.residual": Key(False, "it predicts changes, as published; released code: slots"),
    "rollout.slot_embedding": Key(False, "an embedding of every slot, so that their order matters"),
    "rollout.dropout": Key(0.1, "in training", 0, 0.99),
    "rollout.model": Key(
        "", "name or work directory of the video model that decodes; empty: as extracted"
    ),
    "rollout.features_weight": Key(
        0.0,
        "of the error of what the frozen decoder makes of predicted slots without any token (each "
        "would tell the future), beside that of slots; 0: off, else extract --with_features",
        0,
    ),
    "rollout.decay": Key(1.0, "weight of a predicted frame over that of the one before", 0.01, 1),
    # Of a read-out that answers questions about a video (task reasoning).
    "readout.sees": Key(
        "rolled_out",
        "slots of the observed frames; of these and predicted ones; oracle: of all true ones",
        choices=("observed", "rolled_out", "oracle"),
    ),
    "readout.observed": Key(10, "frames before the question is asked", 1),
    "readout.frames": Key(0, "it looks at the first so many, observed ones too; 0: at all", 0),
    "readout.rollout": Key("", "work directory of the roll-out that predicts the others"),
    "readout.kind": Key(
        "selecting",
        "relation: all pairs of slots, as released; or the two that are asked about, selected",
        choices=("relation", "selecting"),
    ),
    "readout.role_weight": Key(
        0.0,
        "of the loss that tells a selecting one which slots are asked about, by their masks on "
        "observed frames, in training; 0: off",
        0,
    ),
    "readout.width": Key(64, "of what is known of two slots", 1),
    "readout.aggregation": Key("max", "over pairs, of relation", choices=("max", "mean", "sum")),
    # Optimiser.
    "optimizer.learning_rate": Key(
        2e-4, "peak of Adam's; in proportion to the batch size", at_least=0
    ),
    "optimizer.warmup_fraction": Key(0.05, "of the steps, linear from 0", 0, 1),
    "optimizer.final_fraction": Key(1e-3, "of the peak, reached by half a cosine", 0, 1),
    "optimizer.clip_norm": Key(1.0, "global norm of the gradient", at_least=0),
    "optimizer.skip_limit": Key(
        10, "steps without a finite loss and gradient that a run skips before it gives up", 0
    ),
    # Evaluation.
    "evaluation.every": Key(2_500, "steps between evaluations, which save a checkpoint", 1),
    "evaluation.split": Key("validation", "split to evaluate on"),
    "evaluation.batch_size": Key(32, "over all devices and hosts", at_least=1),
    "evaluation.limit": Key(0, "evaluate on the first so many samples; 0: all", at_least=0),
    "evaluation.clip_frames": Key(
        0, "of videos: windows of so many frames, shorter videos are left out; 0: whole videos", 0
    ),
    "evaluation.masks": Key(
        "decoder",
        "whose masks are shown, and decide the best checkpoint",
        choices=("decoder", "aggregator"),
    ),
    "evaluation.pictures": Key(8, "samples drawn into images/step_*.png", at_least=0),
}

# Keys that had another name in older work directories: {before: now}.
RENAMED = {"evaluation.best": "evaluation.masks"}


def get_config():
    """The default config, locked: a new key is a mistake."""
    values = {name: key.default for name, key in KEYS.items()}
    return ConfigDict(unflatten_dict(values, sep=".")).lock()


def released(config):
    """`config` as the released model: nothing is merged and nothing is aggregated again."""
    config.model.reinit.threshold = 0.0
    config.model.reinit.num_iterations = 0
    return config


def of_videos(config, clip_frames):
    """`config` as the published recipe of video models: clips of so many frames, 50k steps of 8."""
    config.model.kind = "video"
    config.data.clip_frames = config.model.video.time_window = clip_frames
    config.steps, config.batch_size = 50_000, 8
    config.optimizer.update(learning_rate=5e-5, clip_norm=0.05)
    config.evaluation.update(every=1_250, batch_size=8, pictures=4)
    return config


def of_recognition(config, variant=""):
    """`config` as the published probe on slots; "released": with its pairs and classes as well.

    Raises UserError on another variant.
    """
    if variant not in ("", "released"):
        raise UserError(f"--config=recognition_...:{variant}: the only variant is :released")
    config.task = "recognition"
    if variant == "released":
        config.probe.update(things="first_two", knows_nothing=False)
    config.optimizer.update(learning_rate=1e-3, clip_norm=1e6)  # in effect no clipping
    config.evaluation.update(every=250, split="held_out")
    return config


def of_prediction(config):
    """`config` as the published roll-out of slots: Adam at 2e-4 without clipping."""
    config.task = "prediction"
    config.optimizer.update(learning_rate=2e-4, final_fraction=1e-2, clip_norm=1e6)
    config.evaluation.update(every=1_000, split="held_out")
    return config


def complete(values):
    """The config of stored values (a nested dict).

    Keys younger than these take their default, and renamed ones their new name.
    """
    flat = {RENAMED.get(name, name): value for name, value in flatten(values).items()}
    config = get_config().unlock()
    config.update(unflatten_dict(flat, sep="."))
    return config.lock()


def flatten(values):
    """{"model.num_slots": 7, ...} of a nested dict or a config."""
    values = values.to_dict() if isinstance(values, ConfigDict) else values
    return flatten_dict(values, sep=".")
