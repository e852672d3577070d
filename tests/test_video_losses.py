"""Losses over time against their definitions in numpy; one device or several."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax import losses, video_losses
from dias_jax.models import VideoOutput

pytestmark = pytest.mark.usefixtures("quick_compilation")

B, F, S, D, T = 4, 3, 5, 6, 3


def softmax(shape, seed, axis):
    logits = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32), axis))


def make_output(later_iterations=1, **fields):
    """A VideoOutput of random numbers, as far as losses look at them; all is valid and in use."""
    random = np.random.default_rng(0)
    features, reconstruction = random.normal(size=(2, B, F, 2, 2, 7)).astype(np.float32)
    values = {
        "features": features,
        "reconstruction": reconstruction,
        "slots": random.normal(size=(B, F, S, D)).astype(np.float32),
        "slot_mask": np.ones((B, F, S), bool),
        "took_part": np.ones((B, F, S), bool),
        "cluster": np.tile(np.arange(S), (B, F, 1)),
        "frame_valid": np.ones((B, F), bool),
        "attention": softmax((T, B, S, 2, 2), 1, 2),
        "later_attention": softmax((later_iterations, B, F - 1, S, 2, 2), 2, 3),
        "final_attention": softmax((B, F, S, 2, 2), 3, 2),
        "decoder_attention": softmax((B, F, S, 2, 2), 4, 2),
        "similarity": random.normal(size=(B, F, 4, 4)).astype(np.float32),
        "first_slots": random.normal(size=(B, S, D)).astype(np.float32),
        "state": None,
    }
    return VideoOutput(**values | fields)


def some_padding():
    """Validity of frames: two videos end early, one is not there at all."""
    return np.array([[True] * 3, [True, True, False], [True, False, False], [False] * 3])


def some_slots():
    """Masks of slots that are not the same on all frames."""
    mask = np.ones((B, F, S), bool)
    mask[0, :, 1] = mask[1, 0, 2] = mask[1, 1, 3] = False
    return mask


def zero_unused(output):
    return output.replace(slots=output.slots * output.slot_mask[..., None])


def contrast_by_hand(output, temperature):
    """Every slot of every frame but the first, one after the other."""
    slots, in_use = output.slots, output.slot_mask & output.frame_valid[..., None]
    values = []
    for t in range(F - 1):
        earlier = slots[:, t][in_use[:, t]]
        earlier = earlier / np.linalg.norm(earlier, axis=-1, keepdims=True)
        for b, s in np.argwhere(in_use[:, t] & in_use[:, t + 1]):
            now, own = slots[b, t + 1, s], slots[b, t, s]
            logits = earlier @ now / np.linalg.norm(now) / temperature
            target = own @ now / np.linalg.norm(own) / np.linalg.norm(now) / temperature
            values.append(np.log(np.exp(logits).sum()) - target)
    return np.mean(values)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("fields", [{}, {"slot_mask": some_slots(), "frame_valid": some_padding()}])
def test_contrast_is_its_definition(fields, temperature):
    output = zero_unused(make_output(**fields))
    value = jax.jit(video_losses.slot_contrast)(output, temperature)
    np.testing.assert_allclose(value, contrast_by_hand(output, temperature), rtol=1e-5)


def test_slots_that_are_not_in_use_get_no_gradient_and_give_none():
    output = zero_unused(make_output(slot_mask=some_slots(), frame_valid=some_padding()))

    def loss(slots):
        return video_losses.slot_contrast(output.replace(slots=slots))

    gradient = np.asarray(jax.jit(jax.grad(loss))(output.slots))
    unused = ~(output.slot_mask & output.frame_valid[..., None])
    assert np.isfinite(gradient).all() and (gradient[unused] == 0).all()
    assert (np.abs(gradient[0, :, 0]).max(-1) > 0).all()


LOSSES = {
    "reconstruction": video_losses.reconstruction,
    "distillation": video_losses.self_distillation,
    "contrast": video_losses.slot_contrast,
    "similarity": video_losses.time_similarity,
}


def value_and_gradients(loss, output):
    """To the fields that some loss looks at."""
    names = ("reconstruction", "slots", "attention", "similarity")

    def of(fields):
        return loss(output.replace(**fields))

    return jax.value_and_grad(of)({name: jnp.asarray(getattr(output, name)) for name in names})


@pytest.mark.parametrize("devices", [4, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LOSSES)
def test_the_number_of_devices_does_not_matter(name, devices):
    """Padding lies unevenly, and the last of four devices has nothing but padding."""
    loss = LOSSES[name]
    output = zero_unused(make_output(slot_mask=some_slots(), frame_valid=some_padding()))
    expected, gradients = jax.jit(value_and_gradients, static_argnums=0)(loss, output)

    def split(name, x):
        axis = int(name in ("attention", "later_attention"))  # whose first axis is T
        return np.stack(np.split(np.asarray(x), devices, axis))

    parts = {name: split(name, x) for name, x in vars(output).items() if x is not None}
    shares = VideoOutput(**dict.fromkeys(vars(output)) | parts)
    on_device = functools.partial(value_and_gradients, functools.partial(loss, axis_name="d"))
    values, found = jax.jit(jax.vmap(on_device, axis_name="d"))(shares)
    np.testing.assert_allclose(values.mean(), expected, rtol=1e-5)
    for field, gradient in found.items():  # a device's own samples; the mean over devices sums up
        whole = split(field, gradients[field])
        np.testing.assert_allclose(gradient / devices, whole, rtol=1e-4, atol=1e-7)


def test_reconstruction_is_the_mean_over_valid_frames():
    valid = some_padding()
    output = make_output(frame_valid=valid)
    square = (output.features - output.reconstruction) ** 2
    value = video_losses.reconstruction(output)
    np.testing.assert_allclose(value, square[valid].mean(), rtol=1e-6)
    per_frame = losses.reconstruction_per_sample(output)
    np.testing.assert_allclose(per_frame, square.mean((2, 3, 4)), rtol=1e-5)


@pytest.mark.parametrize("form", losses.DISTILLATION_FORMS)
@pytest.mark.parametrize("teacher", losses.TEACHERS)
def test_with_one_iteration_later_only_the_first_frame_is_distilled(form, teacher):
    output = make_output()
    maps, slot_mask = losses.distilled_maps(output.first_frame(), teacher)
    expected = losses.self_distillation(maps, form, slot_mask)
    value = video_losses.self_distillation(output, form, teacher)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("form", losses.DISTILLATION_FORMS)
def test_with_more_iterations_all_frames_are_distilled(form):
    output = make_output(later_iterations=2, frame_valid=some_padding())
    values = [losses.self_distillation_per_sample(output.attention, form)]
    for frame in range(F - 1):
        maps = output.later_attention[:, :, frame]
        values.append(losses.self_distillation_per_sample(maps, form))
    expected = np.stack(values, 1)[output.frame_valid].mean()
    value = video_losses.self_distillation(output, form)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_slots_outside_the_first_aggregation_have_no_share_in_the_released_form():
    mask = np.array([True, True, False, True, True])
    attention = [softmax((2, B, S - 1, 2, 2), 5, 2), softmax((2, B, F - 1, S - 1, 2, 2), 6, 3)]
    fewer = make_output(attention=attention[0], later_attention=attention[1])
    fewer = fewer.replace(took_part=np.ones((B, F, S - 1), bool))
    wider = [np.insert(x, 2, 0, axis=axis) for x, axis in zip(attention, (2, 3))]
    output = make_output(attention=wider[0], later_attention=wider[1])
    output = output.replace(took_part=np.broadcast_to(mask, (B, F, S)))
    values = [video_losses.self_distillation(x) for x in (output, fewer)]
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_time_similarity_is_its_definition():
    valid = some_padding()
    output = make_output(frame_valid=valid)
    unit = output.features.reshape(B, F, 4, 7)
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    target = np.exp(np.einsum("bfnc,bfmc->bfnm", unit[:, :-1], unit[:, 1:]) / 0.3)
    target /= target.sum(-1, keepdims=True)
    logits = output.similarity[:, :-1]
    share = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -(target * np.log(share)).sum(-1).mean(-1)[valid[:, :-1] & valid[:, 1:]].mean()
    value = video_losses.time_similarity(output, 0.3)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradient = jax.grad(lambda x: video_losses.time_similarity(output.replace(features=x)))
    assert (gradient(jnp.asarray(output.features)) == 0).all()


def test_what_is_not_there_is_zero():
    output = make_output(frame_valid=np.zeros((B, F), bool))
    for loss in LOSSES.values():
        assert loss(output) == 0
