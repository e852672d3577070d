"""What the random auto-regressive decoder may see, and how it samples that."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.draws import sample_num_visible, sample_token_order

pytestmark = pytest.mark.usefixtures("quick_compilation")

BATCH, TOKENS, WIDTH = 2, 9, 8


@pytest.fixture
def case():
    """Module, variables, tokens and slots."""
    module = RandomOrderDecoder(num_tokens=TOKENS, num_layers=2, heads=2)
    keys = jax.random.split(jax.random.key(0), 3)
    tokens = jax.random.normal(keys[0], (BATCH, TOKENS, WIDTH))
    slots = jax.random.normal(keys[1], (BATCH, 4, 6))
    return module, jax.jit(module.init)(keys[2], tokens, slots), tokens, slots


def order_and_count(count):
    order = jnp.array([[4, 2, 0, 1, 3, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1, 0]])
    return order, jnp.full(BATCH, count)


def test_all_layers_start_identical(case):
    layers = case[1]["params"]
    first, second = (jax.tree.leaves(layers[f"layer_{i}"]) for i in range(2))
    assert len(first) == len(second) == 9
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def test_everything_visible_equals_no_masking(case):
    module, variables, tokens, slots = case
    order, count = order_and_count(TOKENS)
    whole = module.apply(variables, tokens, slots)
    again = module.apply(variables, tokens, slots, None, order, count)
    for a, b in zip(whole, again):
        np.testing.assert_array_equal(a, b)


def test_only_the_first_tokens_of_the_order_are_seen(case):
    module, variables, tokens, slots = case
    order, count = order_and_count(3)

    def summed(tokens):
        return module.apply(variables, tokens, slots, None, order, count)[0].sum()

    seen = np.abs(jax.jit(jax.grad(summed))(tokens)).sum(-1) > 0
    expected = np.zeros((BATCH, TOKENS), bool)
    for sample in range(BATCH):
        expected[sample, order[sample, :3]] = True
    np.testing.assert_array_equal(seen, expected)


def test_attention_is_a_distribution_over_valid_slots(case):
    module, variables, tokens, slots = case
    mask = jnp.array([[True, False, True, True]] * BATCH)
    reconstruction, attention = module.apply(variables, tokens, slots, mask)
    assert attention.shape == (BATCH, 4, TOKENS)
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-5)
    assert (attention[:, 1] == 0).all()
    changed = module.apply(variables, tokens, slots.at[:, 1].add(5.0), mask)[0]
    np.testing.assert_array_equal(reconstruction, changed)


def test_token_orders_are_uniform_permutations():
    orders = np.asarray(sample_token_order(jax.random.split(jax.random.key(0), 4000), 6))
    np.testing.assert_array_equal(np.sort(orders, 1), np.tile(np.arange(6), (4000, 1)))
    share = np.stack([(orders == token).mean(0) for token in range(6)])
    np.testing.assert_allclose(share, 1 / 6, atol=0.03)  # 5 standard deviations


def test_visible_counts_follow_the_released_mixture():
    keys = jax.random.split(jax.random.key(1), 8000)
    counts = np.asarray(sample_num_visible(keys, 256, 0.5, 24))
    assert counts.min() == 0 and counts.max() == 254  # N - 1 never occurs
    assert abs((counts == 24).mean() - (0.5 + 0.5 / 255)) < 0.03
    others = counts[counts != 24]
    assert abs(others.mean() - 127) < 5
    assert (np.asarray(sample_num_visible(keys, 256, 0.0, 0)) == 0).all()
