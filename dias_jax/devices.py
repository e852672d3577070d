"""Everything that knows about devices and hosts: jit on one, pmap on several."""

import functools
import logging
import os
import pathlib

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dias_jax.errors import UserError

AXIS = "batch"  # of pmap
NVIDIA = pathlib.Path("/proc/driver/nvidia/version")  # there where a GPU's driver is

log = logging.getLogger(__name__)


@functools.cache
def warn_of_unused_gpu():
    """One line where JAX computes on the CPU although the machine has an NVIDIA GPU."""
    is_asked_for = os.environ.get("JAX_PLATFORMS", "") == "cpu"
    if NVIDIA.exists() and not is_asked_for and jax.default_backend() == "cpu":
        log.warning(
            "THE GPU IS NOT USED: this JAX computes on the CPU; pip install 'dias_jax[cuda12]' or "
            "[cuda13], as the driver has it (JAX_PLATFORMS=cpu says that the CPU is meant)"
        )


def cpu_threads():
    """How many of the processor's threads this process may use."""
    is_told = hasattr(os, "sched_getaffinity")  # on Linux
    return len(os.sched_getaffinity(0)) if is_told else os.cpu_count()


def is_main_process():
    """Whether this host writes files."""
    return jax.process_index() == 0


def host_shard():
    """(index, count) of this host among all, for the data pipeline."""
    return jax.process_index(), jax.process_count()


def any_host(flag):
    """Whether `flag` is true on any host; all hosts must call."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def check_batch_size(size, key, parts=1):
    """Raise UserError unless `size` samples split evenly over devices (and parts on each)."""
    count = jax.device_count() * parts
    if size < 1 or size % count:
        over = f"{jax.device_count()} device(s)" + (f" x {parts} parts" if parts > 1 else "")
        raise UserError(
            f"config.{key}={size} does not split over {over}: try a multiple of {count}"
        )


def axis_name():
    """The name of the axis over which a loss takes means: -> AXIS, None on one device."""
    return AXIS if jax.device_count() > 1 else None


def compile_step(step, donate=False, split_results=False):
    """Compile `step(state, batch, rng, *, axis_name)` for all devices, and batches as `spread`.

    One device: jit. Several: pmap over `AXIS`; state and key are replicated, the batch is split.
    The first result is replicated, and so is the second, unless `split_results`: then it is split
    like the batch (see `to_host`). `donate`: the state's buffers are reused.
    """
    donated = (0,) if donate else ()
    if jax.device_count() == 1:
        return jax.jit(functools.partial(step, axis_name=None), donate_argnums=donated)
    return jax.pmap(
        functools.partial(step, axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, 0 if split_results else None),
        donate_argnums=donated,
    )


def spread(batch, axis=0):
    """Start copying this host's batch to its devices, each its part of `axis`: -> a tree of arrays.

    On several devices these have the devices as a further, first axis.
    """
    if jax.device_count() == 1:
        return jax.device_put(batch)
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    parts = jax.tree.map(lambda x: np.stack(np.split(x, mesh.size, axis)), batch)
    return jax.device_put(parts, NamedSharding(mesh, PartitionSpec(AXIS)))


def place(state):
    """A state that a compiled step may take and donate, on any number of hosts."""
    if jax.process_count() == 1:
        return state
    return jax.device_get(state)  # pmap on several hosts replicates host arrays only


def to_host(tree):
    """This host's part of a result that was split like the batch: numpy arrays (B, ...)."""
    if jax.device_count() == 1:
        return jax.device_get(tree)

    def merge(array):
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        parts = [np.asarray(shard.data) for shard in shards]
        return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])

    return jax.tree.map(merge, tree)
