"""The model: frozen backbone -> projector -> initializer -> aggregator -> decoder."""

from dias_jax.models.build import build
from dias_jax.models.dias import DIAS, DIASOutput, Reinit
from dias_jax.models.reduction import reduce_slots
from dias_jax.models.shipped import load

__all__ = ["DIAS", "DIASOutput", "Reinit", "build", "load", "reduce_slots"]
