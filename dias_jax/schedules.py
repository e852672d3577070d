"""How the learning rate and the distillation weight move over training."""

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


def distillation_weight(peak, num_steps):
    """Half a cosine from 0 to `peak`: a function of the step -> scalar. Released code."""

    def weight(step):
        return peak * 0.5 * (1 - jnp.cos(jnp.pi * jnp.minimum(step / num_steps, 1.0)))

    return weight
