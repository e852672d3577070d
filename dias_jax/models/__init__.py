"""The model: frozen backbone -> projector -> initializer -> aggregator -> decoder."""

from dias_jax.models.build import build
from dias_jax.models.dias import DIAS, DIASOutput

__all__ = ["DIAS", "DIASOutput", "build"]
