"""Small configs and commands that the tests share."""

import contextlib
import functools
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.quickly import OLDER_KERNELS, quick_environment
from tests.tiny import TINY, make_tiny_config

# Tests run beside each other: threads that wait for each other in one of them would only spin.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("XLA_FLAGS", OLDER_KERNELS)  # read when JAX is imported
# Many tests compile the same tiny model: compile it once, in subprocesses too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="dias_jax_tests_"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

REPOSITORY = pathlib.Path(__file__).parents[1]
SHARED = pathlib.Path(os.environ.get("DIAS_JAX_SHARED", REPOSITORY.parent / "shared"))


def pytest_collection_modifyitems(items):
    """The longest tests come first, so that one process does not wait for the other at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_elastic.py", "test_notebook.py"))


tiny_config = pytest.fixture(make_tiny_config, name="tiny_config")


@pytest.fixture(scope="session")
def original_run(tmp_path_factory):
    """The work directory of the tiny experiment with checkpoints of steps 3 and 6: only to copy."""
    from dias_jax.training.train_model import train_model

    folder = tmp_path_factory.mktemp("runs") / "original"
    with compiling_quickly():
        train_model(make_tiny_config(), folder)
    return folder


@pytest.fixture
def finished_run(original_run, tmp_path):
    """A copy of that work directory, to be damaged."""
    return shutil.copytree(original_run, tmp_path / "run")


@pytest.fixture
def tiny_flags():
    """The command line of the tiny experiment."""
    overrides = [f"--config.{key}={value}" for key, value in TINY.items()]
    return ["--config=dias_jax/config/defaults.py", *overrides]


@contextlib.contextmanager
def compiling_quickly():
    """Compile quickly rather than well, where files and order matter more than rounding."""
    import jax  # it reads the environment when it is imported

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def quick_compilation():
    """The same for a whole test."""
    with compiling_quickly():
        yield


@pytest.fixture
def run_module():
    """Run `python -m MODULE ARGUMENTS` as a user does, on so many virtual CPU devices."""

    def run(module, *arguments, devices=1, check=True):
        result = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=REPOSITORY,
            env=quick_environment(devices),
            capture_output=True,
            text=True,
        )
        assert not check or result.returncode == 0, result.stderr
        return result

    return run


def find_shared(folder, name):
    """A file or folder that is kept outside the repository; skips without it.

    Where: $DIAS_JAX_SHARED, by default `shared` beside the repository.
    """
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set DIAS_JAX_SHARED to the folder that holds {folder}/")
    return path


@pytest.fixture(scope="session")
def shared_golden():
    """A function from a file name to the path of these golden numbers."""
    return functools.partial(find_shared, "golden")


@pytest.fixture(scope="session")
def shared_data():
    """A function from a name to the folder of that data set's real sample."""
    return functools.partial(find_shared, "data")


@pytest.fixture
def checkout():
    """A checkout of the PyTorch reference, where one is named and can be run."""
    from dias_jax.compare.reference import imported  # JAX reads the environment when imported

    directory = os.environ.get("DIAS_JAX_REFERENCE")
    if directory is None:
        pytest.skip("DIAS_JAX_REFERENCE does not name a checkout of the PyTorch reference")
    for name in imported.REQUIREMENTS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the PyTorch reference needs {name}")
    return directory
