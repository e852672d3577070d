"""Reasoning: answers to questions about the future, read off slots of the past and predictions."""

import functools
from typing import Any, NamedTuple

from data_pipelines.sources import ASKED_AFTER
from dias_jax.downstream.readout import RelationReadout, SelectingReadout, answer_objective
from dias_jax.downstream.slot_clips import SlotClips
from dias_jax.downstream.slotformer import SlotFormer
from dias_jax.errors import UserError, named
from dias_jax.evaluation import reasoning
from dias_jax.runs.config_file import load_config
from dias_jax.runs.trained_model import restore
from dias_jax.tasks.prediction import build_rollout, check_past, seen_frames
from dias_jax.tasks.probing import (
    HELD_OUT,
    ProbeTask,
    header_of,
    limited,
    open_samples,
    units_for,
)

TRAIN = "readout"  # the split that read-outs learn from, which roll-outs have not seen


class Reasoning(ProbeTask):
    """The task of a config with task="reasoning"."""

    unit = "videos"

    def __init__(self, config):
        check_frames(config)
        self.rollout = open_rollout(config)
        self.train_clips = open_seen(config, "train", self.rollout)
        super().__init__(config)
        self.model = build_readout(config)
        check_roles(config, self.train_clips)
        weight = config.readout.role_weight
        self.loss_fn = functools.partial(answer_objective, model=self.model, role_weight=weight)
        self.protocol = protocol_line(config, HELD_OUT, self.rollout)

    def open(self, split):
        """Clips as the read-out sees them; those of training once."""
        if split == "train":
            return self.train_clips
        return open_seen(self.config, split, self.rollout)

    def open_held_out(self):
        """As `open`, which knows the limit."""
        return self.open(HELD_OUT)

    def evaluate(self, variables, on_picture):
        """{name: value} of the held-out slice; there are no pictures."""
        size = self.config.evaluation.batch_size
        logits = reasoning.answer(self.model, variables, self.held_out, size)
        names = scenarios(self.config, HELD_OUT)
        return reasoning.score_answers(logits, self.held_out.data, names)

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better."""
        return metrics["accuracy"]

    def summary(self, metrics):
        """An evaluation in a line for the terminal."""
        shown = [name for name in metrics if name.startswith("accuracy")]
        return [" ".join(f"{name} {metrics[name]:.1f}" for name in shown)]


def scenarios(config, split):
    """Names of the scenarios of a split's videos, often none."""
    return header_of(config, split, TRAIN).get("scenarios") or ()


def check_frames(config, split="train"):
    """Raise UserError where what is observed is not what is asked about, or tells the answer."""
    header, options = header_of(config, split, TRAIN), config.readout
    check_past(config, header)
    length = header["clip_frames"]
    if header["window"]:
        raise UserError(
            f"config.probe.slots={config.probe.slots} has windows of {length} frames, but what is "
            "asked is asked of whole videos: extract with --config.evaluation.clip_frames=0"
        )
    asked_after = ASKED_AFTER.get(header["data"], options.observed)
    if options.observed != asked_after:
        raise UserError(
            f"config.readout.observed={options.observed}: what is asked about {header['data']} is "
            f"asked after {asked_after} frames: set it to {asked_after}"
        )
    if length <= options.observed:
        raise UserError(
            f"config.readout.observed={options.observed}: videos have {length} frames, and some "
            "must be left to be asked about"
        )
    if options.frames and not options.observed < options.frames <= length:
        raise UserError(
            f"config.readout.frames={options.frames}: must be 0, or more than the "
            f"{options.observed} observed frames and at most all {length}"
        )


def check_roles(config, clips):
    """Raise UserError where who is asked about shall be told, but cannot be."""
    options = config.readout
    if not options.role_weight:
        return
    if options.kind != "selecting":
        raise UserError(
            f'config.readout.role_weight={options.role_weight}: only readout.kind="selecting" '
            "selects slots: set it to 0"
        )
    if "roles" not in clips.data:
        raise UserError(
            f"config.readout.role_weight={options.role_weight}: {config.probe.slots}/{TRAIN} does "
            "not tell who is asked about: extract it anew into another folder, or set it to 0"
        )


def open_seen(config, split, rollout):
    """SeenClips of a split; rollout: that of `open_rollout`.

    Raises UserError where nothing is asked about its videos.
    """
    samples, header = open_samples(config, split, TRAIN), header_of(config, split, TRAIN)
    if not header["questions"]:
        raise UserError(
            f"config.probe.slots={config.probe.slots}: nothing is asked about the videos of "
            f"{header['data']} {header['split']}: take readout or test of bouncing or physion"
        )
    clips = SlotClips(samples, header["clip_frames"])
    size = config.evaluation.batch_size
    clips = clips if split == "train" else limited(clips, config)
    return reasoning.SeenClips(clips, config.readout, rollout, size)


class Rollout(NamedTuple):
    """A trained roll-out."""

    model: SlotFormer
    variables: Any
    frame_offset: int
    step: int


def open_rollout(config):
    """The Rollout that a config names; None: it needs none.

    Raises UserError where it is not there, or was trained on other slots.
    """
    options = config.readout
    if options.sees != "rolled_out":
        return None
    if not options.rollout:
        raise UserError(
            'config.readout.sees="rolled_out" needs a roll-out: '
            "--config.readout.rollout=WORKDIR of a run of prediction_..."
        )
    setting = f"config.readout.rollout={options.rollout}"
    with named(setting):
        trained_config = load_config(options.rollout)
    if trained_config.task != "prediction":
        raise UserError(f"{setting} is no run of prediction_...: name one")
    theirs, ours = header_of(trained_config, "train"), header_of(config, "train", TRAIN)
    for name in ("parameters", "config", "representation"):
        if theirs[name] != ours[name]:
            raise UserError(
                f"{options.rollout} predicts slots of another {name}, {theirs[name]} and not "
                f"{ours[name]}: extract both from one model"
            )
    needed = seen_frames(trained_config.rollout) * trained_config.rollout.frame_offset
    if needed > options.observed:
        raise UserError(
            f"config.readout.observed={options.observed}: {options.rollout} predicts from {needed} "
            "frames: observe as many, or train one with a smaller config.rollout.observed"
        )
    with named(setting):
        trained = restore(options.rollout, trained_config, build_rollout(trained_config), "best")
    offset = trained_config.rollout.frame_offset
    return Rollout(trained.model, trained.variables, offset, trained.step)


def build_readout(config):
    """The read-out of a config for the slots that it is trained on."""
    options, width = config.readout, header_of(config, "train", TRAIN)["slot_width"]
    units = units_for(config, TRAIN)
    if options.kind == "selecting":
        return SelectingReadout(width, options.width, units)
    return RelationReadout(width, options.width, options.aggregation, units)


def protocol_line(config, split, rollout):
    """The line that belongs next to every number of a split; rollout as of `open_seen`."""
    name = f"{TRAIN} (but for what is held out)" if split == "train" else split
    line = reasoning.reasoning_protocol(header_of(config, split, TRAIN), name, config.readout)
    if rollout is None:
        return line
    return f"{line}; predicted by {config.readout.rollout}, step {rollout.step}"


def report(config, workdir, split, checkpoint):
    """What a trained read-out reaches on a split, for a printed line: -> dict.

    Raises UserError on the split that it has learned from.
    """
    if split == TRAIN:
        raise UserError(
            f"--split={TRAIN} is what this read-out has learned from: take test, or {HELD_OUT}"
        )
    check_frames(config)
    check_frames(config, split)
    rollout, size = open_rollout(config), config.evaluation.batch_size
    trained = restore(workdir, config, build_readout(config), checkpoint)
    parts = [open_seen(config, name, rollout) for name in (HELD_OUT, split)]
    held_out, asked = (
        (reasoning.answer(trained.model, trained.variables, part, size), part.data["answers"])
        for part in parts
    )
    metrics = reasoning.score_answers(asked[0], parts[-1].data, scenarios(config, split))
    return {
        "metrics": metrics | reasoning.score_at_chosen(*asked, held_out),
        "protocol": protocol_line(config, split, rollout),
        "step": trained.step,
        "num_samples": len(parts[-1]),
    }
