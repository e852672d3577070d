"""Prediction: slots of the next frames from those of the last ones."""

import functools

import numpy as np
from ml_collections import ConfigDict

from dias_jax import devices
from dias_jax.downstream.rollout_losses import rollout_objective
from dias_jax.downstream.slot_clips import SlotClips
from dias_jax.downstream.slotformer import SlotFormer
from dias_jax.errors import UserError
from dias_jax.evaluation import futures
from dias_jax.evaluation.extraction import decisive_digest
from dias_jax.evaluation.prediction import (
    observed_frames,
    predict_clips,
    prediction_protocol,
    summarize,
)
from dias_jax.evaluation.split import open_evaluation, read_evaluation
from dias_jax.runs.checkpoints import digests
from dias_jax.runs.trained_model import open_by_name, restore
from dias_jax.tasks.probing import (
    HELD_OUT,
    ProbeTask,
    header_of,
    limited,
    open_samples,
    units_for,
)


class Prediction(ProbeTask):
    """The task of a config with task="prediction".

    Trained on windows of videos, from every frame on; evaluated on whole ones.
    """

    unit = "windows"

    def __init__(self, config):
        check_frames(config)
        options = config.rollout
        decode = frozen_decoder(config) if options.features_weight else None
        super().__init__(config)
        self.model = build_rollout(config)
        self.loss_fn = functools.partial(
            rollout_objective,
            model=self.model,
            num_steps=options.predicted,
            decay=options.decay,
            features_weight=options.features_weight,
            decode=decode,
            axis_name=devices.axis_name(),
        )
        self.protocol = protocol_line(config, HELD_OUT)

    def open(self, split):
        """Windows of the train split, whole videos of the others."""
        if split != "train":
            return open_clips(self.config, split)
        options, frames = self.config.rollout, header_of(self.config, split)["clip_frames"]
        samples, length = open_samples(self.config, split), seen_frames(options) + options.predicted
        targets = options.predicted if options.features_weight else 0
        return SlotClips(samples, frames, length, options.frame_offset, True, targets)

    def evaluate(self, variables, on_picture):
        """{name: value} of the held-out slice; there are no pictures."""
        options, size = self.config.rollout, self.config.evaluation.batch_size
        return summarize(predict_clips(self.model, variables, self.held_out, options, size))

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better."""
        return -metrics["roll_out/error"]

    def summary(self, metrics):
        """An evaluation in a line for the terminal."""
        return [" ".join(f"{name} {value:.3f}" for name, value in metrics.items())]


def check_past(config, header):
    """Raise UserError where slots of first frames know of later ones, or are of random views."""
    if header["reduce_at"] == "clip" and header["representation"] == "slots":
        raise UserError(
            f"config.probe.slots={config.probe.slots}: slots that merge by the whole clip know of "
            'its end: extract those of a model with model.video.reduce_at="first" or "every"'
        )
    if header["views"]:
        raise UserError(
            f"config.probe.slots={config.probe.slots} holds random views, which cannot be "
            "compared with videos: extract without --views"
        )


def check_frames(config, split="train"):
    """Raise UserError where a split's videos are too short for what is observed and predicted."""
    header, options = header_of(config, split), config.rollout
    check_past(config, header)
    if header["min_frames"] < header["clip_frames"]:
        raise UserError(
            f"{config.probe.slots}/{header['split']} has videos of {header['min_frames']} to "
            f"{header['clip_frames']} frames: extract windows, --config.evaluation.clip_frames=N"
        )
    span = observed_frames(options) + 1
    if split == "train":
        whole = 1 + (options.observed + options.predicted - 1) * options.frame_offset
        span = max(span, whole)
    if header["clip_frames"] < span:
        raise UserError(
            f"{config.probe.slots}/{header['split']} has clips of {header['clip_frames']} frames, "
            f"{span} are observed and predicted: extract slots of longer ones, or lower "
            "config.rollout.observed or predicted"
        )
    if options.window > options.observed:
        raise UserError(
            f"config.rollout.window={options.window}: no more than the "
            f"{options.observed} observed frames can be seen"
        )
    if options.width % options.heads:
        raise UserError(
            f"config.rollout.heads={options.heads} does not divide config.rollout.width="
            f"{options.width}"
        )
    if options.width % 2:
        raise UserError(
            f"config.rollout.width={options.width}: must be even, half of it marks time by sines"
        )


def seen_frames(options):
    """How many frames a roll-out sees at a time; options: `config.rollout`."""
    return options.window or options.observed


def open_clips(config, split):
    """SlotClips of the whole videos of a split."""
    return SlotClips(open_samples(config, split), header_of(config, split)["clip_frames"])


def build_rollout(config):
    """The SlotFormer of a config for the slots that it is trained on."""
    options, header = config.rollout, header_of(config, "train")
    return SlotFormer(
        slot_width=header["slot_width"],
        window=seen_frames(options),
        width=options.width,
        layers=options.layers,
        heads=options.heads,
        mlp_width=options.mlp_width,
        dropout=options.dropout,
        pre_norm=options.pre_norm,
        num_embedded=header["num_slots"] if options.slot_embedding else 0,
        residual=options.residual,
        units=units_for(config),
    )


def protocol_line(config, split):
    """The line that belongs next to every number of a split."""
    return prediction_protocol(header_of(config, split), split, config.rollout)


def report(config, workdir, split, checkpoint):
    """What a trained roll-out reaches on a split of its slots, for a printed line: -> dict.

    Errors of all steps are lists; so are "curves", where slots are a model's: masks and centres
    that it decodes from them, and from what they are compared with, for every predicted frame.
    """
    check_frames(config)
    check_frames(config, split)
    clips = limited(open_clips(config, split), config)
    trained = restore(workdir, config, build_rollout(config), checkpoint)
    size = config.evaluation.batch_size
    errors = predict_clips(trained.model, trained.variables, clips, config.rollout, size)
    metrics = summarize(errors) | {f"{name}/errors": x.tolist() for name, x in errors.items()}
    curves = {}
    if header_of(config, split)["representation"] == "slots":
        curves = score_decoded(config, trained, split, len(clips))
        metrics |= futures.half_lives(curves)
    return {
        "metrics": metrics,
        "curves": {name: rounded(values) for name, values in curves.items()},
        "protocol": protocol_line(config, split),
        "step": trained.step,
        "num_samples": len(clips),
    }


def rounded(values):
    """Values (K,) as a list, None where there is none."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def score_decoded(config, trained, split, count):
    """`futures.score_futures` of a split's first `count` videos; {} where there are no masks."""
    video, video_config = open_decoder(config, split)
    name, first = place_of(config, split)
    num_masks = open_evaluation(video_config, name).num_masks
    if not num_masks:
        return {}
    batches = read_evaluation(video_config, name, first, first + count)
    variables = video.variables, trained.variables
    sizes = num_masks, observed_frames(config.rollout)
    return futures.score_futures(
        video.model, trained.model, variables, batches, video_config, *sizes
    )


def place_of(config, split):
    """Where the videos of a split are: -> name of a split that was extracted, the first's number.

    The held-out slice is at the end of train.
    """
    if split != HELD_OUT:
        return split, 0
    frames = header_of(config, split)["clip_frames"]
    return "train", len(open_samples(config, "train")) // frames


def frozen_decoder(config):
    """The decoder of the video model that slots are of: slots, slot_mask -> features (B, N, C).

    It sees no token, and its parameters are constants. Raises UserError as `open_video` does, and
    where no features are there to compare with.
    """
    header = header_of(config, "train")
    video = open_video(config, header)
    if not header.get("features"):
        raise UserError(
            f"config.rollout.features_weight={config.rollout.features_weight}: "
            f"{config.probe.slots}/train holds no features: extract --with_features into another "
            "folder, or set it to 0"
        )
    variables = {"params": video.variables["params"]}
    return lambda *slots: video.model.apply(variables, *slots, method="imagine")[0]


def open_video(config, header):
    """The video model that the slots of a header are of: -> TrainedModel.

    Raises UserError where it is not there, or another, or what is predicted are no slots.
    """
    if header["representation"] != "slots":
        raise UserError(
            f"config.probe.slots={config.probe.slots} holds {header['representation']}, which no "
            "decoder draws: evaluate says how well they are predicted"
        )
    name = config.rollout.model or header["model"]
    try:
        video = open_by_name(name)
    except UserError as error:
        raise UserError(
            f"{error}; name the video model that the slots are of, --config.rollout.model="
        ) from error
    if digests({"all": video.variables})["all"] != header["parameters"]:
        raise UserError(
            f"{name} is not the model that the slots are of: name it, --config.rollout.model="
        )
    return video


def open_decoder(config, split):
    """The video model that slots are of, and its config with data and roll-out of `config`.

    Raises UserError as `open_video` does, and where slots were extracted with other settings.
    """
    header = header_of(config, split)
    video = open_video(config, header)
    values = video.config.to_dict()
    values["seed"] = header["seed"]
    values["rollout"] = config.rollout.to_dict()
    values["data"] |= {"data_dir": config.data.data_dir, "threads": config.data.threads}
    values["data"] |= {"name": header["data"], "image_size": header["image_size"]}
    values["data"]["seed"] = header["data_seed"]
    size = config.evaluation.batch_size
    values["evaluation"] |= {"clip_frames": header["window"], "batch_size": size}
    video_config = ConfigDict(values)
    if decisive_digest(video_config) != header["config"]:
        raise UserError(
            f"{config.probe.slots}: these slots were extracted with other --config values than "
            "their model was trained with: extract without, to have what is predicted decoded"
        )
    return video, video_config
