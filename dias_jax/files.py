"""Files and folders that appear only when they are complete, and what tells two files apart."""

import contextlib
import hashlib
import logging
import pathlib
import secrets
import shutil
import time

from etils import epath

from dias_jax.errors import UserError, reason

ABANDONED = 3_600  # seconds after which nobody writes to a file any more


def is_remote(path):
    """Whether a path names a place in an object store: gs://, s3:// ..."""
    return "://" in str(path)


def absolute(path):
    """A path, local and then absolute, or in an object store."""
    return epath.Path(path) if is_remote(path) else epath.Path(path).resolve()


@contextlib.contextmanager
def reaching(path):
    """Raise one UserError for whatever hinders the block from reaching an object store."""
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it prints what it also raises
    try:
        yield
    except Exception as error:
        if not is_remote(path):
            raise
        raise UserError(
            f"{path} cannot be reached ({reason(error)}): see object stores in BUILD.md"
        ) from error


@contextlib.contextmanager
def appearing_file(path):
    """A path to write to, which becomes `path` when the block ends well and vanishes otherwise.

    It is a new one beside `path`, of the same suffix: no other file is ever written over.
    """
    path = epath.Path(path)
    incomplete = path.with_name(f"incomplete.{secrets.token_hex(4)}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield incomplete
        incomplete.replace(path)
    finally:
        incomplete.unlink(missing_ok=True)


def remove_abandoned(folder):
    """Remove from a local folder what `appearing_file` was writing when its process was killed.

    Younger than an hour, another process may be writing it.
    """
    for incomplete in pathlib.Path(folder).glob("incomplete.*"):
        with contextlib.suppress(FileNotFoundError):  # another process has just completed it
            if time.time() - incomplete.stat().st_mtime > ABANDONED:
                incomplete.unlink()


@contextlib.contextmanager
def appearing_folder(path):
    """A folder to write into, which becomes `path` when the block ends well, as `appearing_file`.

    What a killed process has left of an earlier try is removed.
    """
    path = pathlib.Path(path).resolve()
    incomplete = path.with_name(f"incomplete.{path.name}")
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir(parents=True)
    try:
        yield incomplete
        incomplete.replace(path)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)


def sha256(path):
    """The hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
