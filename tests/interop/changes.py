"""Changes to a dict of tensors that make it another than a model's."""

import numpy as np


def without(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def plus(name, *shape):
    return lambda tensors: tensors.update({name: np.zeros(shape, np.float32)})
