"""What DIAS minimises: feature reconstruction and self-distillation of attention."""

import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.inputs import random_streams, seen
from dias_jax.models.reduction import sum_over_clusters

DISTILLATION_FORMS = ("released", "cross_entropy")
TEACHERS = ("first", "last")
MASKED_LOGIT = -1e9  # finite, because the teacher's zero times -inf is not a number
TINY = 1e-8  # keeps the logarithm of an attention of exactly zero finite


@jax.named_scope("losses")
def reconstruction_per_sample(output):
    """Mean squared error of the reconstruction over tokens and features: DIASOutput -> (B,).

    Of a VideoOutput: (B, F), for each frame.
    """
    target = jax.lax.stop_gradient(output.features)
    return jnp.square(output.reconstruction - target).mean((-3, -2, -1))


def reconstruction(output):
    """Mean squared error against the detached frozen features: DIASOutput -> scalar."""
    return reconstruction_per_sample(output).mean()


def distilled_maps(output, teacher="first"):
    """The attention between which to distil: DIASOutput -> (T, B, S, h, w), slot_mask (B, S).

    The student is the first aggregation's first iteration. `teacher`:
      "first"  the last iteration of the same aggregation (all slots in use);
      "last"   that of the re-initialised aggregation; the student's merged slots are summed.
    Raises UserError on another teacher.
    """
    if teacher not in TEACHERS:
        raise UserError(f'teacher "{teacher}" is unknown: use one of {TEACHERS}')
    if teacher == "first":
        return output.attention, None
    student = sum_over_clusters(output.attention[0], output.cluster)
    return jnp.stack([student, output.final_attention]), output.slot_mask


@jax.named_scope("losses")
def self_distillation_per_sample(attention, form="released", slot_mask=None):
    """Cross-entropy of the first map against the last: -> (B,).

    attention (T, B, S, h, w) float32, a distribution over S; slot_mask (B, S) bool or None; both
    may have an axis F after B, and then the result has.
    `form`:
      "released"       the released code: probabilities are taken for logits (a second softmax);
      "cross_entropy"  the textbook form, - sum_s A_T log A_1.
    Raises UserError on another form.
    """
    if form not in DISTILLATION_FORMS:
        raise UserError(f'distillation "{form}" is unknown: use one of {DISTILLATION_FORMS}')
    student, teacher = attention[0], jax.lax.stop_gradient(attention[-1])
    if form == "released":
        if slot_mask is not None:  # a slot that is not in use has no share in the second softmax
            student = jnp.where(slot_mask[..., None, None], student, MASKED_LOGIT)
        log_student = jax.nn.log_softmax(student, axis=-3)
    else:
        log_student = jnp.log(student + TINY)
    return -(teacher * log_student).sum(-3).mean((-2, -1))


def self_distillation(attention, form="released", slot_mask=None):
    """Mean over samples and tokens of `self_distillation_per_sample`: -> scalar."""
    return self_distillation_per_sample(attention, form, slot_mask).mean()


def dias_objective(
    model,
    variables,
    batch,
    rng,
    step,
    *,
    distillation_weight,
    reduce_probability,
    distillation="released",
    teacher="first",
):
    """The training loss of DIAS: -> loss, {name: scalar}, DIASOutput.

    batch: "image" (B, H, W, 3) uint8, or in its place "features" (B, h, w, C); "index" (B,) int32,
    the samples' indices in their split, which together with `rng` decide their random numbers;
    "draws", a `Draws` with what is not to be sampled, may be there. `distillation_weight` and
    `reduce_probability` (that slots are reduced) are functions of the step.
    """
    weight, probability = distillation_weight(step), reduce_probability(step)
    images, features = seen(batch)
    output = model.apply(
        variables,
        images,
        features=features,
        train=True,
        draws=batch.get("draws"),
        sample_index=batch["index"],
        reduce_probability=probability,
        rngs=random_streams(rng),
    )
    error = reconstruction(output)
    maps, slot_mask = distilled_maps(output, teacher)
    distilled = self_distillation(maps, distillation, slot_mask)
    values = {
        "loss": error + weight * distilled,
        "reconstruction": error,
        "distillation": distilled,
        "distillation_weight": weight,
        "reduce_probability": probability,
    }
    return values["loss"], values, output
