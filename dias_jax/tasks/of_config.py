"""The task that a config stands for."""

from dias_jax.tasks.discovery import Discovery
from dias_jax.tasks.prediction import Prediction
from dias_jax.tasks.properties import PropertyPrediction
from dias_jax.tasks.reasoning import Reasoning
from dias_jax.tasks.recognition import Recognition
from dias_jax.tasks.video import VideoDiscovery

ON_SLOTS = {
    "recognition": Recognition,
    "properties": PropertyPrediction,
    "prediction": Prediction,
    "reasoning": Reasoning,
}


def task_of(config):
    """The task that `config.task` names. Raises UserError on a config that cannot be run."""
    if config.task == "discovery":
        return VideoDiscovery(config) if config.model.kind == "video" else Discovery(config)
    return ON_SLOTS[config.task](config)
