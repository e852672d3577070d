"""Losses against their definitions, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax import losses
from dias_jax.errors import UserError
from dias_jax.models import DIASOutput


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
        empty = dict.fromkeys(DIASOutput.__dataclass_fields__)
        return losses.reconstruction(
            DIASOutput(**empty | {"features": features, "reconstruction": prediction})
        )

    np.testing.assert_allclose(
        loss(features, prediction), ((features - prediction) ** 2).mean(), rtol=1e-6
    )
    to_features, to_prediction = jax.grad(loss, argnums=(0, 1))(features, prediction)
    assert (to_features == 0).all() and np.abs(to_prediction).max() > 0
