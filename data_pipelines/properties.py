"""What a data set tells of its objects beside class and place: kinds, and measured numbers."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Properties:
    """The properties that are told of every object, by name and in order.

    A sample has them as "kinds" (n, P) int32, one number below the count of each of P categorical
    properties, -1 where it is not known, and "numbers" (n, Q) float32, the Q coordinates of all
    numeric properties beside one another.
    """

    kinds: dict = dataclasses.field(default_factory=dict)  # {name: count of kinds}
    numbers: dict = dataclasses.field(default_factory=dict)  # {name: count of coordinates}


def properties_in_view(sample, classes):
    """The "kinds" (G, P) and "numbers" (G, Q) of the objects that a view shows, in its order.

    sample: a source's; classes: (G,) int, -1 where the view shows none: kinds -1, numbers 0.
    """
    is_seen = classes >= 0
    kinds, numbers = (fill(sample[name], len(classes)) for name in ("kinds", "numbers"))
    kinds, numbers = np.where(is_seen[:, None], kinds, -1), np.where(is_seen[:, None], numbers, 0)
    return {"kinds": kinds.astype(np.int32), "numbers": numbers.astype(np.float32)}


def fill(values, capacity):
    """(n, ...) with rows of zeros up to (capacity, ...)."""
    return np.pad(values, [(0, capacity - len(values)), (0, 0)])
