"""DIAS as a whole: shapes, randomness, initial distributions, what may be handed in."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.errors import UserError
from dias_jax.models import build
from dias_jax.models.initializer import SeparateGaussian, SharedGaussian
from dias_jax.state import initialize
from experiments import base


@pytest.fixture
def case(tiny_config):
    """Model, variables and images."""
    model = build(tiny_config.model)
    images = jax.random.normal(jax.random.key(1), (3, 32, 32, 3))
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), 32)
    return model, variables, images


def forward(model, variables, images, **arguments):
    """`model.apply`, compiled."""
    static = {name: arguments.pop(name) for name in ("train",) if name in arguments}
    return jax.jit(lambda v, x, a: model.apply(v, x, **a, **static))(variables, images, arguments)


def streams(seed):
    return {"slots": jax.random.key(seed), "decoder": jax.random.key(seed + 1)}


def test_output_has_the_promised_shapes(case):
    model, variables, images = case
    output = forward(model, variables, images, rngs=streams(0))
    shapes = {name: getattr(output, name).shape for name in output.__dataclass_fields__}
    assert shapes == {
        "features": (3, 4, 4, 16),
        "slots": (3, 4, 16),
        "slot_mask": (3, 4),
        "attention": (3, 3, 4, 4, 4),
        "final_attention": (3, 4, 4, 4),
        "reconstruction": (3, 4, 4, 16),
        "decoder_attention": (3, 4, 4, 4),
    }
    assert output.slot_mask.dtype == bool and output.slot_mask.all()
    np.testing.assert_array_equal(output.final_attention, output.attention[-1])


def test_random_numbers_belong_to_the_sample_not_to_its_place(case):
    model, variables, images = case
    index = jnp.array([10, 11, 12])

    def run(images, index):
        return forward(model, variables, images, train=True, rngs=streams(0), sample_index=index)

    whole, last = run(images, index), run(images[2:], index[2:])
    chex.assert_trees_all_close(whole.slots[2:], last.slots, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(whole.reconstruction[2:], last.reconstruction, rtol=1e-4, atol=1e-5)
    other = run(images, index + 1)
    assert np.abs(other.slots - whole.slots).max() > 0.01


def test_everything_sampled_can_be_handed_in(case):
    model, variables, images = case
    given = {
        "initial_slots": jax.random.normal(jax.random.key(3), (3, 4, 16)),
        "token_order": jnp.tile(jnp.arange(16), (3, 1)),
        "num_visible": jnp.array([0, 5, 14]),
    }
    outputs = [forward(model, variables, images, train=train, **given) for train in (True, False)]
    chex.assert_trees_all_equal(*outputs)  # no random stream was needed


def test_evaluation_may_hide_all_tokens(case):
    model, variables, images = case
    blind = model.clone(evaluation_sees_tokens=False)
    output = forward(blind, variables, images, rngs=streams(0))
    order = jnp.tile(jnp.arange(16), (3, 1))
    none = jnp.zeros(3, int)
    same = forward(model, variables, images, rngs=streams(0), token_order=order, num_visible=none)
    chex.assert_trees_all_close(output, same, rtol=1e-4, atol=1e-5)
    seeing = forward(model, variables, images, rngs=streams(0))
    assert np.abs(seeing.reconstruction - output.reconstruction).max() > 0


def test_shared_gaussian_serves_any_number_of_slots(case):
    model, variables, images = case
    many = model.clone(initializer=SharedGaussian(9, 16))
    assert forward(many, variables, images, rngs=streams(0)).slots.shape == (3, 9, 16)


def test_separate_gaussians_are_noisy_in_training_only():
    module, keys = SeparateGaussian(4, 16), jax.random.split(jax.random.key(0), 2)
    variables = module.init(jax.random.key(1), keys, True)
    trained, evaluated = (module.apply(variables, keys, train) for train in (True, False))
    np.testing.assert_array_equal(evaluated[0], evaluated[1])
    assert np.abs(trained[0] - trained[1]).max() > 0
    np.testing.assert_allclose(variables["params"]["log_deviation"], np.log(16**-0.5), rtol=1e-6)


def test_the_published_model_has_the_published_size():
    model = build(base.get_config().model)
    shapes = jax.eval_shape(lambda key: initialize(model, key, 256), jax.random.key(0))

    def count(tree):
        return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(tree))

    sizes = {name: count(tree) for name, tree in shapes["params"].items()}
    assert sizes["projector"] == 296_448 and sizes["initializer"] == 512
    assert sizes["aggregator"] == 1_184_256 and sizes["decoder"] == 9_787_776
    # 21.63 M with positions for 16 x 16 tokens; the checkpoint's 37 x 37 are kept here.
    assert count(shapes["backbone"]) == 21_629_184 + (37**2 - 16**2) * 384


def test_start_follows_the_reference_distributions(tiny_config):
    tiny_config.model.slot_width = 64
    model = build(tiny_config.model)
    start = jax.jit(initialize, static_argnums=(0, 2))
    params = start(model, jax.random.key(0), 32)["params"]

    def assert_uniform(values, bound):
        values = np.asarray(values)
        assert np.abs(values).max() <= bound and np.abs(values).max() > 0.9 * bound
        np.testing.assert_allclose(values.std(), bound / 3**0.5, rtol=0.1)

    aggregator, layer = params["aggregator"], params["decoder"]["layer_1"]
    assert_uniform(params["initializer"]["mean"], (3 / 64) ** 0.5)
    assert_uniform(params["initializer"]["log_deviation"], (3 / 64) ** 0.5)
    assert_uniform(aggregator["query"]["kernel"], 64**-0.5)
    assert_uniform(aggregator["key"]["kernel"], 16**-0.5)
    assert_uniform(aggregator["recurrent"]["input"]["kernel"], 64**-0.5)
    assert_uniform(aggregator["mlp"]["output"]["kernel"], 256**-0.5)
    assert_uniform(layer["cross_attention"]["query_key_value"], (6 / 64) ** 0.5)
    assert_uniform(layer["cross_attention"]["output"]["kernel"], 16**-0.5)
    for name in ("input", "state"):
        assert (np.asarray(aggregator["recurrent"][name]["bias"]) == 0).all()
    positions = np.asarray(params["decoder"]["positions"])
    assert np.abs(positions).max() <= 2 and 0.75 < positions.std() < 1.0


def test_a_wrong_number_of_tokens_names_the_key(case):
    model, variables, _ = case
    with pytest.raises(UserError, match="model.decoder.num_tokens=36"):
        model.apply(variables, jnp.zeros((1, 48, 48, 3)), rngs=streams(0))


def test_bfloat16_computes_near_float32(case, tiny_config):
    model, variables, images = case
    tiny_config.model.dtype = "bfloat16"
    output = forward(build(tiny_config.model), variables, images, rngs=streams(0))
    exact = forward(model, variables, images, rngs=streams(0))
    assert all(
        getattr(output, name).dtype == jnp.float32 for name in ("slots", "attention", "features")
    )
    np.testing.assert_allclose(output.reconstruction, exact.reconstruction, atol=0.15)
