"""How the learning rate, the distillation weight and the chance of reduction move over training."""

import jax.numpy as jnp
import optax


def learning_rate(peak, num_steps, warmup_fraction=0.05, final_fraction=1e-3):
    """Linear from 0 to `peak`, then half a cosine down to `peak * final_fraction`.

    Returns a function of the step (0 ... num_steps) -> scalar. Released code.
    """
    warmup = int(num_steps * warmup_fraction)
    rise = optax.linear_schedule(0.0, peak, max(warmup, 1))
    fall = optax.cosine_decay_schedule(peak, max(num_steps - warmup, 1), final_fraction)
    return optax.join_schedules([rise, fall], [warmup])


def half_cosine_rise(peak, num_steps):
    """Half a cosine from 0 to `peak` over `num_steps`, 0: `peak` at once. Released code.

    Returns a function of the step -> scalar.
    """

    def value(step):
        progress = jnp.minimum(step / num_steps, 1.0) if num_steps else 1.0
        return peak * 0.5 * (1 - jnp.cos(jnp.pi * progress))

    return value
