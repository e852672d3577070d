"""Properties of slot attention that hold without any reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.models.aggregator import SlotAttention

pytestmark = pytest.mark.usefixtures("quick_compilation")

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order


@pytest.fixture
def case():
    """Module, variables, tokens (2, 12, 8) and slots (2, 5, 16)."""
    module = SlotAttention(slot_width=16, hidden=32)
    keys = jax.random.split(jax.random.key(0), 3)
    tokens = jax.random.normal(keys[0], (2, 12, 8))
    slots = jax.random.normal(keys[1], (2, 5, 16))
    return module, jax.jit(module.init)(keys[2], tokens, slots), tokens, slots


def test_attention_is_a_distribution_over_slots(case):
    module, variables, tokens, slots = case
    updated, attention = module.apply(variables, tokens, slots)
    assert updated.shape == (2, 5, 16) and attention.shape == (3, 2, 5, 12)
    np.testing.assert_allclose(attention.sum(2), 1, rtol=1e-5)


def test_permuted_slots_give_permuted_results(case):
    module, variables, tokens, slots = case
    order = np.array([3, 0, 4, 1, 2])
    updated, attention = module.apply(variables, tokens, slots)
    again, attention_again = module.apply(variables, tokens, slots[:, order])
    np.testing.assert_allclose(again, updated[:, order], **TOLERANCE)
    np.testing.assert_allclose(attention_again, attention[:, :, order], **TOLERANCE)


def test_permuted_tokens_leave_slots_alone(case):
    module, variables, tokens, slots = case
    updated, _ = module.apply(variables, tokens, slots)
    again, _ = module.apply(variables, tokens[:, ::-1], slots)
    np.testing.assert_allclose(again, updated, **TOLERANCE)


def test_a_masked_slot_gets_nothing_and_changes_nothing(case):
    module, variables, tokens, slots = case
    mask = jnp.array([[True, False, True, True, False]] * 2)

    def loss(slots):
        updated, attention = module.apply(variables, tokens, slots, mask)
        return (jnp.where(mask[..., None], updated, 0) ** 2).sum(), (updated, attention)

    gradient, (updated, attention) = jax.jit(jax.grad(loss, has_aux=True))(slots)
    assert (attention[:, ~mask] == 0).all()
    assert (gradient[~mask] == 0).all() and np.isfinite(gradient).all()
    kept, _ = module.apply(variables, tokens, slots[:, [0, 2, 3]])
    np.testing.assert_allclose(updated[:, [0, 2, 3]], kept, **TOLERANCE)


def test_iterations_can_be_overridden_and_continue_each_other(case):
    module, variables, tokens, slots = case
    once, attention = module.apply(variables, tokens, slots, None, 1)
    assert attention.shape[0] == 1
    twice, _ = module.apply(variables, tokens, once, None, 2)
    np.testing.assert_allclose(twice, module.apply(variables, tokens, slots)[0], **TOLERANCE)


def test_bilevel_gradient_is_that_of_the_last_iteration(case):
    module, variables, tokens, slots = case
    bilevel = module.clone(bilevel=True)

    def loss(module, slots, iterations):
        return (module.apply(variables, tokens, slots, None, iterations)[0] ** 2).sum()

    np.testing.assert_allclose(
        loss(bilevel, slots, 3), loss(module, slots, 3), rtol=1e-6
    )  # same value
    before_last, _ = module.apply(variables, tokens, slots, None, 2)
    np.testing.assert_allclose(
        jax.grad(loss, argnums=1)(bilevel, slots, 3),
        jax.grad(loss, argnums=1)(module, before_last, 1),
        **TOLERANCE,
    )


def test_bfloat16_keeps_attention_in_float32(case):
    module, variables, tokens, slots = case
    updated, attention = module.clone(dtype=jnp.bfloat16).apply(variables, tokens, slots)
    assert attention.dtype == updated.dtype == jnp.float32
    np.testing.assert_allclose(attention.sum(2), 1, rtol=1e-5)
    exact, _ = module.apply(variables, tokens, slots)
    np.testing.assert_allclose(updated, exact, atol=0.1)
