"""Images per second, measured in turn in one process, and peak memory, each in its own."""

import dataclasses
import itertools
import os
import time

import jax
import numpy as np

from dias_jax.compare import our_speed
from dias_jax.compare.memory import measure_peak
from dias_jax.compare.report import Section, Table
from dias_jax.compare.speed_plot import plot_memory, plot_ratios

HEADER = [
    "pass",
    "dtype",
    "batch",
    "images/s, ours",
    "images/s, reference",
    "ratio (smallest to largest)",
    "peak GiB, ours",
    "peak GiB, reference",
]
STEPS_PER_TIMING = {"cpu": 1, "gpu": 10, "tpu": 10}  # an accelerator is not waited for each step
SPEED_TEXT = """A ratio above one means that ours is faster. The two take turns in one process, so
that what else the machine does meets both; speeds are of the median time, the ratio is the median
of those of each turn. Where others use the processor too, the spread is large and PyTorch's
threads, which wait for each other, lose most: measure on an idle machine. A training step is
forward, losses, backward, clipping and Adam; evaluation is forward and segmentation. Ours takes
images in parts, as it does by default: four on a CPU, 32 on a TPU. They are in
memory.""".replace("\n", " ")
MEMORY_TEXT = """Peak memory is measured for each line and each implementation in a process of its
own. On a CPU: resident memory at the peak of two steps, less that before weights were handed over,
so weights, optimiser, intermediate results and programs count, libraries do not. On a GPU: what
the implementation's own allocator has handed out at most; XLA's includes what it takes to choose
programs.""".replace("\n", " ")
HALF_TEXT = """bfloat16 of the reference is PyTorch's autocast: bfloat16 on a CPU, on a GPU float16
with loss scaling, as it is trained.""".replace("\n", " ")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one line of the table is made of."""

    name: str  # of the pass
    dtype: str
    batch_size: int
    seconds: np.ndarray  # (2, repeats), of a step: ours, reference
    peaks: tuple  # (2) bytes or None

    @property
    def ratios(self):
        """How much faster ours was in each turn: (repeats,)."""
        return self.seconds[1] / self.seconds[0]

    def cells(self):
        """A row of the table."""
        speeds = self.batch_size / np.median(self.seconds, axis=1)
        ratios = self.ratios
        return [
            self.name,
            self.dtype,
            str(self.batch_size),
            *(f"{speed:.2f}" for speed in speeds),
            f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
            *("not measured" if peak is None else f"{peak / 2**30:.2f}" for peak in self.peaks),
        ]


def compare_speed(pair, dtypes, batch_sizes, repeats, trace=None):
    """Section of speed and memory of all passes, dtypes and batch sizes.

    `trace`: a directory for a profile of ours.
    """
    measured = []
    for dtype, name, batch_size in itertools.product(dtypes, our_speed.PASSES, batch_sizes):
        measured.append(measure(name, pair, dtype, batch_size, repeats, trace))
        told = zip(HEADER, measured[-1].cells(), strict=True)  # at once: the others may take long
        print(", ".join(f"{title}: {cell}" for title, cell in told), flush=True)
    figures = [
        ("Speed: ratio over batch size; bars from the smallest to the largest", plot_ratios),
        ("Peak memory over batch size", plot_memory),
    ]
    texts = [SPEED_TEXT, MEMORY_TEXT] + [HALF_TEXT] * ("bfloat16" in dtypes)
    return Section(
        "Speed",
        "\n\n".join(texts),
        [Table(HEADER, [line.cells() for line in measured])],
        [(caption, plot(measured)) for caption, plot in figures],
    )


def measure(name, pair, dtype, batch_size, repeats, trace):
    """One pass at one batch size: -> Measurement."""
    from dias_jax.compare.reference import speed  # needs torch

    # First, while this process has nothing on the device.
    who = "ours", "reference"
    peaks = tuple(measure_peak(each, name, pair, dtype, batch_size) for each in who)
    case = pair.case(dtype, batch_size, 1)
    ours = our_speed.PASSES[name](case)
    theirs = speed.prepare(name, case, pair.theirs(case), dtype)
    seconds = take_turns([ours, theirs], repeats, STEPS_PER_TIMING[jax.default_backend()])
    if trace:
        with jax.profiler.trace(os.path.join(trace, f"{name}_{dtype}_{batch_size}")):
            ours(3)
    return Measurement(name, dtype, batch_size, seconds, peaks)


def take_turns(runs, repeats, count):
    """Seconds of one step of each of `runs`, after a warm-up: (2, repeats)."""
    for run in runs:
        run(count)
    seconds = np.zeros((len(runs), repeats))
    for repeat in range(repeats):
        for index, run in enumerate(runs):
            start = time.perf_counter()
            run(count)
            seconds[index, repeat] = (time.perf_counter() - start) / count
    return seconds
