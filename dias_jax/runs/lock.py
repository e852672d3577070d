"""One run per work directory."""

import contextlib
import pathlib

from filelock import FileLock, Timeout

from dias_jax.errors import UserError
from dias_jax.files import is_remote

FILE_NAME = "lock"


@contextlib.contextmanager
def only_run_in(workdir):
    """Hold `workdir` for this process; the system lets go of it however the process ends.

    Raises UserError where another run holds it. Object stores know no locks: there nothing is held.
    """
    if is_remote(workdir):
        yield
        return
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / FILE_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another run is at work in {workdir}: wait for it, stop it, or name another --workdir"
        ) from error
    try:
        yield
    finally:
        lock.release()
