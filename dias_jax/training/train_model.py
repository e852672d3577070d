"""A config trained to the end, as a model."""

from dias_jax.errors import UserError
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.discovery import Discovery
from dias_jax.training.loop import STOPPED, fit


def train_model(config, workdir):
    """Train an image `config` in `workdir`, continuing what is there: -> TrainedModel.

    The model is that of the last step. Raises UserError when a signal stops the run, and what
    `fit` raises.
    """
    result = fit(Discovery(config), config, workdir)
    if result.status == STOPPED:
        raise UserError(f"{workdir} was stopped at step {result.step}: the same command continues")
    return open_run(workdir, config, "latest")
