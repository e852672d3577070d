"""Slots of an extraction in units of their own: what learns from them starts from equal footing."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

SMALLEST = 1e-6  # deviation; what hardly varies is left as it is


class Units(NamedTuple):
    """Where slots lie and how far apart, as numbers that a module can have for a field."""

    mean: tuple = (0.0,)  # D floats, or one for all
    deviation: tuple = (1.0,)

    def apply(self, slots):
        """Slots (..., D) in these units."""
        return (slots - jnp.asarray(self.mean)) / jnp.asarray(self.deviation)

    def undo(self, slots):
        """Slots (..., D) from these units."""
        return self.scale(slots) + jnp.asarray(self.mean)

    def scale(self, differences):
        """Differences of slots (..., D) from these units."""
        return differences * jnp.asarray(self.deviation)


def units_of(slots, slot_mask):
    """Mean and deviation of the slots in use: (N, S, D), (N, S) bool -> Units."""
    used = np.asarray(slots, np.float64)[np.asarray(slot_mask)]
    deviation = used.std(0)
    deviation = np.where(deviation < SMALLEST, 1.0, deviation)
    return Units(*(tuple(map(float, x)) for x in (used.mean(0), deviation)))
