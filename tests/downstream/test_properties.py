"""Properties read off slots: probe, losses of pairs, both matchings, metrics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import sklearn.metrics

from dias_jax.downstream.property_losses import (
    match_things,
    pair_losses,
    property_objective,
)
from dias_jax.downstream.property_metrics import property_metrics
from dias_jax.downstream.property_probe import PropertyProbe
from dias_jax.evaluation.properties import evaluate_probe

pytestmark = pytest.mark.usefixtures("quick_compilation")

B, S, G, D = 24, 5, 4, 14
KINDS, NUMBERS = (("form", 3), ("pattern", 2)), (("hue", 2), ("radius", 1))
MEAN, DEVIATION = (0.1, -0.2, 3.0), (1.1, 0.9, 0.2)
MATCHINGS = ("mask", "loss")


def make_samples(count, seed=0, num_unused=2):
    """Slots that tell exactly what the thing in them is like; others, and unused ones, nothing.

    Of a thing in ten the second kind is not known.
    """
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(3 + 2 + 3, D))
    for index in range(count):
        in_use = random.permutation(np.arange(S) < S - random.integers(0, num_unused + 1))
        is_thing = np.arange(G) < random.integers(1, min(G, in_use.sum()) + 1)
        slot = np.full(G, -1)
        slot[is_thing] = random.permutation(np.flatnonzero(in_use))[: is_thing.sum()]
        kinds = np.stack([random.integers(0, 3, G), random.integers(0, 2, G)], axis=1)
        standard = random.normal(size=(G, 3))
        numbers = standard * DEVIATION + MEAN
        told = np.concatenate([np.eye(3)[kinds[:, 0]], np.eye(2)[kinds[:, 1]], standard], axis=1)
        slots = random.normal(0, 0.01, (S, D))
        slots[slot[is_thing]] += (told @ mixing)[is_thing]
        slots[~in_use] += (told @ mixing)[0]  # as good as the thing's own, but not to be used
        kinds[random.random(G) < 0.1, 1] = -1
        yield {
            **{"index": np.int32(index), "slots": slots.astype(np.float32), "slot_mask": in_use},
            **{"slot": slot, "classes": np.where(is_thing, kinds[:, 0], -1)},
            "kinds": np.where(is_thing[:, None], kinds, -1).astype(np.int32),
            "numbers": np.where(is_thing[:, None], numbers, 0).astype(np.float32),
        }


@pytest.fixture(scope="module")
def batch():
    samples = list(make_samples(B))
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


@pytest.fixture(scope="module")
def probe():
    return PropertyProbe(D, KINDS, NUMBERS, MEAN, DEVIATION)


@pytest.fixture(scope="module")
def variables(probe):
    return probe.init(jax.random.key(0), **probe.smallest_inputs(1, 1))


@pytest.fixture(scope="module")
def losses(batch, probe, variables):
    return jax.jit(pair_losses, static_argnums=2)(
        probe.apply(variables, batch["slots"]), batch, probe
    )


def test_the_probe_is_the_published_one(batch, variables):
    """By hand, with one hidden layer and with none."""
    params = variables["params"]
    assert params.keys() == {"hidden_0", "output"}
    params = jax.device_get(params)
    hidden = batch["slots"] @ params["hidden_0"]["kernel"] + params["hidden_0"]["bias"]
    assert hidden.shape == (B, S, 256)
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    expected = hidden @ params["output"]["kernel"] + params["output"]["bias"]
    expected[..., 5:] = expected[..., 5:] * DEVIATION + MEAN
    found = PropertyProbe(D, KINDS, NUMBERS, MEAN, DEVIATION).apply(variables, batch["slots"])
    assert {name: x.shape[-1] for name, x in found.items()} == dict(KINDS + NUMBERS)
    beside = np.concatenate(list(found.values()), axis=-1)
    np.testing.assert_allclose(beside, expected, rtol=1e-4, atol=1e-5)

    linear = PropertyProbe(D, KINDS, (), (), (), num_hidden=0)
    params = linear.init(jax.random.key(1), **linear.smallest_inputs(1, 1))
    assert jax.tree.map(np.shape, params) == {
        "params": {"output": {"kernel": (D, 5), "bias": (5,)}}
    }
    assert linear.apply(params, batch["slots"]).keys() == {"form", "pattern"}


def test_losses_of_pairs(batch, probe, variables, losses):
    found = jax.device_get(probe.apply(variables, batch["slots"]))
    assert {name: x.shape for name, x in losses.items()} == dict.fromkeys(found, (B, S, G))
    num_unknown = 0
    for b, s, g in np.ndindex(B, S, G):
        for column, (name, count) in enumerate(KINDS):
            kind, logits = batch["kinds"][b, g, column], found[name][b, s].astype(float)
            expected = 0
            if kind >= 0:
                expected = sklearn.metrics.log_loss(
                    [kind], [np.exp(logits) / np.exp(logits).sum()], labels=range(count)
                )
            num_unknown += kind < 0 <= batch["classes"][b, g]
            np.testing.assert_allclose(losses[name][b, s, g], expected, rtol=1e-4, atol=1e-6)
        for name, part in (("hue", slice(0, 2)), ("radius", slice(2, 3))):
            error = (found[name][b, s] - batch["numbers"][b, g, part]) / np.array(DEVIATION[part])
            expected = np.square(error).mean()
            np.testing.assert_allclose(losses[name][b, s, g], expected, rtol=1e-4, atol=1e-6)
    assert num_unknown


def test_matching_by_loss_is_the_best_there_is(batch, losses):
    slot = np.asarray(jax.jit(match_things, static_argnums=2)(losses, batch, "loss"))
    assert slot.dtype == np.int32 and slot.shape == (B, G)
    total = np.asarray(sum(losses.values()))
    for b in range(B):
        things, slots = (
            np.flatnonzero(x) for x in (batch["classes"][b] >= 0, batch["slot_mask"][b])
        )
        cost = total[b][np.ix_(slots, things)]
        expected = cost[scipy.optimize.linear_sum_assignment(cost)].sum()
        found = slot[b, things]
        assert (np.delete(slot[b], things) == -1).all()
        assert set(found) <= set(slots) and len(set(found)) == len(things)
        np.testing.assert_allclose(total[b][found, things].sum(), expected, rtol=1e-5)


def test_more_things_than_slots_in_use():
    """Of three things the two cheapest get the two slots in use, whatever the third would cost."""
    cost = np.array([[[1.0, 50, 9], [9, 1, 900], [0, 0, 0], [0, 0, 0]]])
    labels = {"classes": np.zeros((1, 3), int), "slot": np.array([[2, 0, 1]])}
    labels["slot_mask"] = np.array([[True, True, False, False]])
    assert match_things({"a": cost}, labels, "loss").tolist() == [[0, 1, -1]]
    assert match_things({"a": cost}, labels, "mask").tolist() == [[-1, 0, 1]]


def objective(params, batch, probe, matching, axis_name=None):
    variables, key = {"params": params}, jax.random.key(0)
    return property_objective(
        variables, batch, key, 0, probe=probe, matching=matching, axis_name=axis_name
    )


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def value_and_gradients(params, batch, probe, matching, axis_name=None):
    grad = jax.value_and_grad(objective, has_aux=True)
    return grad(params, batch, probe, matching, axis_name)


def assert_same(one, other):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_the_order_of_slots_does_not_matter(batch, probe, variables):
    params = variables["params"]
    order = np.random.default_rng(1).permuted(np.tile(np.arange(S), (B, 1)), axis=1)
    moved = batch | {
        "slots": np.take_along_axis(batch["slots"], order[..., None], axis=1),
        "slot_mask": np.take_along_axis(batch["slot_mask"], order, axis=1),
    }
    before = value_and_gradients(params, batch, probe, "loss")
    assert_same(before, value_and_gradients(params, moved, probe, "loss"))
    by_mask = value_and_gradients(params, batch, probe, "mask")
    assert abs(by_mask[0][0] - value_and_gradients(params, moved, probe, "mask")[0][0]) > 1e-3
    place = np.take_along_axis(np.argsort(order, axis=1), np.maximum(batch["slot"], 0), axis=1)
    moved["slot"] = np.where(batch["slot"] >= 0, place, -1)
    assert_same(by_mask, value_and_gradients(params, moved, probe, "mask"))


@pytest.mark.parametrize("matching", MATCHINGS)
def test_slots_out_of_use_never_match(batch, probe, variables, matching):
    in_use = batch["slot_mask"]
    assert not in_use.all()
    batch = batch | {"slot": np.where(batch["classes"] >= 0, np.arange(G), -1)}  # some out of use
    params = variables["params"]
    before = value_and_gradients(params, batch, probe, matching)
    other = np.random.default_rng(0).normal(0, 9, batch["slots"].shape).astype(np.float32)
    changed = batch | {"slots": np.where(in_use[..., None], batch["slots"], other)}
    assert_same(before, value_and_gradients(params, changed, probe, matching))
    used = changed | {"slots": np.where(in_use[..., None], other, batch["slots"])}
    assert abs(before[0][0] - value_and_gradients(params, used, probe, matching)[0][0]) > 0.1


def test_matching_by_loss_flatters(batch, probe, losses):
    total = np.asarray(sum(losses.values()))
    sums, slots = {}, {}
    for matching in MATCHINGS:
        slots[matching] = np.asarray(match_things(losses, batch, matching))
        chosen = np.take_along_axis(total, np.maximum(slots[matching], 0)[:, None], axis=1)[:, 0]
        sums[matching] = np.where(slots[matching] >= 0, chosen, 0).sum(1)
    np.testing.assert_array_equal(slots["mask"], batch["slot"])
    np.testing.assert_array_equal(slots["mask"] >= 0, slots["loss"] >= 0)
    assert (sums["loss"] <= sums["mask"] * (1 + 1e-6)).all()
    assert (sums["loss"] < 0.9 * sums["mask"]).any()


def test_a_batch_without_things_teaches_nothing(batch, probe, variables):
    empty = batch | {"classes": np.full((B, G), -1), "slot": np.full((B, G), -1)}
    for matching in MATCHINGS:
        (loss, values), gradients = value_and_gradients(variables["params"], empty, probe, matching)
        assert loss == 0 == values["pairs"]
        assert not any(np.any(x) for x in jax.tree.leaves(gradients))


@pytest.mark.parametrize("matching", MATCHINGS)
def test_the_loss_does_not_depend_on_the_number_of_devices(batch, probe, variables, matching):
    halves = jax.tree.map(lambda x: x.reshape(2, -1, *x.shape[1:]), batch)
    in_half = functools.partial(
        value_and_gradients, probe=probe, matching=matching, axis_name="batch"
    )
    params = variables["params"]
    (_, values), gradients = jax.vmap(in_half, (None, 0), axis_name="batch")(params, halves)
    (_, expected), whole = value_and_gradients(params, batch, probe, matching)
    counts = (halves["slot"] >= 0).sum((1, 2))
    assert counts[0] != counts[1]
    assert_same(jax.tree.map(lambda x: x.mean(0), (values, gradients)), (expected, whole))
    assert values.keys() == {*dict(KINDS + NUMBERS), "loss", "pairs"}


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def train(batch, probe, matching, steps):
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    params = probe.init(jax.random.key(0), **probe.smallest_inputs(1, 1))["params"]

    def step(state, unused):
        params, moments = state
        gradients = jax.grad(lambda x: objective(x, batch, probe, matching)[0])(params)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)
    return {"params": params}


@pytest.mark.parametrize("matching", MATCHINGS)
def test_a_linear_probe_learns_what_slots_tell(matching):
    samples = list(make_samples(200))
    batch = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    probe = PropertyProbe(D, KINDS, NUMBERS, MEAN, DEVIATION, num_hidden=0)
    trained = train(batch, probe, matching, 400)
    metrics = evaluate_probe(probe, trained, list(make_samples(70, seed=5)), 32)
    for name in MATCHINGS:
        for kind in ("form", "pattern"):
            assert metrics[f"{name}/{kind}"] == 100
        for number in ("hue_r2", "radius_r2"):
            assert metrics[f"{name}/{number}"] > 0.99
        assert metrics[f"{name}/pairs"] == metrics["things"] > 70


def test_metrics_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    form, shade = random.integers(-1, 4, 300), np.full(300, -1)
    logits = random.normal(size=(300, 4)) + 2 * np.eye(4)[form]
    true = random.normal(size=(300, 2))
    hue = true + random.normal(0, [0.3, 0.9], true.shape)
    found = {"form": logits, "shade": logits, "hue": hue}
    metrics = property_metrics(found, {"form": form, "shade": shade}, {"hue": true})
    is_known = form >= 0
    accuracy = sklearn.metrics.accuracy_score(form[is_known], logits[is_known].argmax(1))
    assert metrics == {
        "form": pytest.approx(100 * accuracy),
        "hue_r2": pytest.approx(sklearn.metrics.r2_score(true, hue)),
    }
    assert (
        property_metrics(
            {name: x[:0] for name, x in found.items()}, {"form": form[:0]}, {"hue": true[:0]}
        )
        == {}
    )


def test_a_whole_split_by_hand(probe, variables):
    """One thing after the other, over batches of another size than the split."""
    samples = list(make_samples(30, seed=3))
    metrics = evaluate_probe(probe, variables, samples, 8)
    is_right, hues, true, losses = [], [], [], []
    for sample in samples:
        found = probe.apply(variables, jnp.asarray(sample["slots"]))
        for thing in np.flatnonzero(sample["classes"] >= 0):
            slot = sample["slot"][thing]
            is_right.append(np.argmax(found["form"][slot]) == sample["kinds"][thing, 0])
            hues.append(found["hue"][slot])
            true.append(sample["numbers"][thing, :2])
            pair = {name: x[None, slot : slot + 1] for name, x in found.items()}
            labels = {name: sample[name][None, thing : thing + 1] for name in ("kinds", "numbers")}
            losses.append(sum(pair_losses(pair, labels, probe).values()))
    assert metrics["mask/form"] == pytest.approx(100 * np.mean(is_right))
    expected = sklearn.metrics.r2_score(np.array(true, float), np.array(hues, float))
    assert metrics["mask/hue_r2"] == pytest.approx(expected, rel=1e-4)
    assert metrics["things"] == metrics["mask/pairs"] == metrics["loss/pairs"] == len(true)
    assert metrics["mask/loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert metrics["loss/loss"] < metrics["mask/loss"]
