"""Recognition: a probe that reads class and box of a thing off the slot that has found it."""

import functools

import jax
import numpy as np

from data_pipelines import pipeline
from dias_jax import devices
from dias_jax.config.checks import check_config
from dias_jax.downstream.probe import Probe
from dias_jax.downstream.recognition_losses import recognition_objective
from dias_jax.downstream.slot_cache import OF_SPLIT, Part, SlotCache, check_same
from dias_jax.errors import UserError
from dias_jax.evaluation.recognition import evaluate_probe, recognition_protocol

HELD_OUT = "held_out"  # the slice of train on which the best step is chosen


class Recognition:
    """The task of a config with task="recognition"; attributes as of `Discovery`.

    Trained on the train split of an extraction, without the slice on which it is evaluated. Raises
    UserError on a config that cannot be run.
    """

    unit = "images"

    def __init__(self, config):
        check_config(config)
        check_options(config)
        self.config = config
        self.model = build_probe(config.probe, SlotCache(config.probe.slots, "train").header)
        self.loss_fn = functools.partial(
            recognition_objective,
            probe=self.model,
            threshold=config.probe.threshold,
            things=config.probe.things,
            box_weight=config.probe.box_weight,
            axis_name=devices.AXIS if jax.device_count() > 1 else None,
        )
        self.held_out = open_samples(config, HELD_OUT)
        self.protocol = protocol_line(config, HELD_OUT)
        self.train_batches(0)  # what is wrong with the data shows before anything is written

    def train_batches(self, start_step):
        """This host's batches from `start_step` on, without end."""
        return pipeline.shuffled_batches(
            open_samples(self.config, "train"),
            with_replaced,
            self.config.batch_size,
            self.config.seed,
            start_step,
            devices.host_shard(),
            self.config.data.threads,
        )

    def evaluate(self, variables, on_picture):
        """{name: value} of the held-out slice; there are no pictures."""
        return evaluate(self.model, variables, self.held_out, self.config)

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better; -inf where nothing is kept."""
        return metrics["top1"] + metrics["box_iou"] if metrics["pairs"] else -np.inf

    def summary(self, metrics):
        """An evaluation in some lines for the terminal."""
        shown = ("top1", "top3", "box_iou", "pairs", "recall_50", "precision_50", "recognised")
        return [" ".join(f"{name} {metrics[name]:.1f}" for name in shown if name in metrics)]


def check_options(config):
    """Raise UserError on what a probe's run does not do."""
    devices.check_batch_size(config.batch_size, "batch_size")
    if config.accumulation > 1:
        raise UserError(
            f"config.accumulation={config.accumulation}: the mean is over all pairs of a batch, "
            "which a probe takes whole: set it to 1"
        )
    if config.evaluation.split != HELD_OUT:
        raise UserError(
            f'config.evaluation.split="{config.evaluation.split}": the best step of a probe is '
            f'chosen on a slice of train, "{HELD_OUT}"; evaluate --split= reports another split'
        )


def build_probe(options, header):
    """The probe of `config.probe` for the slots that a cache's header tells of."""
    return Probe(header["slot_width"], header["num_classes"], options.head, options.dropout)


def open_samples(config, split):
    """The samples of a split, for random access; of train, what is not held out.

    Raises UserError where a split's slots are not of the same model as those of train.
    """
    train = SlotCache(config.probe.slots, "train")
    size = len(train) - max(round(config.probe.held_out * len(train)), 1)
    if split in ("train", HELD_OUT):
        part = range(size) if split == "train" else range(size, len(train))
        return Part(train, part)
    other = SlotCache(config.probe.slots, split)
    check_same(other.folder, other.header, train.header, OF_SPLIT)
    return other


def evaluate(probe, variables, samples, config):
    """`evaluate_probe` as a whole config has it."""
    count = min(config.evaluation.limit or len(samples), len(samples))
    samples = Part(samples, range(count))
    size = config.evaluation.batch_size
    return evaluate_probe(probe, variables, samples, config.probe, size)


def protocol_line(config, split):
    """The line that belongs next to every number of a split."""
    is_slice = split == HELD_OUT
    header = SlotCache(config.probe.slots, "train" if is_slice else split).header
    return recognition_protocol(header, split, config.probe)


def with_replaced(sample, rng):
    """A sample as it is, and that it stands in for no other."""
    return sample | {"replaced": np.bool_(False)}
