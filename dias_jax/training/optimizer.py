"""Adam with global-norm clipping, as the released code trains."""

import optax

from dias_jax.steps import schedules


def build_optimizer(config):
    """Gradient transformation of a whole config (keys `optimizer` and `steps`)."""
    rate = learning_rate_schedule(config)
    return optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm), optax.adam(rate, eps=1e-8)
    )


def learning_rate_schedule(config):
    """The learning rate as a function of the step."""
    return schedules.learning_rate(
        config.optimizer.learning_rate,
        config.steps,
        config.optimizer.warmup_fraction,
        config.optimizer.final_fraction,
    )
