"""The training and evaluation steps: randomness, accumulation, recompilation, padding."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines import pipeline
from dias_jax.evaluation.split import compile_evaluation, evaluate_split
from dias_jax.losses import dias_objective
from dias_jax.models import build
from dias_jax.runs.state import create_state
from dias_jax.steps import evaluation, training
from dias_jax.steps.schedules import half_cosine_rise
from dias_jax.tasks.discovery import discovery_loss
from dias_jax.training.optimizer import build_optimizer

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def parts(tiny_config):
    """State, model, optimiser and one batch."""
    model, optimizer = build(tiny_config.model), build_optimizer(tiny_config)
    state, _ = create_state(tiny_config, model, optimizer)
    batch = next(pipeline.train_batches(tiny_config.data, 8, seed=0))
    return state, model, optimizer, batch


def make_step(model, optimizer, **options):
    return functools.partial(
        training.train_step,
        loss_fn=make_loss(model),
        optimizer=optimizer,
        **options,
    )


def make_loss(model):
    """DIAS's loss with weights that rise within ten steps."""
    rise = half_cosine_rise(1.0, 10)
    objective = functools.partial(dias_objective, distillation_weight=rise, reduce_probability=rise)
    return functools.partial(discovery_loss, model=model, objective=objective)


def test_same_seed_same_bits_and_another_seed_other_bits(parts):
    state, model, optimizer, batch = parts
    step = jax.jit(make_step(model, optimizer))
    state = state.replace(step=jnp.int32(3))
    first, again, other = (step(state, batch, jax.random.key(seed))[1] for seed in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    assert first["loss"] != other["loss"]


def test_order_in_the_batch_does_not_matter(parts):
    state, model, optimizer, batch = parts
    step = jax.jit(make_step(model, optimizer))
    shuffled = {name: value[::-1] for name, value in batch.items()}
    metrics = [step(state, b, jax.random.key(0))[1] for b in (batch, shuffled)]
    chex.assert_trees_all_close(*metrics, rtol=1e-5)


def test_gradients_and_metrics_are_means_over_the_parts():
    def loss_of(params, part):
        errors = (part["x"] @ params - part["y"]) ** 2
        return errors.mean(), {
            "loss": errors.mean(),
            "shares": jnp.stack([errors, -errors]).mean(1),
        }

    x = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    batch, params = {"x": x, "y": x.sum(1) ** 2}, jnp.arange(3.0)
    whole = training.mean_gradients(loss_of, params, batch, 1)
    for parts in (2, 3, 12):
        chex.assert_trees_all_close(training.mean_gradients(loss_of, params, batch, parts), whole)


@pytest.mark.slow
def test_accumulation_equals_one_batch(parts):
    state, model, _, batch = parts
    optimizer = optax.sgd(1.0)  # linear in the gradient, so that a factor would show
    state = state.replace(optimizer_state=optimizer.init(state.params))
    whole, quarters = (
        jax.jit(make_step(model, optimizer, accumulation=n))(state, batch, jax.random.key(0))
        for n in (1, 4)
    )
    chex.assert_trees_all_close(whole[0].params, quarters[0].params, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(whole[1], quarters[1], rtol=1e-5)


def test_nothing_recompiles_and_the_backbone_stays(parts, monkeypatch):
    state, model, optimizer, batch = parts
    monkeypatch.setattr(training, "train_step", chex.assert_max_traces(training.train_step, n=1))
    step = jax.jit(make_step(model, optimizer))
    before = jax.device_get(state.backbone)
    for _ in range(3):
        state, _ = step(state, batch, jax.random.key(0))
    assert int(state.step) == 3
    chex.assert_trees_all_equal(before, jax.device_get(state.backbone))


@pytest.mark.slow
def test_learning_lowers_the_loss(parts):
    state, model, _, batch = parts
    optimizer = optax.adam(1e-3)
    state = state.replace(optimizer_state=optimizer.init(state.params))
    step = jax.jit(make_step(model, optimizer))
    values = []
    for _ in range(30):
        state, metrics = step(state, batch, jax.random.key(0))
        values.append(float(metrics["reconstruction"]))
    assert values[-1] < 0.7 * values[0]


def test_padding_and_batch_size_do_not_change_an_evaluation(parts, tiny_config):
    state, model, _, _ = parts
    results = []
    for batch_size in (8, 12, 5):
        tiny_config.evaluation.batch_size = batch_size
        step = compile_evaluation(tiny_config, model, num_masks=7)
        metrics, count = evaluate_split(step, state.variables, tiny_config, "validation")
        assert count == 12
        results.append(metrics)
    chex.assert_trees_all_close(*results, rtol=1e-5)
    assert 0 < results[0]["decoder/mbo"] < 100


def test_a_sample_without_ground_truth_is_left_out(parts):
    state, model, _, batch = parts
    masks = np.zeros((8, 32, 32), np.uint8)
    masks[:3, :16], masks[:3, 16:] = 1, 2
    batch = batch | {"mask": masks, "valid": np.ones(8, bool)}
    step = jax.jit(functools.partial(evaluation.eval_step, model=model, num_masks=3))
    totals, predictions = step(state.variables, batch, jax.random.key(0))
    assert totals["decoder/ari"][1] == 3
    assert totals["reconstruction"][1] == 8
    assert predictions["aggregator"].shape == (8, 32, 32)
    assert predictions["aggregator"].dtype == jnp.uint8


def test_training_reports_what_the_reduction_does(parts):
    state, model, optimizer, batch = parts
    step = jax.jit(make_step(model, optimizer))
    for number, chance in ((0, 0.0), (5, 0.5), (10, 1.0)):
        metrics = step(state.replace(step=jnp.int32(number)), batch, jax.random.key(0))[1]
        np.testing.assert_allclose(metrics["reduce_probability"], chance, atol=1e-6)
        histogram = np.asarray(metrics["active_slots_histogram"])
        np.testing.assert_allclose(histogram.sum(), 1, rtol=1e-6)
        np.testing.assert_allclose(metrics["active_slots"], histogram @ [1, 2, 3, 4], rtol=1e-6)
        np.testing.assert_allclose(metrics["merged"], 1 - histogram[3], atol=1e-6)
        assert chance or histogram[3] == 1  # nothing merges while the chance is zero
        assert 0 <= metrics["smallest_distance"] <= metrics["median_distance"] <= 2


@pytest.mark.slow
def test_sweep_over_thresholds_agrees_with_evaluation(parts, monkeypatch):
    state, model, _, batch = parts
    masks = np.random.default_rng(0).integers(1, 4, (8, 32, 32)).astype(np.uint8)
    batch = batch | {"mask": masks, "valid": np.arange(8) < 6}
    # Without a smallest number of clusters slots can only become fewer.
    reinit = dataclasses.replace(model.reinit, threshold=0.06, min_clusters=1)
    options = {"model": model.clone(reinit=reinit), "num_masks": 3}
    thresholds = (0.0, 0.01, 0.06, 0.3, 2.0)
    counted = chex.assert_max_traces(evaluation.threshold_step, n=1)
    sweep = jax.jit(functools.partial(counted, thresholds=thresholds, **options))
    totals, predictions = sweep(state.variables, batch, jax.random.key(0))
    again, _ = sweep(state.variables, batch, jax.random.key(0))
    chex.assert_trees_all_equal(totals, again)
    assert predictions == {}

    expected, _ = jax.jit(functools.partial(evaluation.eval_step, **options))(
        state.variables, batch, jax.random.key(0)
    )
    assert {"decoder/ari", "aggregator/miou", "slot_count_error", "active_slots"} <= totals.keys()
    own = {name: (sums[2], counts[2]) for name, (sums, counts) in totals.items()}
    chex.assert_trees_all_close(own, {name: expected[name] for name in own}, rtol=1e-5)

    active, count = totals["active_slots"]
    assert (count == 6).all()
    assert active[0] == 4 * 6 and active[-1] == 6
    assert (np.diff(active) <= 0).all() and 6 < active[2] < 4 * 6
