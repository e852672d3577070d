"""The released code's numbers on recognition and prediction."""

import pathlib

import numpy as np
import pytest


@pytest.fixture(scope="session")
def recognition_golden():
    with np.load(pathlib.Path(__file__).parents[1] / "golden/recognition.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def slotformer_golden():
    with np.load(pathlib.Path(__file__).parents[1] / "golden/slotformer.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def slotformer_shared(shared_golden):
    """More of the same numbers than the repository holds."""
    with np.load(shared_golden("slotformer_tiny.npz")) as file:
        return dict(file)
