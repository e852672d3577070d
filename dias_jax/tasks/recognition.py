"""Recognition: a probe that reads class and box of a thing off the slot that has found it."""

import functools

import numpy as np

from dias_jax import devices
from dias_jax.downstream.probe import Probe
from dias_jax.downstream.recognition_losses import recognition_objective
from dias_jax.evaluation.recognition import (
    majority_share,
    read_split,
    recognition_protocol,
    score_reading,
)
from dias_jax.runs.trained_model import restore
from dias_jax.tasks.probing import HELD_OUT, ProbeTask, header_of, limited, open_samples


class Recognition(ProbeTask):
    """The task of a config with task="recognition"."""

    def __init__(self, config):
        super().__init__(config)
        self.model = build_probe(config)
        self.loss_fn = functools.partial(
            recognition_objective,
            probe=self.model,
            threshold=config.probe.threshold,
            things=config.probe.things,
            box_weight=config.probe.box_weight,
            axis_name=devices.axis_name(),
        )
        self.protocol = protocol_line(config, HELD_OUT)

    def evaluate(self, variables, on_picture):
        """{name: value} of the held-out slice; there are no pictures."""
        size = self.config.evaluation.batch_size
        return score_reading(
            read_split(self.model, variables, self.held_out, self.config.probe, size)
        )

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better; -inf where nothing is kept."""
        return metrics["top1"] + metrics["box_iou"] if metrics["pairs"] else -np.inf

    def summary(self, metrics):
        """An evaluation in some lines for the terminal."""
        shown = ("top1", "top3", "box_iou", "pairs", "recall_50", "precision_50", "recognised")
        shown += ("ap_50", "ap")
        return [" ".join(f"{name} {metrics[name]:.1f}" for name in shown if name in metrics)]


def build_probe(config):
    """The probe of a config for the slots that it is trained on."""
    options, header = config.probe, header_of(config, "train")
    sizes = header["slot_width"], len(header["class_names"])
    return Probe(*sizes, options.knows_nothing, options.head, options.dropout)


def protocol_line(config, split):
    """The line that belongs next to every number of a split."""
    return recognition_protocol(header_of(config, split), split, config.probe)


def open_reading(config, workdir, split, checkpoint):
    """What the probe of a work directory says of a split of its slots: -> Reading, its step."""
    probe, samples = build_probe(config), limited(open_samples(config, split), config)
    trained = restore(workdir, config, probe, checkpoint)
    size = config.evaluation.batch_size
    return read_split(probe, trained.variables, samples, config.probe, size), trained.step


def report(config, workdir, split, checkpoint):
    """What a trained probe reaches on a split of its slots, for a printed line: -> dict.

    Beside `score_reading`, how often the most frequent class is right ("majority_top1").
    """
    reading, step = open_reading(config, workdir, split, checkpoint)
    majority = majority_share(reading, open_samples(config, "train"), config.probe)
    return {
        "metrics": score_reading(reading) | {"majority_top1": majority},
        "protocol": protocol_line(config, split),
        "step": step,
        "num_samples": len(reading.is_kept),
    }
