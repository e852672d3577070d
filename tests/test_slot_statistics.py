"""Statistics of the slots on outputs made by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.models import DIASOutput
from dias_jax.slot_statistics import slot_statistics


def statistics(first_slots, slot_mask):
    empty = dict.fromkeys(DIASOutput.__dataclass_fields__)
    return slot_statistics(
        DIASOutput(**empty | {"first_slots": first_slots, "slot_mask": slot_mask})
    )


def test_numbers_of_three_slots():
    root = 0.5**0.5
    slots = jnp.array([[[1, 0], [0, 2], [3, 3]], [[1, 0], [5, 0], [-1, 0]]], jnp.float32)
    mask = jnp.array([[True, True, True], [True, False, True]])
    values = jax.jit(statistics)(slots, mask)
    expected = {
        "active_slots": [3, 2],
        "active_slots_histogram": [[0, 0, 1], [0, 1, 0]],
        "merged": [0, 1],
        "smallest_distance": [1 - root, 0],
        "median_distance": [1 - root, 2],
    }
    assert values.keys() == expected.keys()
    for name, value in values.items():
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_one_slot_has_no_pairs():
    values = statistics(jnp.ones((2, 1, 4)), jnp.ones((2, 1), bool))
    for name in ("smallest_distance", "median_distance", "merged"):
        np.testing.assert_array_equal(values[name], [0, 0])
    np.testing.assert_array_equal(values["active_slots_histogram"], [[1], [1]])


def test_distances_get_no_gradient():
    def total(slots):
        values = statistics(slots, jnp.ones((2, 3), bool))
        return values["smallest_distance"].sum() + values["median_distance"].sum()

    slots = jax.random.normal(jax.random.key(0), (2, 3, 4))
    assert (jax.grad(total)(slots) == 0).all()
