"""The task that a config stands for."""

from dias_jax.tasks.discovery import Discovery
from dias_jax.tasks.properties import PropertyPrediction
from dias_jax.tasks.recognition import Recognition
from dias_jax.tasks.video import VideoDiscovery


def task_of(config):
    """Discovery, in images or in videos, recognition, or the prediction of properties.

    Raises UserError on a config that cannot be run.
    """
    if config.task == "recognition":
        return Recognition(config)
    if config.task == "properties":
        return PropertyPrediction(config)
    return VideoDiscovery(config) if config.model.kind == "video" else Discovery(config)
