"""Curves of several runs side by side.

python -m dias_jax.experiments.studies.curves --out=FILE.png RUN...

Each RUN is a work directory; its name is the label. Left the training loss, right ARI, FG-ARI,
mBO and mIoU (mean of the four) of the held-out split for both kinds of masks.
"""

import json
import pathlib

import matplotlib.pyplot as plt
from absl import flags

from dias_jax.cli import require, run
from dias_jax.errors import UserError
from dias_jax.metrics import METRICS
from dias_jax.runs.writers import FILE_NAME
from dias_jax.segmentation import MASKS

OUT = flags.DEFINE_string("out", None, "picture to write")


def read_lines(workdir):
    """All lines of a run's metrics.jsonl."""
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.is_file():
        raise UserError(f"{path} does not exist: name work directories of training runs")
    return [json.loads(line) for line in path.read_text().splitlines()]


def draw(axes, workdir, colour):
    """Add one run to both plots."""
    name, lines = pathlib.Path(workdir).name, read_lines(workdir)
    train = [line for line in lines if line["split"] == "train"]
    held_out = [line for line in lines if line["split"] != "train"]
    axes[0].plot(
        [line["step"] for line in train],
        [line["values"]["reconstruction"] for line in train],
        color=colour,
        label=name,
    )
    for masks, style in zip(MASKS, ("-", "--")):
        means = [
            sum(line["values"][f"{masks}/{metric}"] for metric in METRICS) / len(METRICS)
            for line in held_out
        ]
        label = f"{name}, {masks} masks"
        axes[1].plot([line["step"] for line in held_out], means, style, color=colour, label=label)


def main(arguments):
    """Draw the runs named on the command line."""
    require("out")
    if len(arguments) < 2:
        raise UserError("name at least one work directory (see --help)")
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for number, workdir in enumerate(arguments[1:]):
        draw(axes, workdir, f"C{number}")
    axes[0].set(xlabel="step", ylabel="reconstruction loss (training)", yscale="log")
    axes[1].set(xlabel="step", ylabel="mean of the four metrics (%)")
    for axis in axes:
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.savefig(OUT.value, dpi=120)
    print(OUT.value)


if __name__ == "__main__":
    run(main, takes_words=True)
