"""What all probes have in common: slots of an extraction, a slice of which is held out."""

import numpy as np

from data_pipelines import pipeline
from dias_jax import devices
from dias_jax.config.checks import check_config
from dias_jax.downstream.slot_cache import OF_SPLIT, Part, SlotCache
from dias_jax.downstream.standardise import Units, units_of
from dias_jax.errors import UserError

MEASURED = 10_000  # samples of train, at most, that decide the units of slots
HELD_OUT = "held_out"  # the slice of train on which the best step is chosen


class ProbeTask:
    """A task that learns from slots in files; attributes as of `Discovery`.

    Trained on the train split of an extraction, without the slice on which it is evaluated. A
    subclass has `model`, `loss_fn` and `protocol`, and evaluates. Raises UserError on a config that
    cannot be run.
    """

    unit = "images"

    def __init__(self, config):
        check_config(config)
        check_options(config)
        self.config = config
        self.held_out = self.open_held_out()
        self.train_batches(0)  # what is wrong with the data shows before anything is written

    def open(self, split):
        """The samples of a split, for random access."""
        return open_samples(self.config, split)

    def open_held_out(self):
        """The samples on which the best step is chosen."""
        return limited(self.open(HELD_OUT), self.config)

    def train_batches(self, start_step):
        """This host's batches from `start_step` on, without end."""
        return pipeline.shuffled_batches(
            self.open("train"),
            with_replaced,
            self.config.batch_size,
            self.config.seed,
            start_step,
            devices.host_shard(),
            self.config.data.threads,
        )


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


def open_samples(config, split, train_split="train"):
    """The samples of a split, for random access; of "train", what is not held out.

    train_split: the split that is trained on. Raises UserError where a split's slots are not of the
    same model as those.
    """
    train = SlotCache(config.probe.slots, train_split)
    if split in ("train", HELD_OUT):
        size = learnt_from(train, config.probe.held_out)
        part = range(size) if split == "train" else range(size, len(train))
        return Part(train, part)
    other = SlotCache(config.probe.slots, split)
    SlotCache.check_same(other.folder, other.header, train.header, OF_SPLIT)
    return other


def learnt_from(samples, share):
    """How many samples of train are learnt from, those before the held-out share at its end.

    That share has whole clips, all views of an image and all windows of a video. Raises UserError
    where it is all there is.
    """
    header = samples.header
    unit = header["clip_frames"] * max(header["views"], 1)
    size = len(samples) - max(round(share * len(samples) / unit), 1) * unit
    if header["window"]:
        while size and samples[size - 1]["video"] == samples[size]["video"]:
            size -= unit
    if not size:
        raise UserError(
            f"{samples.folder}: nothing is left to learn from beside what is held out: extract more"
        )
    return size


def limited(samples, config):
    """The first `evaluation.limit` samples, or all."""
    return Part(samples, range(min(config.evaluation.limit or len(samples), len(samples))))


def header_of(config, split, train_split="train"):
    """The header of the slots of a split."""
    name = train_split if split in ("train", HELD_OUT) else split
    return SlotCache(config.probe.slots, name).header


def with_replaced(sample, rng):
    """A sample as it is, and that it stands in for no other."""
    return sample | {"replaced": np.bool_(False)}


def units_for(config, train_split="train"):
    """The Units in which slots are learnt from: those of the train split, or as they are."""
    if not config.probe.standardise:
        return Units()
    samples = open_samples(config, "train", train_split)
    # Evenly over the split, so that all frames of clips and all views count.
    numbers = np.linspace(0, len(samples) - 1, min(MEASURED, len(samples))).astype(int)
    measured = [samples[i] for i in numbers]
    return units_of(*(np.stack([x[name] for x in measured]) for name in ("slots", "slot_mask")))
