"""Read-outs, their loss and metrics against the released code's numbers."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from dias_jax.downstream import readout_metrics
from dias_jax.downstream.readout import (
    RelationReadout,
    SelectingReadout,
    answer_objective,
    role_loss,
)
from dias_jax.errors import UserError
from dias_jax.evaluation.reasoning import score_answers
from dias_jax.models.inputs import initialize
from dias_jax.runs.state import TrainState
from dias_jax.steps.training import train_step

pytestmark = pytest.mark.usefixtures("quick_compilation")

FLOAT = {"rtol": 2e-5, "atol": 2e-6}  # float32 sums in another order
WAYS = ("max", "mean", "sum")


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parents[1] / "golden/readout.npz") as file:
        return dict(file)


def params_of(golden, prefix):
    places = {"relation": "linear1", "answer": "linear2"}
    return {
        ours: {
            "kernel": golden[f"{prefix}/{name}.weight"].T,
            "bias": golden[f"{prefix}/{name}.bias"],
        }
        for ours, name in places.items()
    }


def logits_of(golden, slots, prefix="max", way="max", slot_mask=None):
    variables = {"params": params_of(golden, f"{prefix}/state")}
    return RelationReadout(10, 12, way).apply(variables, slots, slot_mask)


@pytest.fixture(scope="module")
def batch(golden):
    return {
        "slots": golden["slots"],
        "slot_mask": np.ones(golden["slots"].shape[:3], bool),
        "answer": golden["label"] == 1,
    }


@pytest.mark.parametrize("way", WAYS)
def test_logits_and_accuracies(golden, batch, way):
    logits = logits_of(golden, golden["slots"], way, way)
    np.testing.assert_allclose(logits, golden[f"{way}/logits"], **FLOAT)
    masked = logits_of(golden, golden["slots"], way, way, batch["slot_mask"])
    np.testing.assert_allclose(masked, logits, **FLOAT)
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        found = readout_metrics.accuracy(np.asarray(logits), batch["answer"], threshold)
        assert found == pytest.approx(100 * golden[f"{way}/acc_{threshold:.2f}"])


@pytest.mark.parametrize("way", WAYS)
def test_three_steps_of_adam(golden, batch, way):
    params, optimizer = params_of(golden, f"{way}/state"), optax.adam(1e-3)
    loss_fn = functools.partial(answer_objective, model=RelationReadout(10, 12, way))
    gradients = jax.grad(lambda params: loss_fn({"params": params}, batch, None, 0)[0])(params)
    close = functools.partial(np.testing.assert_allclose, **FLOAT)
    jax.tree.map(close, gradients, params_of(golden, f"{way}/grad"))
    state = TrainState(jnp.int32(0), params, optimizer.init(params), {})
    step_fn = jax.jit(functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer))
    for step in range(3):
        state, values = step_fn(state, batch, jax.random.key(0))
        for name, value in (("loss", values["loss"]), ("grad_norm", values["gradient_norm"])):
            expected = golden[f"{way}/train{step}/{name}"]
            np.testing.assert_allclose(value, expected, rtol=5e-6, err_msg=name)
    # Where a gradient is nearly zero, Adam divides rounding by rounding: a share of a step of 1e-3.
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    jax.tree.map(close, state.params, params_of(golden, f"{way}/param_after"))


def test_a_pair_is_in_the_slots_order(golden):
    logits = logits_of(golden, golden["slots"][:, :, ::-1], "order")
    np.testing.assert_allclose(logits, golden["order/logits_of_reversed_slots"], **FLOAT)


@pytest.mark.parametrize("way", WAYS)
def test_pairs_of_slots_in_use(way):
    slots = np.random.default_rng(0).standard_normal((3, 2, 4, 5), np.float32)
    model = RelationReadout(5, 6, way)
    variables = model.init(jax.random.key(0), slots)
    mask = np.ones((3, 2, 4), bool)
    mask[:, :, 1] = False
    masked = model.apply(variables, slots, mask)
    np.testing.assert_allclose(masked, model.apply(variables, slots[:, :, [0, 2, 3]]), **FLOAT)
    mask[:, :, 2:] = False  # no pair
    assert (model.apply(variables, slots, mask) == 0).all()


def test_selecting_readout_finds_two_slots_in_use():
    """With sharp scores it is the MLP of the two slots that score highest, in whatever order."""
    slots = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    slots[..., :2] = 0
    slots[:, :, 1, 0], slots[:, :, 3, 1] = 1, 1
    model = SelectingReadout(5, 6)
    params = model.init(jax.random.key(0), slots)["params"]
    params["role"]["kernel"] = 100 * np.eye(5, 2, dtype=np.float32)

    def both(one, other):
        pair = jnp.concatenate([slots[:, :, one], slots[:, :, other]], axis=-1)
        hidden = pair @ params["answer"]["hidden"]["kernel"]
        return (jax.nn.gelu(hidden, False) @ params["answer"]["output"]["kernel"]).max((1, 2))

    variables = {"params": params}
    np.testing.assert_allclose(model.apply(variables, slots), both(1, 3), **FLOAT)
    order = [3, 2, 0, 1]
    np.testing.assert_allclose(model.apply(variables, slots[:, :, order]), both(1, 3), **FLOAT)
    slots[:, :, 2, 1] = 2
    mask = np.array([True, True, False, True]) & np.ones((2, 3, 1), bool)
    np.testing.assert_allclose(model.apply(variables, slots, mask), both(1, 3), **FLOAT)
    np.testing.assert_allclose(model.apply(variables, slots), both(1, 2), **FLOAT)


def test_role_loss_is_of_the_slots_that_are_told():
    """-log of a softmax over slots in use; who is not told counts nowhere, in gradients neither."""
    scores = np.log(np.array([[1, 2, 5], [4, 4, 1]], np.float32)).T[None, None]  # (1, 1, 3, 2)
    scores = np.where(np.array([True, True, False])[:, None], scores, -np.inf)
    roles = np.array([[[1, 0]]])
    expected = (np.log(3 / 2) + np.log(2)) / 2
    np.testing.assert_allclose(role_loss(scores, roles), expected, rtol=1e-6)
    both = np.concatenate([roles, [[[-1, 1]]]], axis=1)
    loss, gradient = jax.value_and_grad(role_loss)(np.repeat(scores, 2, axis=1), both)
    np.testing.assert_allclose(loss, (np.log(3 / 2) + 2 * np.log(2)) / 3, rtol=1e-6)
    assert np.isfinite(gradient).all() and not gradient[0, 1, :, 0].any()
    assert role_loss(scores, -np.ones((1, 1, 2), int)) == 0


@pytest.mark.parametrize("model", [RelationReadout(5, 6), SelectingReadout(5, 6)])
def test_starts_like_every_model(model):
    variables = initialize(model, jax.random.key(0), 32)
    assert model.apply(variables, jnp.ones((2, 3, 4, 5))).shape == (2,)


def test_unknown_aggregation():
    with pytest.raises(UserError, match='"median" is unknown'):
        RelationReadout(3, 4, "median").init(jax.random.key(0), jnp.zeros((1, 1, 2, 3)))


def test_thresholds(golden):
    logits, answers = golden["max/logits"], golden["label"] == 1
    for threshold, expected in zip(golden["test/thresholds"], golden["test/accuracy"]):
        found = readout_metrics.accuracy(logits, answers, threshold)
        assert found == pytest.approx(100 * expected)
    assert tuple(golden["test/thresholds"]) == pytest.approx(readout_metrics.THRESHOLDS)
    best = readout_metrics.best_on_test(logits[None, None], answers)
    assert best == pytest.approx(100 * golden["test/accuracy"].max())


def logit(probability):
    return np.log(probability / (1 - np.asarray(probability)))


def test_choice_of_threshold_and_the_published_rule():
    answers = np.array([True, True, False, False])
    logits = logit([0.62, 0.58, 0.57, 0.3])
    assert readout_metrics.choose_threshold(logits, answers, (0.4, 0.5, 0.575)) == 0.575
    assert readout_metrics.choose_threshold(logits, answers, (0.4, 0.5, 0.56)) == 0.5
    others = np.stack([logit([0.1] * 4), logits])  # epochs
    assert readout_metrics.best_on_test(others[:, None], answers, (0.575,)) == 100
    assert readout_metrics.best_on_test(others[None, :1], answers) == 50


def test_cells():
    random = np.random.default_rng(0)
    answers, ghost = random.integers(0, 2, (2, 200)).astype(bool)
    logits = random.standard_normal(200) + answers
    cells = readout_metrics.ghost_cells(answers, ghost)
    values = readout_metrics.accuracy_in_cells(logits, answers, cells)
    names = "no_ghost_no", "no_ghost_yes", "yes_ghost_no", "yes_ghost_yes"
    assert sum(values[f"questions/{name}"] for name in names) == 200
    for name, chosen in cells.items():
        expected = 100 * sklearn.metrics.accuracy_score(answers[chosen], logits[chosen] > 0)
        assert values[f"accuracy/{name}"] == pytest.approx(expected)
    assert (cells["ghost_wrong"] == (cells["yes_ghost_no"] | cells["no_ghost_yes"])).all()
    assert answers[cells["yes_ghost_no"]].all() and not ghost[cells["yes_ghost_no"]].any()
    nothing = {"none": np.zeros(200, bool)}
    assert "accuracy/none" not in readout_metrics.accuracy_in_cells(logits, answers, nothing)


def test_every_scenario_is_reported():
    answers, scenario = np.array([True, False, True, False]), np.array([0, 0, 2, 2])
    data = {"answers": answers[:, None], "scenario": scenario}
    logits = np.array([1.0, -1.0, 1.0, 1.0])
    found = score_answers(logits, data, ("Collide", "Drape", "Roll"))
    expected = {"accuracy": 75, "accuracy/collide": 100, "accuracy/roll": 50}
    counts = {"questions/collide": 2, "questions/drape": 0, "questions/roll": 2}
    assert found == expected | counts
    assert score_answers(logits, data) == {"accuracy": 75}
