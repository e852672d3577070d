"""A config trained to the end, as a model."""

from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import finish


def train_model(config, workdir):
    """Train a `config` in `workdir`, continuing what is there: -> TrainedModel.

    The model is that of the last step. Raises what `finish` raises.
    """
    finish(task_of(config), config, workdir)
    return open_run(workdir, config, "latest")
