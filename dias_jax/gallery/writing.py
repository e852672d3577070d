"""Files of a report, each of which is whole or not there."""

import pathlib

from dias_jax.errors import UserError
from dias_jax.files import appearing_file


def write_files(folder, writers):
    """Write {name of a file: function that writes it to a path}: -> the paths, in this order.

    Raises UserError where nothing can be written.
    """
    paths = []
    for name, write in writers.items():
        paths.append(pathlib.Path(folder) / name)
        try:
            with appearing_file(paths[-1]) as path:
                write(path)
        except OSError as error:
            raise UserError(
                f"cannot write {folder} ({error.strerror or error}): make room, or name another "
                "directory"
            ) from error
    return tuple(paths)
