"""The task that a config stands for."""

from dias_jax.tasks.discovery import Discovery
from dias_jax.tasks.video import VideoDiscovery


def task_of(config):
    """Discovery, in images or in videos. Raises UserError on a config that cannot be run."""
    return VideoDiscovery(config) if config.model.kind == "video" else Discovery(config)
