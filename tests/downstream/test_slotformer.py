"""Roll-outs and their loss against the released code's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dias_jax.downstream import slotformer
from dias_jax.downstream.rollout_losses import rollout_objective, slot_loss
from dias_jax.downstream.slotformer import SlotFormer, roll_out_interleaved
from dias_jax.downstream.standardise import Units, units_of
from dias_jax.errors import UserError
from dias_jax.models.inputs import initialize
from dias_jax.runs.state import TrainState
from dias_jax.steps.training import mean_gradients, train_step

pytestmark = pytest.mark.usefixtures("quick_compilation")

FLOAT = {"rtol": 2e-5, "atol": 2e-5}  # float32 sums in another order, through five chained frames
MODEL = SlotFormer(12, window=4, width=16, layers=2, heads=4, mlp_width=32)
OBSERVED, PREDICTED = 4, 5
LAYER = {
    "query_key_value": "self_attn.in_proj_",
    "attended": "self_attn.out_proj.",
    "norm1": "norm1.",
    "norm2": "norm2.",
    "hidden": "linear1.",
    "output": "linear2.",
}


@pytest.fixture(scope="module")
def golden(slotformer_golden):
    return slotformer_golden


@pytest.fixture(scope="module")
def other_forms(slotformer_shared):
    return slotformer_shared


def params_of(golden, prefix):
    """Parameters, or gradients, of the golden model as the package has them."""

    def affine(name):
        weight, bias = golden[f"{prefix}/{name}weight"], golden[f"{prefix}/{name}bias"]
        return {"scale" if weight.ndim == 1 else "kernel": weight.T, "bias": bias}

    params = {"input": affine("in_proj."), "output": affine("out_proj.")}
    for number in range(2):
        place = f"transformer_encoder.layers.{number}."
        params[f"encoder_{number}"] = {ours: affine(place + name) for ours, name in LAYER.items()}
    if f"{prefix}/enc_slots_pe" in golden:
        params["slot_embedding"] = golden[f"{prefix}/enc_slots_pe"][0]
    return params


def roll_out(golden, prefix, observed=OBSERVED, **fields):
    """Predicted frames of one of the golden models, from the last `observed` frames."""
    variables = {"params": params_of(golden, f"{prefix}state")}
    slots = golden["slots"][:, OBSERVED - observed : OBSERVED]
    return MODEL.clone(**fields).apply(variables, slots, PREDICTED)


@pytest.fixture(scope="module")
def predicted(golden):
    return roll_out(golden, "")


@pytest.fixture(scope="module")
def batch(golden):
    return {
        "slots": golden["slots"],
        "slot_mask": np.ones(golden["slots"].shape[:3], bool),
        "index": np.arange(4),
    }


def test_time_embedding(golden):
    embedding = slotformer.time_embedding(4, 16)
    np.testing.assert_allclose(embedding, golden["eval/time_embedding"][0], atol=1e-7)


def test_every_layer(golden):
    layers = {}

    def keep(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if isinstance(context.module, slotformer.EncoderLayer):
            layers[context.module.name] = result
        return result

    slots = golden["slots"][:, :OBSERVED]
    inputs = {"slots": slots, "slot_mask": np.ones(slots.shape[:3], bool)}
    with slotformer.nn.intercept_methods(keep):
        MODEL.apply({"params": params_of(golden, "state")}, method="predict_next", **inputs)
    first, last = golden["eval/layers_of_first_step"]
    np.testing.assert_allclose(layers["encoder_0"], first, **FLOAT)
    np.testing.assert_allclose(layers["encoder_1"], last[:, -3:], **FLOAT)  # what is read


def test_predictions(golden, predicted):
    np.testing.assert_allclose(predicted, golden["eval/prediction"], **FLOAT)


@pytest.mark.parametrize(
    "name, fields",
    [
        ("post_norm/", {"pre_norm": False}),
        ("slot_embedding/", {"num_embedded": 3}),
        ("single_step/", {"observed": 1, "window": 3}),
    ],
)
def test_predictions_of_other_forms(other_forms, name, fields):
    predicted = roll_out(other_forms, name, **fields)
    np.testing.assert_allclose(predicted, other_forms[f"{name}prediction"], **FLOAT)


def test_losses(golden, predicted):
    true = golden["slots"][:, OBSERVED:]
    counted = np.ones(true.shape[:3], bool)
    np.testing.assert_allclose(slot_loss(predicted, true, counted), golden["eval/loss"], rtol=1e-5)
    decayed = slot_loss(predicted, true, counted, decay=0.7)
    np.testing.assert_allclose(decayed, golden["eval/loss_decayed_0.7"], rtol=1e-5)
    gradient = jax.grad(slot_loss, argnums=1)(predicted, jnp.asarray(true), counted)
    assert not gradient.any()


def test_interleaved_frames(other_forms):
    variables = {"params": params_of(other_forms, "offset/state")}
    observed, offset = int(other_forms["offset/observed"]), int(other_forms["offset/frame_offset"])
    video = other_forms["offset/video"]
    roll_out = functools.partial(MODEL.apply, variables)
    found = roll_out_interleaved(roll_out, video[:, :observed], 26 - observed, offset, 4)
    np.testing.assert_allclose(found, other_forms["offset/result"][:, observed:], **FLOAT)
    with pytest.raises(UserError, match="2 observed frames are fewer"):
        roll_out_interleaved(roll_out, video[:, :2], 5, offset, 4)


def test_gradients_and_three_steps_of_adam(golden, batch):
    params, optimizer = params_of(golden, "state"), optax.adam(2e-3)
    model = MODEL.clone(dropout=0.0)
    loss_fn = functools.partial(rollout_objective, model=model, num_steps=PREDICTED)

    def loss_of(params, batch):
        return loss_fn({"params": params}, batch, jax.random.key(0), 0)

    gradients, _ = jax.jit(functools.partial(mean_gradients, loss_of, parts=1))(params, batch)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=5e-5),
        gradients,
        params_of(golden, "grad"),
    )
    state = TrainState(jnp.int32(0), params, optimizer.init(params), {})
    step_fn = jax.jit(functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer))
    for step in range(3):
        state, values = step_fn(state, batch, jax.random.key(0))
        for name, value in (("loss", values["loss"]), ("grad_norm", values["gradient_norm"])):
            expected = golden[f"train{step}/{name}"]
            np.testing.assert_allclose(value, expected, rtol=5e-5, err_msg=name)
    # Where a gradient is nearly zero, Adam divides rounding by rounding: a share of a step of 2e-3.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-4),
        without_key_bias(state.params),
        without_key_bias(params_of(golden, "param_after")),
    )


def without_key_bias(params):
    """What adds the same to all logits of a query has no gradient but rounding."""
    for number in range(2):
        bias = params[f"encoder_{number}"]["query_key_value"]["bias"]
        params[f"encoder_{number}"]["query_key_value"]["bias"] = np.delete(bias, np.s_[16:32])
    return params


def test_slots_not_in_use_do_not_matter(golden, batch):
    variables = {"params": params_of(golden, "state")}
    slots = batch["slots"][:, :OBSERVED]
    mask = batch["slot_mask"][:, :OBSERVED].copy()
    mask[:, :, 1] = False
    masked = MODEL.apply(variables, slots, PREDICTED, mask)
    fewer = MODEL.apply(variables, slots[:, :, ::2], PREDICTED)
    np.testing.assert_allclose(masked[:, :, ::2], fewer, **FLOAT)
    assert np.isfinite(masked).all()


def loss_in_training(model, variables, batch, seed=0):
    key = jax.random.key(seed)
    loss = rollout_objective(variables, batch, key, 0, model=model, num_steps=PREDICTED)[0]
    return float(loss)


def test_loss_counts_slots_in_use_on_both_frames(golden, batch):
    variables = {"params": params_of(golden, "state")}
    model, mask = MODEL.clone(dropout=0.0), batch["slot_mask"].copy()
    mask[:, :, 1] = False
    mask[0, 6:] = False
    slots = batch["slots"].copy()
    expected = loss_in_training(model, variables, batch | {"slot_mask": mask})
    slots[:, :, 1] = 7.0
    slots[0, 6:] = -3.0
    changed = loss_in_training(model, variables, batch | {"slots": slots, "slot_mask": mask})
    np.testing.assert_allclose(changed, expected, rtol=1e-5)
    mask[1:, OBSERVED:, 1] = True  # nothing has been seen of what comes only later
    later = loss_in_training(model, variables, batch | {"slots": slots, "slot_mask": mask})
    np.testing.assert_allclose(later, expected, rtol=1e-5)


def test_dropout_is_of_each_sample_and_step(golden, batch):
    variables = {"params": params_of(golden, "state")}
    one, again, other = (loss_in_training(MODEL, variables, batch, seed) for seed in (0, 0, 1))
    assert one == again != other
    slots = jnp.ones((2, 4, 3, 12))
    roll_out = functools.partial(MODEL.apply, variables, slots, 2, train=True)
    first, second = roll_out(sample_index=jnp.array([5, 6]), rngs={"dropout": jax.random.key(0)})
    assert not np.allclose(first, second)
    swapped = roll_out(sample_index=jnp.array([6, 5]), rngs={"dropout": jax.random.key(0)})
    np.testing.assert_allclose(swapped[::-1], jnp.stack([first, second]), rtol=1e-5)


def test_starts_like_every_model(golden):
    start = functools.partial(initialize, MODEL.clone(num_embedded=3), image_size=32)
    params = jax.eval_shape(start, jax.random.key(0))["params"]
    golden = params_of(golden, "state") | {"slot_embedding": np.zeros((3, 16))}
    jax.tree.map(lambda one, other: np.testing.assert_equal(one.shape, other.shape), params, golden)


def test_a_window_of_frames_is_seen(golden, batch):
    variables = {"params": params_of(golden, "state")}

    def total(slots):
        return jnp.square(MODEL.apply(variables, slots, 2)).sum()

    gradient = jax.grad(total)(jnp.asarray(batch["slots"]))
    assert gradient[:, -4:].any((1, 2, 3)).all() and not gradient[:, :-4].any()


def test_changes_start_from_a_copy():
    """A roll-out of changes is at first a copy of the last slots, whatever units they have."""
    slots = np.random.default_rng(0).standard_normal((2, 4, 3, 12)).astype(np.float32)
    units = units_of(slots.reshape(-1, 3, 12), np.ones((8, 3), bool))
    model = MODEL.clone(residual=True, units=units)
    variables = model.init(jax.random.key(0), slots, 1)
    np.testing.assert_array_equal(model.apply(variables, slots, 2)[:, 1], slots[:, -1])


def test_units_do_not_show_in_what_is_predicted():
    """Slots in other units, and a model that knows these: the same prediction in those units."""
    random = np.random.default_rng(1)
    slots = random.standard_normal((2, 4, 3, 12)).astype(np.float32)
    mean, deviation = random.standard_normal(12), random.uniform(0.5, 2, 12)
    units = Units(tuple(mean.tolist()), tuple(deviation.tolist()))
    variables = MODEL.init(jax.random.key(0), slots, 1)
    plain = MODEL.apply(variables, slots, 3)
    moved = (slots * deviation + mean).astype(np.float32)
    found = MODEL.clone(units=units).apply(variables, moved, 3)
    np.testing.assert_allclose(found, plain * deviation + mean, rtol=1e-4, atol=1e-4)


def test_units_are_of_slots_in_use():
    slots = np.zeros((4, 2, 3))
    slots[:, 0] = [[1, 5, 7], [3, 5, 7], [1, 5, 7], [3, 5, 7]]
    slots[:, 1] = 100  # not in use
    units = units_of(slots, np.array([[True, False]] * 4))
    assert units.mean == (2, 5, 7)
    assert units.deviation == (1, 1, 1)  # what does not vary is left as it is
