"""The released code's numbers on recognition."""

import pathlib

import numpy as np
import pytest


@pytest.fixture(scope="session")
def recognition_golden():
    with np.load(pathlib.Path(__file__).parents[1] / "golden/recognition.npz") as file:
        return dict(file)
