"""How the cost of a training step grows: with slots, with tokens, with devices on the same cores.

python -m dias_jax.experiments.benchmarks.growth [--images=8] [--repeats=5] [--out=growth.png]

The published recipe of images on random weights and images, on a CPU, in float32. All steps take
turns, and each is compared with the plain one of the same turn, so that other work on the machine
disturbs little. CPU seconds are work; seconds tell how well the cores are used as well.
"""

import itertools
import time

import jax
import matplotlib.pyplot as plt
import numpy as np
from absl import flags

from dias_jax.cli import run
from dias_jax.config import defaults
from dias_jax.pictures.tables import markdown_table

from .timed_steps import prepare_training, random_batch

DEVICES = 8  # virtual ones
PLAIN = "7 slots, 256 tokens, 1 device"
# {what grows: (changes of the config, devices, the ratio that is aimed at)}
GROWN = {
    "24 slots": ({"model.num_slots": 24}, 1, 1.05),
    "576 tokens": ({"data.image_size": 384, "model.decoder.num_tokens": 576}, 1, 2.6),
    f"{DEVICES} devices": ({}, DEVICES, 1.1),
}

IMAGES = flags.DEFINE_integer("images", DEVICES, f"of a step, a multiple of {DEVICES}", 1)
REPEATS = flags.DEFINE_integer("repeats", 5, "turns", 1)
OUT = flags.DEFINE_string("out", None, "PNG of a plot")


def prepare_step(changes, num_devices):
    """A function that takes one training step of a changed config on one or all devices."""
    config = defaults.get_config()
    config.update_from_flattened_dict(changes)
    config.model.backbone.weights, config.batch_size = "random", IMAGES.value
    batches = itertools.repeat(random_batch(config))
    return prepare_training(config, batches, is_split=num_devices > 1)


def cost_of(function):
    """CPU seconds and seconds of one call."""
    start = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - start[0], time.perf_counter() - start[1]


def measure():
    """Ratios of each turn to the plain step: -> {what grows: (turns, 2)}, CPU seconds first."""
    functions = {PLAIN: prepare_step({}, 1)}
    functions |= {name: prepare_step(*how) for name, (*how, _) in GROWN.items()}
    for function in functions.values():
        function()  # compiles
    turns = [
        {n: cost_of(function) for n, function in functions.items()} for _ in range(REPEATS.value)
    ]
    return {name: np.array([np.divide(t[name], t[PLAIN]) for t in turns]) for name in GROWN}


def draw(ratios, path):
    """Ratios of the CPU seconds: median, range over the turns, and what is aimed at."""
    figure, axes = plt.subplots(figsize=(4.5, 2.6), layout="constrained")
    for place, (name, (*_, aim)) in enumerate(GROWN.items()):
        work = ratios[name][:, 0]
        axes.bar(place, np.median(work), 0.6, color="#4c78a8")
        axes.plot([place, place], [work.min(), work.max()], color="black")
        axes.plot([place - 0.4, place + 0.4], [aim, aim], "--", color="#e45756")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(GROWN)), GROWN)
    axes.set_ylabel("CPU seconds of a step,\nrelative to the plain one")
    figure.savefig(path, dpi=100)


def main(arguments):
    """Print a table, and draw it."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    ratios = measure()
    rows = []
    for name, (*_, aim) in GROWN.items():
        cells = [f"{np.median(x):.2f} ({x.min():.2f} to {x.max():.2f})" for x in ratios[name].T]
        rows.append([name, *cells, f"{aim:g}"])
    titles = f"instead of {PLAIN}", "CPU seconds", "seconds", "aim"
    print(f"{IMAGES.value} images a step, {REPEATS.value} turns; ratios, median and range\n")
    print(markdown_table(titles, rows))
    if OUT.value:
        draw(ratios, OUT.value)


if __name__ == "__main__":
    run(main)
