"""Videos: what has to hold without any reference."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.errors import UserError
from dias_jax.models import build, build_video
from dias_jax.models.dias import Reinit
from dias_jax.models.draws import Draws
from dias_jax.models.inputs import initialize
from dias_jax.models.reduction import cluster_slots
from dias_jax.models.streaming import begin, step
from dias_jax.models.transition import sample_past
from dias_jax.models.video_output import VideoState

pytestmark = pytest.mark.usefixtures("quick_compilation")

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
KEYS = {
    name: jax.random.key(number)
    for number, name in enumerate(("slots", "decoder", "dropout", "reinit"))
}
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
SOME = Reinit(0.3, 1, 1)  # merges some slots of an untrained model, not all


@pytest.fixture
def config(tiny_config):
    config = tiny_config.model
    config.decoder.num_layers = 1
    config.num_slots = 5
    return config


def start(config, **changes):
    """A video model with `changes` of its fields, and its variables."""
    model = build_video(config)
    variables = initial_variables(model)
    return model.clone(**changes), variables


@functools.cache
def initial_variables(model):
    init = functools.partial(initialize, model, image_size=32)

    return jax.jit(init)(key=jax.random.key(0))


def frames(count=4, batch=2):
    """A video whose frames resemble each other."""
    ground, noise = (
        jax.random.normal(jax.random.key(key), (batch, count, 32, 32, 3)) for key in (1, 2)
    )
    return ground[:, :1] + 0.3 * noise


def run(model, variables, video, train=False, **arguments):
    """`model.apply`, compiled."""
    apply = jax.jit(
        lambda variables, video, arguments: model.apply(
            variables, video, train=train, rngs=KEYS, **arguments
        )
    )
    return apply(variables, video, arguments)


def twins(batch=2):
    """Initial slots (B, 5, D), of which 3 equals 1."""
    slots = jax.random.normal(jax.random.key(3), (batch, 5, 16))
    return slots.at[:, 3].set(slots[:, 1])


def assert_unused_slots_are_nothing(output):
    unused = ~np.asarray(output.slot_mask)
    for values in (output.slots, output.final_attention, output.decoder_attention):
        assert (np.asarray(values)[unused] == 0).all()
    for attention in (output.final_attention, output.decoder_attention):
        np.testing.assert_allclose(attention.sum(2), 1, rtol=1e-5)


@pytest.mark.parametrize("train", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "reduce_at",
    [
        "first",
        pytest.param("clip", marks=pytest.mark.slow),
        pytest.param("every", marks=pytest.mark.slow),
    ],
)
def test_one_frame_is_an_image_bit_for_bit(config, reduce_at, train):
    model, variables = start(config, reinit=SOME, reduce_at=reduce_at)
    image = build(config).clone(reinit=SOME)
    video = frames(1)
    output = run(model, variables, video, train, reduce_probability=0.9).first_frame()
    expected = run(image, variables, video[:, 0], train, reduce_probability=0.9)
    assert train or not expected.slot_mask.all()
    chex.assert_trees_all_equal(output, expected)


def test_output_has_the_promised_shapes(config):
    config.video.later_iterations = 2
    model, variables = start(config)
    output = jax.eval_shape(lambda: model.apply(variables, frames(), train=True, rngs=KEYS))
    shapes = {
        name: value.shape
        for name, value in vars(output).items()
        if isinstance(value, jax.ShapeDtypeStruct)
    }
    assert shapes == {
        "features": (2, 4, 4, 4, 16),
        "slots": (2, 4, 5, 16),
        "slot_mask": (2, 4, 5),
        "attention": (3, 2, 5, 4, 4),
        "later_attention": (2, 2, 3, 5, 4, 4),
        "final_attention": (2, 4, 5, 4, 4),
        "reconstruction": (2, 4, 4, 4, 16),
        "decoder_attention": (2, 4, 5, 4, 4),
        "first_slots": (2, 5, 16),
        "cluster": (2, 4, 5),
        "took_part": (2, 4, 5),
        "frame_valid": (2, 4),
    }
    assert output.similarity is None and output.state.slots.shape == (2, 5, 16)


@pytest.mark.slow
def test_features_may_be_given_in_place_of_a_video(config):
    model, variables = start(config)
    video = frames()
    expected = model.apply(variables, video, rngs=KEYS)
    trained = {"params": variables["params"]}
    given = model.apply(trained, features=expected.features, rngs=KEYS)
    chex.assert_trees_all_close(given, expected, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("reduce_at", ["clip", "every"])
def test_without_reduction_its_time_does_not_matter(config, reduce_at):
    model, variables = start(config, reinit=Reinit())
    expected = run(model, variables, frames())
    assert expected.slot_mask.all()
    other = run(model.clone(reduce_at=reduce_at), variables, frames())
    if reduce_at == "clip":
        chex.assert_trees_all_equal(other, expected)
    else:  # the clusters of one are summed up in another program
        chex.assert_trees_all_close(other, expected, rtol=1e-5, atol=5e-6)


@pytest.mark.slow
def test_merged_slots_stay_nothing(config):
    model, variables = start(config, reinit=Reinit(1e-5, num_iterations=1))
    slots = twins()
    output = run(model, variables, frames(), initial_slots=slots)
    np.testing.assert_array_equal(output.cluster, np.tile([0, 1, 2, 1, 4], (2, 4, 1)))
    assert_unused_slots_are_nothing(output)
    # After the reduction the others do not notice that it was there.
    kept = np.array([0, 1, 2, 4])
    fewer = VideoState(
        slots=output.slots[:, 0, kept],
        slot_mask=jnp.ones((2, 4), bool),
        cluster=jnp.tile(jnp.arange(4), (2, 1)),
        number=jnp.ones(2, int),
    )
    fewer = run(model, variables, frames()[:, 1:], state=fewer)
    chex.assert_trees_all_close(output.slots[:, 1:, kept], fewer.slots, **CLOSE)
    chex.assert_trees_all_close(output.reconstruction[:, 1:], fewer.reconstruction, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("transition", ["encoder", "random_past"])
def test_permuted_slots_permute_the_result(config, transition):
    config.video.transition = transition
    model, variables = start(config, reinit=Reinit(1e-5, num_iterations=1))
    slots, order = twins(), np.array([4, 0, 2, 1, 3])
    output, shuffled = (
        run(model, variables, frames(), initial_slots=x) for x in (slots, slots[:, order])
    )
    for name in ("slots", "final_attention", "decoder_attention"):
        before, after = (np.asarray(getattr(x, name)) for x in (output, shuffled))
        chex.assert_trees_all_close(after, before[:, :, order], **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("reduce_at", ["first", slow("every")])
def test_slices_of_a_stream_are_one_pass(config, reduce_at):
    model, variables = start(config, reinit=SOME, reduce_at=reduce_at)
    key, index = jax.random.key(5), jnp.array([7, 3])
    _, whole = step(model, variables, begin(key, index), frames(3))
    assert not whole.slot_mask.all()
    stream, found, sizes = begin(key, index), [], []
    for number in range(3):
        stream, output = step(model, variables, stream, frames(3)[:, number : number + 1])
        sizes.append(sum(x.size for x in jax.tree.leaves(stream.state)))
        found.append(output)
    assert len(set(sizes)) == 1 and (stream.state.number == 3).all()
    for name in ("slots", "slot_mask", "cluster", "final_attention", "decoder_attention"):
        joined = jnp.concatenate([getattr(x, name) for x in found], axis=1)
        chex.assert_trees_all_close(joined, getattr(whole, name), **CLOSE)
    chex.assert_trees_all_close(stream.state, whole.state, **CLOSE)


def test_the_whole_clip_cannot_be_streamed(config):
    model, variables = start(config, reduce_at="clip")
    stream = begin(jax.random.key(0), jnp.arange(2))
    stream = stream.replace(state=state_like(model, variables))
    with pytest.raises(UserError, match="clip.*whole video at once"):
        step(model, variables, stream, frames(1))


def state_like(model, variables):
    shapes = jax.eval_shape(lambda: model.apply(variables, frames(1), rngs=KEYS).state)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


@pytest.mark.slow
@pytest.mark.parametrize("reduce_at", ["first", "clip", "every"])
def test_padding_changes_nothing_before_it(config, reduce_at):
    model, variables = start(config, reinit=SOME, reduce_at=reduce_at)
    valid = jnp.array([[True] * 4, [True, True, False, False]])
    padded = run(model, variables, frames(), frame_valid=valid)
    noise = frames() + 3 * (~valid)[..., None, None, None]
    other = run(model, variables, noise, frame_valid=valid)
    short = run(model, variables, frames()[:, :2])
    for name in ("slots", "slot_mask", "final_attention", "decoder_attention", "reconstruction"):
        first, second, last = (np.asarray(getattr(x, name)) for x in (padded, other, short))
        np.testing.assert_array_equal(first[np.asarray(valid)], second[np.asarray(valid)])
        np.testing.assert_allclose(first[1, :2], last[1], **CLOSE)
    chex.assert_trees_all_equal(padded.state, other.state)
    np.testing.assert_array_equal(padded.state.slots[1], padded.slots[1, 1])
    np.testing.assert_array_equal(padded.state.number, [4, 2])


@pytest.mark.slow
def test_slices_may_have_any_length(config):
    model, variables = start(config, reinit=SOME)
    stream = begin(jax.random.key(5), jnp.array([7, 3]))
    _, whole = step(model, variables, stream, frames(5))
    stream, early = step(model, variables, stream, frames(5)[:, :2])
    stream, late = step(model, variables, stream, frames(5)[:, 2:])
    joined = jnp.concatenate([early.slots, late.slots], axis=1)
    chex.assert_trees_all_close(joined, whole.slots, **CLOSE)
    chex.assert_trees_all_close(late.reconstruction, whole.reconstruction[:, 2:], **CLOSE)


@pytest.mark.slow
def test_compiled_or_not(config):
    model, variables = start(config, reinit=SOME)
    eager = model.apply(variables, frames(2), train=True, rngs=KEYS)
    chex.assert_trees_all_close(eager, run(model, variables, frames(2), True), **CLOSE)


@pytest.mark.slow
def test_the_whole_clip_decides_what_merges(config):
    model, variables = start(config, reinit=Reinit())
    slots = run(model, variables, frames()).slots
    mean = (slots / jnp.linalg.norm(slots, axis=-1, keepdims=True)).mean(1)
    expected = cluster_slots(mean, SOME.threshold, SOME.min_clusters)
    output = run(model.clone(reinit=SOME, reduce_at="clip"), variables, frames())
    np.testing.assert_array_equal(output.cluster[:, 0], expected)
    assert (expected != np.arange(5)).any()
    assert_unused_slots_are_nothing(output)


@pytest.mark.slow
def test_places_that_merged_start_afresh_on_the_next_frame(config):
    model, variables = start(config, reinit=Reinit(1e-5, num_iterations=1), reduce_at="every")
    output = run(model, variables, frames(), initial_slots=twins())
    np.testing.assert_array_equal(output.slot_mask[:, 0], [[True, True, True, False, True]] * 2)
    assert output.took_part.all() and output.slot_mask[:, 1:].all()
    assert_unused_slots_are_nothing(output)
    # The noise of a frame is its own, and a handed-in one takes its place.
    noise = jax.random.normal(jax.random.key(9), (2, 4, 5, 16))
    other = run(model, variables, frames(), initial_slots=twins(), draws=Draws(noise=noise))
    same, moved = (np.abs(other.slots - output.slots)[:, i].max() for i in (0, 1))
    assert same == 0 and moved > 1e-3


@pytest.mark.slow
def test_boxes_that_fill_the_batch_are_nothing(config):
    config.video.boxes = True
    model = build_video(config).clone(reinit=Reinit(0.5, 1, 1))
    boxes = jax.random.uniform(jax.random.key(4), (2, 5, 4)).at[:, 3:].set(0)
    box_mask = jnp.arange(5) < jnp.array([[3], [3]])
    variables = jax.jit(lambda key: initialize(model, key, 32))(jax.random.key(0))
    output = run(model, variables, frames(2), boxes=boxes, box_mask=box_mask)
    assert not output.slot_mask[:, :, 3:].any()
    assert_unused_slots_are_nothing(output)
    fewer = run(model, variables, frames(2), boxes=boxes[:, :3])
    chex.assert_trees_all_close(output.slots[:, :, :3], fewer.slots, **CLOSE)
    np.testing.assert_array_equal(output.cluster[:, :, :3], fewer.cluster)


@pytest.mark.slow
@pytest.mark.parametrize("transition", ["encoder", "random_past"])
def test_training_draws_belong_to_sample_and_frame(config, transition):
    config.video.transition, config.video.dropout = transition, 0.5
    model, variables = start(config)
    index = jnp.array([4, 9])
    whole = run(model, variables, frames(), True, sample_index=index)
    last = run(model, variables, frames()[1:], True, sample_index=index[1:])
    chex.assert_trees_all_close(whole.slots[1:], last.slots, **CLOSE)
    chex.assert_trees_all_close(whole.reconstruction[1:], last.reconstruction, **CLOSE)
    other = run(model, variables, frames(), True, sample_index=index + 1)
    evaluated = run(model, variables, frames(), sample_index=index)
    noise = model.clone(transition=model.transition.clone(dropout=0.0))
    still = run(noise, variables, frames(), True, sample_index=index)
    assert np.abs(other.slots - whole.slots).max() > 1e-3
    chex.assert_trees_all_close(whole.slots[:, 0], evaluated.slots[:, 0], **CLOSE)
    assert np.abs(still.slots - whole.slots)[:, 1:].max() > 1e-3
    if transition == "encoder":
        chex.assert_trees_all_close(still.slots, evaluated.slots, **CLOSE)


@pytest.mark.parametrize("window", [3, 6])
def test_random_past_frames(window):
    keys = jax.random.split(jax.random.key(0), (4000, 5))
    slots, tokens = (np.asarray(x) for x in sample_past(keys, jnp.arange(1, 6), window))
    for column, number in enumerate(range(1, 6)):
        for found, low, high in ((slots, 0, number - 1), (tokens, 1, number)):
            low = max(low, number - window + 1)
            values, counts = np.unique(found[:, column], return_counts=True)
            np.testing.assert_array_equal(values, np.arange(low, high + 1))
            np.testing.assert_allclose(counts / 4000, 1 / len(values), atol=0.05)
    late = slots[:, 4], tokens[:, 4]  # independent: a token frame may be before the slots'
    assert (late[1] < late[0]).any() and (late[1] > late[0]).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video.transition_heads": 3}, "video.transition_heads=3 does not divide the slot width"),
        ({"video.boxes": True, "video.reduce_at": "every"}, 'reduce_at="every" starts'),
        ({"video.predicts_similarity": True, "token_stride": 2}, "token_stride=2"),
    ],
)
def test_what_does_not_go_together_is_named(config, changes, words):
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=words):
        build_video(config)
