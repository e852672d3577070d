"""Matching, probe, losses and metrics against the released code's numbers and scikit-learn."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from dias_jax.downstream import match_slots, recognition_metrics
from dias_jax.downstream.matching import keep_pairs, match_maps, of_partner, things_of_slots
from dias_jax.downstream.probe import Probe
from dias_jax.downstream.recognition_losses import recognition_objective
from dias_jax.models import layers
from dias_jax.runs.state import TrainState
from dias_jax.segmentation import slot_map
from dias_jax.steps.training import mean_gradients, train_step

FLOAT = {"rtol": 2e-5, "atol": 2e-6}  # float32 sums in another order
RULES = [(rule, threshold) for rule in ("all", "released") for threshold in (0.001, 0.1)]


@pytest.fixture(scope="module")
def golden(recognition_golden):
    return recognition_golden


@pytest.fixture(scope="module")
def match(golden):
    crowd = np.zeros((6, 5), bool)
    return jax.jit(match_maps, static_argnums=2)(golden["segment"], index_map(golden), 6, crowd)


def index_map(golden):
    """The golden truth as the package has it: 0 not annotated, 1 background, 2.. things."""
    return np.where(golden["annotated"], golden["true"] + 1, 0).astype(np.uint8)


def kept_pairs(iou, slot, threshold, rule):
    """(sample, slot, thing) of the kept pairs, in the order of samples and things."""
    things = "first_two" if rule == "released" else "all"
    sample, thing = np.nonzero(keep_pairs(iou, threshold, things))
    return np.stack([sample, np.asarray(slot)[sample, thing], thing], axis=1)


def golden_pairs(golden, threshold, rule):
    name = f"threshold_{threshold}/{rule}"
    return np.column_stack([golden[f"{name}/sample"], golden[f"{name}/pairs"]])


def in_order(pairs):
    return pairs[np.lexsort((pairs[:, 2], pairs[:, 0]))]


def test_segments_and_matching(golden, match):
    np.testing.assert_array_equal(slot_map(golden["attention"], (32, 32)), golden["segment"])
    slot, iou, overlap = match
    np.testing.assert_allclose(overlap, golden["iou"], **FLOAT)
    total = golden["match/iou"].sum(1)  # ties may be broken in another way
    np.testing.assert_allclose(iou.sum(1), total, **FLOAT)
    is_there = (index_map(golden).reshape(6, -1, 1) == np.arange(2, 7)).any(1)
    assert ((np.asarray(slot) >= 0) == is_there).all()
    of_things = np.take_along_axis(golden["iou"], np.maximum(slot, 0)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(iou, np.where(is_there, of_things, 0), **FLOAT)


def test_more_things_than_slots():
    """Two slots, three things and one that is not there: one thing has no partner."""
    pred = np.eye(2, dtype=bool)[[[0, 0, 0, 1, 1, 1]]]
    things = np.eye(4, dtype=bool)[[[0, 0, 1, 2, 2, 2]]]
    slot, iou = match_slots(pred, things)
    assert slot.dtype == jnp.int32 and slot.tolist() == [[0, -1, 1, -1]]
    np.testing.assert_allclose(iou, [[2 / 3, 0, 1, 0]], rtol=1e-6)


@pytest.mark.parametrize("rule, threshold", RULES)
def test_kept_pairs(golden, match, rule, threshold):
    slot, iou, _ = match
    expected = in_order(golden_pairs(golden, threshold, rule))
    np.testing.assert_array_equal(kept_pairs(iou, slot, threshold, rule), expected)


def test_slots_of_kept_pairs(golden, match):
    pairs = golden_pairs(golden, 0.1, "released")
    found = np.asarray(of_partner(golden["slots"], match[0]))[pairs[:, 0], pairs[:, 2]]
    np.testing.assert_array_equal(found, golden["threshold_0.1/released/slots"])


def params_of(golden, name):
    """Parameters, or gradients, of the golden head as the package has them."""
    places = {"hidden": "0", "output": "3"}
    return {
        "mlp": {
            place: {
                "kernel": golden[f"head/{name}/{number}.weight"].T,
                "bias": golden[f"head/{name}/{number}.bias"],
            }
            for place, number in places.items()
        }
    }


def assert_trees_close(found, expected, **tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.fixture(scope="module")
def batch(golden, match):
    slot, iou, _ = match
    labels = {name: golden[name] for name in ("slots", "classes", "boxes")}
    labels["slot_mask"] = np.ones(golden["slots"].shape[:2], bool)
    return labels | {"slot": slot, "iou": iou, "index": np.arange(6)}


def test_logits_and_boxes(golden, batch):
    sample, slot, _ = golden_pairs(golden, 0.1, "all").T
    logits, boxes = Probe(16, 9).apply({"params": params_of(golden, "state")}, batch["slots"])
    logits, boxes = (np.asarray(x)[sample, slot] for x in (logits, boxes))
    np.testing.assert_allclose(logits, golden["head/eval/class_logits"], **FLOAT)
    np.testing.assert_allclose(boxes, golden["head/eval/boxes"], **FLOAT)


def loss_in(params, batch, loss_fn):
    return loss_fn({"params": params}, batch, jax.random.key(0), 0)


def test_gradients_and_three_steps_of_adam(golden, batch, monkeypatch):
    """The released code's own dropout masks take the place of those that are drawn."""
    sample, slot, _ = golden_pairs(golden, 0.1, "all").T
    params = params_of(golden, "state")
    probe = Probe(16, 9)
    optimizer = optax.adam(1e-3)
    state = TrainState(jnp.int32(0), params, optimizer.init(params), {})
    loss_fn = functools.partial(recognition_objective, probe=probe, threshold=0.1)
    for step, kept in enumerate(golden["head/dropout_keep"]):
        mask = np.zeros((6, 6, 32), bool)
        mask[sample, slot] = kept

        def drop(x, keys, rate, mask=mask):
            assert len(keys) == 6 and rate == 0.1
            return jnp.where(mask, x / (1 - rate), 0)

        monkeypatch.setattr(layers, "dropout", drop)
        if step == 0:
            loss_of = functools.partial(loss_in, loss_fn=loss_fn)
            gradients, _ = jax.jit(functools.partial(mean_gradients, loss_of, parts=1))(
                params, batch
            )
            assert_trees_close(gradients, params_of(golden, "grad"), **FLOAT)
        step_fn = functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer)
        state, values = jax.jit(step_fn)(state, batch, jax.random.key(0))
        assert values["pairs"] == 15
        for name, value in (("loss", values["loss"]), ("grad_norm", values["gradient_norm"])):
            expected = golden[f"head/train{step}/{name}"]
            np.testing.assert_allclose(value, expected, rtol=2e-6, err_msg=name)
    # Where a gradient is nearly zero, Adam divides rounding by rounding: a share of a step of 1e-3.
    assert_trees_close(state.params, params_of(golden, "param_after"), rtol=1e-5, atol=1e-5)


def test_losses_in_evaluation(golden, batch):
    probe = Probe(16, 9, dropout=0.0)
    variables = {"params": params_of(golden, "state")}
    loss, values = recognition_objective(
        variables, batch, jax.random.key(0), 0, probe=probe, threshold=0.1
    )
    np.testing.assert_allclose(values["classes"], golden["head/eval/ce"], rtol=2e-6)
    np.testing.assert_allclose(values["boxes"], golden["head/eval/l1"], rtol=2e-6)
    np.testing.assert_allclose(loss, values["classes"] + values["boxes"])
    assert values["pairs"] == 15
    released = recognition_objective(
        variables, batch, jax.random.key(0), 0, probe=probe, threshold=0.1, things="first_two"
    )
    assert released[1]["pairs"] == 9


def test_a_batch_without_pairs_teaches_nothing(batch):
    probe = Probe(16, 9, head="linear")
    params = probe.init(jax.random.key(0), **probe.smallest_inputs(1, 1))["params"]
    empty = batch | {"iou": np.zeros((6, 5), np.float32), "classes": np.full((6, 5), -1)}

    def loss(params):
        key = jax.random.key(0)
        return recognition_objective({"params": params}, empty, key, 0, probe=probe, threshold=0.1)[
            0
        ]

    value, gradients = jax.value_and_grad(loss)(params)
    assert value == 0 and not any(np.any(x) for x in jax.tree.leaves(gradients))
    assert flax.traverse_util.flatten_dict(params).keys() == {
        ("linear", "kernel"),
        ("linear", "bias"),
    }


def test_crowds_overlap_as_coco_has_it():
    """Region 0 has two pixels of the crowd and one beside it, region 1 two that belong to none."""
    segments = np.array([[[0, 0, 0, 1, 1, -1]]])
    mask = np.array([[[2, 2, 3, 0, 1, 2]]], np.uint8)
    _, iou, overlap = match_maps(segments, mask, 2, np.array([[True, False]]))
    np.testing.assert_allclose(overlap, [[[2 / 3, 1 / 3], [0, 0]]], rtol=1e-6)
    np.testing.assert_allclose(iou, [[2 / 4, 0]], rtol=1e-6)


def test_a_slot_has_the_thing_it_is_kept_for():
    slot, is_kept = np.array([[2, 0, -1]]), np.array([[True, False, False]])
    assert things_of_slots(slot, is_kept, 4).tolist() == [[-1, -1, 0, -1]]


def test_slots_without_a_thing_are_told_to_be_nothing(golden, batch):
    """The loss of classes is over all slots in use; that of boxes and the pairs stay."""
    probe = Probe(16, 9, knows_nothing=True, dropout=0.0)
    params = probe.init(jax.random.key(0), **probe.smallest_inputs(1, 1))["params"]
    batch = batch | {"slot_mask": np.arange(6) < 5 + np.zeros((6, 1))}
    _, values = recognition_objective(
        {"params": params}, batch, jax.random.key(0), 0, probe=probe, threshold=0.1
    )
    logits, boxes = probe.apply({"params": params}, batch["slots"])
    expected, of_boxes = [], []
    for i in range(6):
        things = {int(s): g for g, s in enumerate(batch["slot"][i]) if batch["iou"][i, g] > 0.1}
        for s in range(6):
            number = golden["classes"][i, things[s]] if s in things else 9
            if s < 5:
                expected.append(-jax.nn.log_softmax(logits[i, s])[number])
            if s in things:
                of_boxes.append(np.abs(boxes[i, s] - golden["boxes"][i, things[s]]).mean())
    np.testing.assert_allclose(values["classes"], np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(values["boxes"], np.mean(of_boxes), rtol=1e-5)
    assert values["pairs"] == 15


def test_released_metrics(golden):
    sample, _, thing = golden_pairs(golden, 0.1, "all").T
    logits, classes = golden["head/eval/class_logits"], golden["classes"][sample, thing]
    for count in (1, 3):
        is_right = recognition_metrics.is_among_top(logits, classes, count)
        np.testing.assert_array_equal(is_right, golden[f"head/eval/top{count}"])
    true = golden["boxes"][sample, thing]
    for name in ("boxes", "guess"):
        iou, is_valid = recognition_metrics.box_iou(golden[f"head/eval/{name}"], true)
        np.testing.assert_array_equal(is_valid, golden[f"head/eval/{name}_iou_valid"])
        expected = golden[f"head/eval/{name}_iou"]
        np.testing.assert_allclose(iou[is_valid], expected[is_valid], **FLOAT)
    guess = golden["head/eval/guess"]
    metrics = recognition_metrics.pair_metrics(logits, guess, classes, true)
    assert metrics["pairs"] == 15
    assert metrics["top3"] == pytest.approx(100 * golden["head/eval/top3"].mean())
    assert metrics["box_r2"] == pytest.approx(sklearn.metrics.r2_score(true, guess), rel=1e-6)
    assert recognition_metrics.pair_metrics(logits[:0], guess[:0], classes[:0], true[:0]) == {
        "pairs": 0
    }


def test_r_squared_and_balance_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    for count in (2, 7, 300):
        true = random.random((count, 4)).astype(np.float32)
        predicted = true + random.normal(0, 0.3, true.shape).astype(np.float32)
        true[:, 1] = predicted[:, 1] = true[:, 2] = 0.5  # one is met, one is not, neither varies
        expected = sklearn.metrics.r2_score(true.astype(float), predicted.astype(float))
        assert recognition_metrics.r_squared(predicted, true) == pytest.approx(expected, rel=1e-9)
        classes = random.integers(0, 5, count)
        guesses = np.where(random.random(count) < 0.5, classes, 0)
        expected = np.mean(
            sklearn.metrics.recall_score(classes, guesses, labels=np.unique(classes), average=None)
        )
        found = recognition_metrics.balanced_accuracy(guesses == classes, classes)
        assert found == pytest.approx(expected)


def test_the_fair_protocol_asks_about_every_thing():
    """Four things: found and right, found and wrong, badly found and right, not found."""
    logits = np.eye(3)[[[0, 1, 2], [2, 0, 0]]]
    classes = np.array([[0, 2, 2], [1, -1, -1]])
    iou = np.array([[0.9, 0.51, 0.5], [0, 0, 0]])
    metrics = recognition_metrics.found_metrics(logits, classes, iou, np.array([3, 2]))
    assert metrics == {
        "things": 4,
        "mask_iou": pytest.approx(100 * 1.91 / 4),
        **{"recall_50": 50, "precision_50": 40, "recall_10": 75, "precision_10": 60},
        "recognised": 25,
    }
