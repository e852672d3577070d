"""What slots are good for: probes on a frozen model."""

from dias_jax.downstream.matching import match_slots

__all__ = ["match_slots"]
