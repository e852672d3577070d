"""What the tests of the comparison share."""

import importlib.util
import os

import pytest

from dias_jax.compare import reference


@pytest.fixture
def checkout():
    """A checkout of the PyTorch reference, where one is named and can be run."""
    directory = os.environ.get("DIAS_JAX_REFERENCE")
    if directory is None:
        pytest.skip("DIAS_JAX_REFERENCE does not name a checkout of the PyTorch reference")
    for name in reference.REQUIREMENTS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the PyTorch reference needs {name}")
    return directory
