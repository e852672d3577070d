"""Pure steps: training, evaluation, scoring; the same functions run under jit and pmap."""

from dias_jax.steps.evaluation import eval_step
from dias_jax.steps.training import train_step

__all__ = ["eval_step", "train_step"]
