"""What DIAS minimises: feature reconstruction and self-distillation of attention."""

import jax
import jax.numpy as jnp

from dias_jax.errors import UserError

DISTILLATION_FORMS = ("released", "cross_entropy")
TINY = 1e-8  # keeps the logarithm of an attention of exactly zero finite


def reconstruction_per_sample(output):
    """Mean squared error of the reconstruction over tokens and features: DIASOutput -> (B,)."""
    target = jax.lax.stop_gradient(output.features)
    return jnp.square(output.reconstruction - target).mean((1, 2, 3))


def reconstruction(output):
    """Mean squared error against the detached frozen features: DIASOutput -> scalar."""
    return reconstruction_per_sample(output).mean()


def self_distillation_per_sample(attention, form="released"):
    """Cross-entropy of the first iteration's attention against the last: -> (B,).

    attention (T, B, S, h, w) float32, a distribution over S. `form`:
      "released"       the released code: probabilities are taken for logits (a second softmax);
      "cross_entropy"  the textbook form, - sum_s A_T log A_1.
    Raises UserError on another form.
    """
    if form not in DISTILLATION_FORMS:
        raise UserError(f'distillation "{form}" is unknown: use one of {DISTILLATION_FORMS}')
    student, teacher = attention[0], jax.lax.stop_gradient(attention[-1])
    if form == "released":
        log_student = jax.nn.log_softmax(student, axis=1)
    else:
        log_student = jnp.log(student + TINY)
    return -(teacher * log_student).sum(1).mean((1, 2))


def self_distillation(attention, form="released"):
    """Mean over samples and tokens of `self_distillation_per_sample`: -> scalar."""
    return self_distillation_per_sample(attention, form).mean()
