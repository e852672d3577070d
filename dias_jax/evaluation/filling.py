"""Files of samples written, from where it was stopped."""

import sys

import jax
from tqdm import tqdm

from dias_jax.errors import UserError


def fill(kind, folder, header, samples_of, unit="image"):
    """Write the files of `kind`, a class of `SampleFiles`, that `folder` lacks.

    samples_of: a function of a range of numbers that gives these samples. Raises UserError where
    the folder holds samples of something else.
    """
    missing, total = kind.missing_files(folder, header), header["num_samples"]
    done = total - sum(map(len, missing.values()))
    interval = 0.1 if sys.stderr.isatty() else 30  # seconds; a log wants few lines
    with tqdm(total=total, initial=done, unit=unit, mininterval=interval, maxinterval=60) as bar:
        for path, numbers in missing.items():
            kind.write(path, header, counted(samples_of(numbers), bar))


def counted(samples, bar):
    """The samples, each counted by a progress bar."""
    for sample in samples:
        bar.update()
        yield sample


def check_one_host(contents):
    """Raise UserError where there are several hosts."""
    if jax.process_count() > 1:
        raise UserError(
            f"{contents} are extracted on one host, with all its devices: start one process"
        )
