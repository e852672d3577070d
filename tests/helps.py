"""python -m tests.helps MODULE...: exit codes and texts of `python -m MODULE --help`.

Each in a fork of one process that has imported what takes seconds: as JSON, {module: [code, text]}.
"""

import contextlib
import io
import json
import multiprocessing
import runpy
import sys

import dias_jax.models
import dias_jax.tasks.of_config  # noqa: F401


def help_of(module):
    """Exit code, and what is printed."""
    sys.argv = [module, "--help"]
    printed = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with contextlib.redirect_stdout(printed):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except Exception as error:
            return 1, repr(error)
    return code, printed.buffer.getvalue().decode()


if __name__ == "__main__":
    forks = multiprocessing.get_context("fork")
    with forks.Pool(1, maxtasksperchild=1) as pool:
        found = pool.map_async(help_of, sys.argv[1:], chunksize=1).get(timeout=600)
    print(json.dumps(dict(zip(sys.argv[1:], found))))
