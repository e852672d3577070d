"""Losses against their definitions, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax import losses
from dias_jax.errors import UserError
from dias_jax.models import DIASOutput


def make_output(**fields):
    """A DIASOutput of which only some fields are there."""
    return DIASOutput(**dict.fromkeys(DIASOutput.__dataclass_fields__) | fields)


def random_attention(seed=0, slots=5):
    logits = np.random.default_rng(seed).normal(size=(3, 2, slots, 4, 6))
    return np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32), axis=2))


def test_released_form_takes_probabilities_for_logits():
    attention = random_attention()
    student = np.exp(attention[0])
    student /= student.sum(1, keepdims=True)
    expected = -(attention[-1] * np.log(student)).sum(1).mean()
    np.testing.assert_allclose(losses.self_distillation(attention), expected, rtol=1e-6)


def test_textbook_form_is_cross_entropy():
    attention = random_attention()
    expected = -(attention[-1] * np.log(attention[0])).sum(1).mean()
    value = losses.self_distillation(attention, "cross_entropy")
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("form", ["released", "cross_entropy"])
def test_the_teacher_gets_no_gradient_and_masked_slots_stay_finite(form):
    attention = jnp.asarray(random_attention()).at[:, :, -1].set(0.0)
    gradient = jax.grad(losses.self_distillation)(attention, form)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[0]).max() > 0
    assert (gradient[1:] == 0).all()


def test_unknown_form_names_the_choices():
    with pytest.raises(UserError, match="released"):
        losses.self_distillation(random_attention(), "other")


def test_reconstruction_is_the_mean_square_and_spares_the_features():
    rng = np.random.default_rng(0)
    features, prediction = rng.normal(size=(2, 3, 4, 4, 5)).astype(np.float32)

    def loss(features, prediction):
        return losses.reconstruction(make_output(features=features, reconstruction=prediction))

    np.testing.assert_allclose(
        loss(features, prediction), ((features - prediction) ** 2).mean(), rtol=1e-6
    )
    to_features, to_prediction = jax.grad(loss, argnums=(0, 1))(features, prediction)
    assert (to_features == 0).all() and np.abs(to_prediction).max() > 0


CLUSTER = np.array([[0, 1, 0, 3, 1], [0, 1, 2, 3, 4]])
IN_USE = np.arange(5) == CLUSTER


def reinitialised_output():
    """Two samples of five slots, of which the first lost two; masked slots attend to nothing."""
    logits = np.random.default_rng(1).normal(size=(2, 5, 4, 6)).astype(np.float32)
    logits = jnp.where(IN_USE[..., None, None], logits, -jnp.inf)
    return make_output(
        attention=jnp.asarray(random_attention()),
        final_attention=jax.nn.softmax(logits, axis=1),
        cluster=jnp.asarray(CLUSTER),
        slot_mask=jnp.asarray(IN_USE),
    )


def test_the_first_aggregation_teaches_as_it_is():
    output = reinitialised_output()
    maps, slot_mask = losses.distilled_maps(output)
    assert maps is output.attention and slot_mask is None


def test_the_last_aggregation_teaches_the_sum_of_merged_slots():
    output = reinitialised_output()
    maps, slot_mask = losses.distilled_maps(output, "last")
    assert maps.shape == (2, 2, 5, 4, 6)
    student = np.asarray(output.attention[0]).copy()
    student[0, 0] += student[0, 2]
    student[0, 1] += student[0, 4]
    student[0, [2, 4]] = 0
    np.testing.assert_allclose(maps[0], student, rtol=1e-6)
    np.testing.assert_allclose(maps[0].sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(maps[1], output.final_attention)
    np.testing.assert_array_equal(slot_mask, IN_USE)


@pytest.mark.parametrize("form", ["released", "cross_entropy"])
def test_only_slots_in_use_are_distilled(form):
    maps, slot_mask = losses.distilled_maps(reinitialised_output(), "last")
    values = losses.self_distillation_per_sample(maps, form, slot_mask)
    for sample, value in enumerate(values):
        used = maps[:, sample : sample + 1, IN_USE[sample]]
        np.testing.assert_allclose(value, losses.self_distillation(used, form), rtol=1e-5)


@pytest.mark.parametrize("form", ["released", "cross_entropy"])
def test_the_last_teacher_gets_no_gradient_and_the_student_a_finite_one(form):
    output = reinitialised_output()

    def loss(student, teacher):
        attention = output.attention.at[0].set(student)
        given = output.replace(attention=attention, final_attention=teacher)
        maps, slot_mask = losses.distilled_maps(given, "last")
        return losses.self_distillation(maps, form, slot_mask)

    to_student, to_teacher = jax.grad(loss, (0, 1))(output.attention[0], output.final_attention)
    assert np.isfinite(to_student).all() and (np.abs(to_student).max((2, 3)) > 0).all()
    assert (to_teacher == 0).all()
    np.testing.assert_array_equal(to_student[0, [0, 1]], to_student[0, [2, 4]])  # summed


def test_unknown_teacher_names_the_choices():
    with pytest.raises(UserError, match="first"):
        losses.distilled_maps(reinitialised_output(), "other")
