"""Properties: a probe that reads what a thing is like off a slot."""

import functools

import numpy as np

from dias_jax import devices
from dias_jax.downstream.property_losses import property_objective
from dias_jax.downstream.property_probe import PropertyProbe
from dias_jax.errors import UserError
from dias_jax.evaluation.properties import MATCHINGS, evaluate_probe, property_protocol
from dias_jax.runs.trained_model import restore
from dias_jax.tasks.probing import HELD_OUT, ProbeTask, header_of, limited, open_samples


class PropertyPrediction(ProbeTask):
    """The task of a config with task="properties"."""

    def __init__(self, config):
        super().__init__(config)
        self.model = build_probe(config)
        self.loss_fn = functools.partial(
            property_objective,
            probe=self.model,
            matching=config.probe.matching,
            axis_name=devices.axis_name(),
        )
        self.protocol = protocol_line(config, HELD_OUT)

    def evaluate(self, variables, on_picture):
        """{name: value} of the held-out slice; there are no pictures."""
        size = self.config.evaluation.batch_size
        return evaluate_probe(self.model, variables, self.held_out, size)

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better; -inf where nothing matches."""
        return -metrics.get(f"{self.config.probe.matching}/loss", np.inf)

    def summary(self, metrics):
        """An evaluation in some lines for the terminal, one for each matching."""
        return [
            " ".join(f"{name} {value:.2f}" for name, value in metrics.items() if matching in name)
            for matching in (f"{name}/" for name in MATCHINGS)
        ]


def build_probe(config):
    """The probe of a config for the slots that it is trained on.

    Raises UserError where the slots' data set tells no properties.
    """
    options, header = config.probe, header_of(config, "train")
    kinds, numbers = header["kinds"], header["numbers"]
    if not kinds and not numbers:
        raise UserError(
            f"config.probe.slots={options.slots}: {header['data']} tells no properties of its "
            "things, or was prepared or extracted before it did: take shapes or clevrtex, anew"
        )
    mean, deviation = spread(open_samples(config, "train")) if numbers else ((), ())
    num_hidden = 0 if options.head == "linear" else options.hidden_layers
    layout = tuple(kinds.items()), tuple(numbers.items())
    return PropertyProbe(header["slot_width"], *layout, mean, deviation, num_hidden)


def spread(samples):
    """Mean and standard deviation of the numbers of all things: -> two tuples of Q floats.

    Raises UserError where there is no thing.
    """
    read = (samples[i] for i in range(len(samples)))
    numbers = np.concatenate([sample["numbers"][sample["classes"] >= 0] for sample in read])
    if not len(numbers):
        raise UserError("config.probe.slots: no image of the train split has a thing")
    deviation = numbers.std(0, dtype=np.float64)
    deviation = np.where(deviation > 0, deviation, 1)  # of what is the same everywhere
    return tuple(numbers.mean(0, dtype=np.float64).tolist()), tuple(deviation.tolist())


def protocol_line(config, split):
    """The line that belongs next to every number of a split."""
    return property_protocol(header_of(config, split), split, config.probe)


def report(config, workdir, split, checkpoint):
    """What a trained probe reaches on a split of its slots, for a printed line: -> dict."""
    probe, samples = build_probe(config), limited(open_samples(config, split), config)
    trained = restore(workdir, config, probe, checkpoint)
    size = config.evaluation.batch_size
    return {
        "metrics": evaluate_probe(probe, trained.variables, samples, size),
        "protocol": protocol_line(config, split),
        "step": trained.step,
        "num_samples": len(samples),
    }
