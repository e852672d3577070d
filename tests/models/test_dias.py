"""DIAS as a whole: shapes, randomness, re-initialisation, initial distributions."""

import functools

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax import losses
from dias_jax.compare.case import compute_in, image_size, tiny_model
from dias_jax.config import defaults
from dias_jax.errors import UserError
from dias_jax.models import build, predict
from dias_jax.models.dias import Encoded, FirstAggregation, Reinit
from dias_jax.models.draws import Draws
from dias_jax.models.initializer import SeparateGaussian, SharedGaussian
from dias_jax.models.inputs import initialize

pytestmark = pytest.mark.usefixtures("quick_compilation")

MANY = 0.1  # threshold at which some of nine slots of an untrained model merge


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


@pytest.mark.parametrize("shape", [(32, 32, 3), (3, 32, 32, 4)])
def test_what_is_no_batch_of_images_is_refused(case, shape):
    model, variables, _ = case
    with pytest.raises(UserError, match="images of shape .*: give a batch, .B, H, W, 3."):
        predict(model, variables, np.zeros(shape, np.uint8), jax.random.key(0))


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "HIGHEST"), ("bfloat16", "HIGH,")])
def test_images_are_resized_as_exactly_as_features_are_kept(dtype, precision):
    model = compute_in(tiny_model(), dtype)
    size = image_size(model)
    shapes = jax.eval_shape(lambda key: initialize(model, key, size), jax.random.key(0))
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    extract = functools.partial(model.apply, method="extract_features")
    lines = jax.jit(extract).lower(shapes, images).as_text().splitlines()
    resizing = [line for line in lines if "dot_general" in line and f"(tensor<{size}x" in line]
    assert resizing and all(f"precision = [{precision}" in line for line in resizing)


def test_features_may_be_given_in_place_of_images(case):
    """Those in bfloat16 are what they are in float32, and the backbone is not asked."""
    model, variables, images = case
    features = forward(model, variables, images, rngs=streams(0)).features.astype(jnp.bfloat16)
    trained = {"params": variables["params"]}
    given = [
        forward(model, trained, None, features=features.astype(dtype), rngs=streams(0))
        for dtype in (jnp.bfloat16, jnp.float32)
    ]
    chex.assert_trees_all_equal(*given)
    expected = forward(model, variables, images, rngs=streams(0))
    chex.assert_trees_all_close(given[0].slots, expected.slots, rtol=0.05, atol=0.05)
    assert (given[0].features != expected.features).any()


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
        "first_slots": (3, 4, 16),
        "cluster": (3, 4),
    }
    assert output.slot_mask.dtype == bool and output.cluster.dtype == jnp.int32
    np.testing.assert_array_equal(output.slot_mask, output.cluster == np.arange(4))
    np.testing.assert_allclose(output.final_attention.sum(1), 1, rtol=1e-5)


def test_a_batch_looked_at_in_parts_is_the_batch(case):
    model, variables, _ = case
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    index, key = jnp.array([5, 2, 9, 2]), jax.random.key(3)
    whole, taken_apart = (predict(model, variables, images, key, index, parts) for parts in (1, 2))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), taken_apart, whole)
    again = predict(model, variables, images, key, index, 2, features=whole.features)
    np.testing.assert_allclose(again.reconstruction, whole.reconstruction, atol=1e-5)
    with pytest.raises(UserError, match="parts=3: give a number that divides the 4 images"):
        predict(model, variables, images, key, parts=3)


def test_what_all_images_share_is_not_taken_apart(case):
    model, variables, _ = case
    images, shared = np.zeros((4, 32, 32, 3), np.uint8), {"reduce_probability": 0.5}
    shapes = jax.eval_shape(
        lambda: predict(model, variables, images, jax.random.key(3), parts=2, **shared)
    )
    assert shapes.slots.shape[0] == 4


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


@pytest.mark.slow
def test_everything_sampled_can_be_handed_in(case):
    model, variables, images = case
    given = {
        "initial_slots": jax.random.normal(jax.random.key(3), (3, 4, 16)),
        "token_order": jnp.tile(jnp.arange(16), (3, 1)),
        "num_visible": jnp.array([0, 5, 14]),
    }
    outputs = [forward(model, variables, images, train=train, **given) for train in (True, False)]
    chex.assert_trees_all_equal(*outputs)  # no random stream was needed

    noise = jax.random.normal(jax.random.key(4), (3, 4, 16))
    gaussian = variables["params"]["initializer"]
    given["initial_slots"] = gaussian["mean"] + noise * jnp.exp(gaussian["log_deviation"])
    visible = {name: given[name] for name in ("token_order", "num_visible")}
    draws = Draws(noise=noise, is_reduced=jnp.ones(3, bool), **visible)
    as_one = forward(model, variables, images, train=True, draws=draws)
    by_name = forward(model, variables, images, train=True, **given)
    chex.assert_trees_all_close(as_one, by_name, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
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


@pytest.mark.slow
def test_raster_order_shows_tokens_row_by_row(case):
    model, variables, images = case
    raster = model.clone(raster_order=True, uniform_probability=0.0, fixed_visible=6)
    output = forward(raster, variables, images, train=True, rngs=streams(0))
    visible = {"token_order": jnp.tile(jnp.arange(16), (3, 1)), "num_visible": jnp.full(3, 6)}
    same = forward(model, variables, images, train=True, rngs=streams(0), **visible)
    chex.assert_trees_all_close(output, same, rtol=1e-4, atol=1e-5)
    shuffled = raster.clone(raster_order=False)
    other = forward(shuffled, variables, images, train=True, rngs=streams(0))
    assert np.abs(other.reconstruction - output.reconstruction).max() > 0


def test_shared_gaussian_serves_any_number_of_slots(case):
    model, variables, images = case
    many = model.clone(initializer=SharedGaussian(9, 16), reinit=Reinit(MANY, 1, 1))
    output = forward(many, variables, images, rngs=streams(0))
    assert output.slots.shape == (3, 9, 16)
    assert ((output.slot_mask.sum(1) > 1) & (output.slot_mask.sum(1) < 9)).any()
    assert_masked_slots_are_empty(output)


def assert_masked_slots_are_empty(output):
    """Zero, and without attention; the others share every token among themselves."""
    unused = ~np.asarray(output.slot_mask)
    for values in (output.slots, output.final_attention, output.decoder_attention):
        assert (np.asarray(values)[unused] == 0).all()
    for attention in (output.final_attention, output.decoder_attention):
        np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-5)


def random_first(duplicate):
    """A FirstAggregation of 3 samples and 4 slots far apart; with `duplicate`, 2 equals 0."""
    keys = jax.random.split(jax.random.key(5), 4)
    slots = jax.random.normal(keys[0], (3, 4, 16))
    attention = jax.nn.softmax(jax.random.normal(keys[1], (3, 3, 4, 16)), axis=2)
    features, tokens = (
        jax.random.normal(key, shape) for key, shape in zip(keys[2:], ((3, 4, 4, 16), (3, 16, 16)))
    )
    slots = slots.at[:, 2].set(slots[:, 0]) if duplicate else slots
    return FirstAggregation(Encoded(features, tokens), slots, attention, Draws())


def test_threshold_zero_without_iterations_is_the_released_model(case):
    model, variables, images = case
    released = model.clone(reinit=Reinit())

    @jax.jit
    def at_threshold(variables, images, threshold):
        first = released.apply(variables, images, rngs=streams(0), method="first_aggregation")
        return released.apply(variables, first, threshold, method="finish")

    general = at_threshold(variables, images, 0.0)
    expected = forward(released, variables, images, rngs=streams(0))
    chex.assert_trees_all_equal(general, expected)
    assert expected.slot_mask.all()
    np.testing.assert_array_equal(expected.slots, expected.first_slots)
    np.testing.assert_array_equal(expected.final_attention, expected.attention[-1])


def test_permuted_initial_slots_permute_the_result(case):
    model, variables, images = case
    model = model.clone(reinit=Reinit(1e-4, num_iterations=1))
    slots = jax.random.normal(jax.random.key(3), (3, 4, 16))
    slots = slots.at[:, 3].set(slots[:, 1])  # a redundant one
    order = np.array([3, 0, 2, 1])
    output, shuffled = (
        forward(model, variables, images, initial_slots=s) for s in (slots, slots[:, order])
    )
    np.testing.assert_array_equal(output.cluster, [[0, 1, 2, 1]] * 3)
    np.testing.assert_array_equal(shuffled.cluster, [[0, 1, 2, 0]] * 3)
    assert_masked_slots_are_empty(output)
    for name in ("slots", "final_attention", "decoder_attention"):
        # Merged slots stand at the place of the first of them.
        before, after = (np.asarray(getattr(x, name)) for x in (output, shuffled))
        np.testing.assert_allclose(
            after[:, [0, 1, 2]], before[:, [1, 0, 2]], rtol=1e-4, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(
        shuffled.attention, output.attention[:, :, order], rtol=1e-4, atol=1e-5
    )


def test_a_merged_pair_is_one_slot_in_values_and_gradients(case):
    model, variables, _ = case
    decoder = model.decoder.clone(num_layers=1)  # compiles faster
    model = model.clone(reinit=Reinit(0.12, num_iterations=1), decoder=decoder)
    first = random_first(duplicate=True)
    cluster = model.find_clusters(first, 0.12)
    np.testing.assert_array_equal(cluster, [[0, 1, 0, 3]] * 3)
    one = first.replace(slots=first.slots[:, [0, 1, 3]], attention=first.attention[:, :, [0, 1, 3]])

    @functools.partial(jax.jit, static_argnums=2)
    def run(params, first, threshold):
        def loss(params, slots):
            output = model.apply(
                variables | {"params": params},
                first.replace(slots=slots),
                threshold,
                method="finish",
            )
            return losses.reconstruction(output) + (output.final_attention**2).sum(), output

        gradients, output = jax.grad(loss, (0, 1), has_aux=True)(params, first.slots)
        return *gradients, output

    params, slots, output = run(variables["params"], first, 0.12)
    same_params, same_slots, same = run(variables["params"], one, 0.0)
    assert_masked_slots_are_empty(output)
    np.testing.assert_array_equal(output.slot_mask, [[True, True, False, True]] * 3)
    for name in ("slots", "final_attention", "decoder_attention"):
        np.testing.assert_allclose(
            getattr(output, name)[:, [0, 1, 3]], getattr(same, name), rtol=1e-4, atol=1e-5
        )
    tolerance = {"rtol": 1e-3, "atol": 1e-5}
    chex.assert_trees_all_close(output.reconstruction, same.reconstruction, **tolerance)
    chex.assert_trees_all_close(params, same_params, **tolerance)
    share = slots * jnp.array([2, 1, 2, 1])[:, None]  # each of a pair has half of the mean
    chex.assert_trees_all_close(share, same_slots[:, [0, 1, 0, 2]], **tolerance)


def test_without_a_second_aggregation_merged_attention_adds_up(case):
    model, variables, _ = case
    released = model.clone(reinit=Reinit(0.12))
    first = random_first(duplicate=True)
    output = jax.jit(lambda: released.apply(variables, first, 0.12, method="finish"))()
    last = first.attention[-1].reshape(3, 4, 4, 4)
    expected = last.at[:, 0].add(last[:, 2]).at[:, 2].set(0)
    np.testing.assert_allclose(output.final_attention, expected, rtol=1e-6)
    np.testing.assert_allclose(output.slots[:, [0, 1, 3]], first.slots[:, [0, 1, 3]], rtol=1e-6)
    assert_masked_slots_are_empty(output)


def test_the_second_aggregation_has_the_weights_of_the_first(case):
    model, variables, _ = case
    sizes = [
        jax.eval_shape(lambda key, m=m: initialize(m, key, 32), jax.random.key(0))
        for m in (model, model.clone(reinit=Reinit()))
    ]
    chex.assert_trees_all_equal_shapes_and_dtypes(*sizes)
    model = model.clone(reinit=Reinit(0.12, num_iterations=2))
    first = random_first(duplicate=False)
    output, (slots, attention) = jax.jit(
        lambda: (
            model.apply(variables, first, 0.12, method="finish"),
            model.aggregator.apply(
                {"params": variables["params"]["aggregator"]},
                first.encoded.tokens,
                first.slots,
                None,
                2,
            ),
        )
    )()
    assert attention.shape[0] == 2 and output.slot_mask.all()
    np.testing.assert_allclose(output.slots, slots, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        output.final_attention.reshape(3, 4, 16), attention[-1], rtol=1e-4, atol=1e-5
    )


def test_reduction_by_chance_is_between_none_and_that_of_evaluation(case):
    model, variables, images = case
    model = model.clone(reinit=Reinit(1e-4, num_iterations=1))
    slots = jax.random.normal(jax.random.key(3), (3, 4, 16))
    slots = slots.at[:, 3].set(slots[:, 1])
    given = {"initial_slots": slots, "rngs": {"reinit": jax.random.key(0)}}
    never, always = (
        forward(model, variables, images, reduce_probability=jnp.float32(p), **given)
        for p in (0, 1)
    )
    expected = forward(model, variables, images, initial_slots=slots)
    assert never.slot_mask.all() and not expected.slot_mask.all()
    assert np.abs(never.final_attention - never.attention[-1]).max() > 1e-3  # aggregated again
    np.testing.assert_array_equal(always.cluster, expected.cluster)
    chex.assert_trees_all_close(always, expected, rtol=1e-4, atol=1e-5)


def draw(model, key, index, probability=0.5):
    """`draw_reduction` as a step does it."""
    return model.apply({}, index, probability, rngs={"reinit": key}, method="draw_reduction")


def test_chance_is_drawn_for_the_step_or_for_each_sample(case):
    model, _, _ = case
    keys, index = jax.random.split(jax.random.key(0), 200), jnp.array([7, 3, 12, 40])
    step = jax.vmap(lambda key: draw(model, key, index))(keys)
    assert (step == step[:, :1]).all()
    assert 0.35 < step[:, 0].mean() < 0.65

    per_sample = model.clone(reinit=Reinit(0.12, per_sample=True))
    sample = jax.vmap(lambda key: draw(per_sample, key, index))(keys)
    assert 0.4 < sample.mean() < 0.6
    assert (sample != sample[:, :1]).any(1).mean() > 0.7
    order = np.array([2, 0, 3])  # another place, another batch size
    moved = jax.vmap(lambda key: draw(per_sample, key, index[order]))(keys)
    np.testing.assert_array_equal(moved, sample[:, order])
    for probability, expected in ((0.0, False), (1.0, True)):
        for m in (model, per_sample):
            assert (draw(m, keys[0], index, probability) == expected).all()


def test_chance_needs_its_own_random_stream(case):
    model, variables, images = case
    with pytest.raises(flax.errors.InvalidRngError, match="reinit"):
        jax.eval_shape(
            lambda: model.apply(variables, images, rngs=streams(0), reduce_probability=0.5)
        )


def test_separate_gaussians_are_noisy_in_training_only():
    module, noise = SeparateGaussian(4, 16), jax.random.normal(jax.random.key(0), (2, 4, 16))
    variables = module.init(jax.random.key(1), noise, True)
    trained, evaluated = (module.apply(variables, noise, train) for train in (True, False))
    np.testing.assert_array_equal(evaluated[0], evaluated[1])
    assert np.abs(trained[0] - trained[1]).max() > 0
    np.testing.assert_allclose(variables["params"]["log_deviation"], np.log(16**-0.5), rtol=1e-6)


def test_the_published_model_has_the_published_size():
    model = build(defaults.get_config().model)
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
    tiny_config.model.decoder.num_layers = 2
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
