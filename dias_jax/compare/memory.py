"""Peak memory of a pass, measured in a process of its own.

On a CPU it is the resident memory of that process: its peak during two steps, less what it was
before weights were handed over, read from the operating system in the same way for both
implementations. So it counts weights, optimiser, intermediate results and programs, but not the
libraries, nor what compiling took for a moment: that is handed back before. On a GPU it is the
largest amount that the implementation's own allocator has handed out.
"""

import ctypes
import gc
import multiprocessing
import pathlib
import re
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import jax

from dias_jax.compare import our_speed
from dias_jax.compare.reference.imported import import_reference
from dias_jax.errors import UserError

STATUS = pathlib.Path("/proc/self/status")
FORGET = pathlib.Path("/proc/self/clear_refs")
STEPS = 2


def measure_peak(who, name, pair, dtype, batch_size):
    """Peak bytes of "ours" or "reference" in the pass of that name; None where none is told.

    Raises UserError when the process is ended by the system.
    """
    measure = {"ours": our_peak, "reference": reference_peak}[who]
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return pool.submit(measure, name, pair, dtype, batch_size).result()
    except BrokenProcessPool as error:
        raise UserError(
            f"{name} with batch size {batch_size} ({who}) was ended by the system, probably for "
            "want of memory: use smaller --batch_sizes"
        ) from error


def our_peak(name, pair, dtype, batch_size):
    """Peak bytes of this process while this package runs."""
    case = pair.case(dtype, batch_size, 1)
    before = resident_now()
    run = our_speed.PASSES[name](case)
    if jax.default_backend() == "cpu":
        return resident_growth(run, before)
    run(STEPS)
    return jax.devices()[0].memory_stats()["peak_bytes_in_use"]


def reference_peak(name, pair, dtype, batch_size):
    """Peak bytes of this process while the reference runs."""
    import_reference(pair.reference)
    import torch

    from dias_jax.compare.reference import speed

    case = pair.case(dtype, batch_size, 1)
    before = resident_now()
    run = speed.prepare(name, case, pair.theirs(case), dtype)
    if speed.DEVICE.type == "cpu":
        return resident_growth(run, before)
    run(STEPS)
    return torch.cuda.max_memory_allocated()


def resident_growth(run, before):
    """Peak of resident memory during two steps after one, less `before` bytes."""
    if before is None:
        return None
    run(1)
    return_freed()
    try:
        FORGET.write_text("5")  # the peak so far
    except OSError:
        return None
    run(STEPS)
    return resident("VmHWM") - before


def resident_now():
    """Bytes that this process cannot do without; None where the system does not tell."""
    return_freed()
    return resident("VmRSS")


def return_freed():
    """Give the system back what is free but kept for later, where the C library can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident(field):
    """Bytes of resident memory: "VmRSS" now, "VmHWM" at most; None on other systems than Linux."""
    if not STATUS.exists():
        return None
    return 1024 * int(re.search(rf"{field}:\s*(\d+) kB", STATUS.read_text())[1])
