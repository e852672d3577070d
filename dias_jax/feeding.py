"""Batches on the devices before they are asked for."""

import concurrent.futures
import itertools

import jax
import numpy as np

from dias_jax import devices

MAX_PROCESSES = 16
WORTH_IT = 4  # cores: fewer are busy with the program itself


def reading_processes(wanted):
    """How many processes read training samples; wanted: config.data.processes, -1: as is best.

    A CPU that computes needs its cores, and draws and decodes less than it learns from.
    """
    if wanted >= 0:
        return wanted
    cores = devices.cpu_threads()
    is_awaited = jax.default_backend() != "cpu" and cores >= WORTH_IT
    return min(cores - 1, MAX_PROCESSES) if is_awaited else 0


def ahead(batches, axis=0):
    """Each of `batches` and its copy on the devices, split along `axis`: yields (batch, copy).

    A thread reads and copies the next one meanwhile. What reading raises is raised when that batch
    would have its turn. To be closed where it is not read to its end.
    """
    batches = iter(batches)

    def read():
        batch = next(batches, None)
        return batch if batch is None else (batch, devices.spread(batch, axis))

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(read)
        while (fed := coming.result()) is not None:
            coming = reader.submit(read)
            yield fed


def stack(batches, count):
    """Every `count` batches (B, ...) as one (count, B, ...); the last ones may be fewer."""
    batches = iter(batches)
    while part := list(itertools.islice(batches, count)):
        yield jax.tree.map(lambda *arrays: np.stack(arrays), *part)
