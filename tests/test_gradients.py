"""Gradients of both losses apart: together they are that of the step."""

import functools

import jax
import numpy as np
import optax
import pytest

from dias_jax.losses import dias_objective
from dias_jax.runs.state import create_state
from dias_jax.tasks.discovery import Discovery, objective_options
from experiments.studies import gradients

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_norms_are_those_of_the_parts_of_the_loss(tiny_config):
    tiny_config.loss.distillation_weight = 0.5
    task = Discovery(tiny_config)
    state, _ = create_state(tiny_config, task.model, optax.sgd(1.0))
    state = state.replace(step=state.step + 3)
    batch = next(task.train_batches(0))
    objective = functools.partial(dias_objective, **objective_options(tiny_config))
    look = functools.partial(gradients.measure_gradients, model=task.model, objective=objective)
    found = jax.jit(look)(state, batch, jax.random.key(0))

    def loss(params):
        rng = jax.random.fold_in(jax.random.key(0), 3)
        return objective(task.model, state.variables | {"params": params}, batch, rng, 3)[0]

    whole = jax.jit(jax.grad(loss))(state.params)
    whole.pop("decoder")
    parts = [found[f"{name}_gradient"] for name in gradients.PARTS]
    assert 0 < found["distillation_weight"] < 0.5
    assert abs(parts[0] - parts[1]) <= optax.tree.norm(whole) <= sum(parts) * 1.001
    assert all(np.isfinite(part) and part > 0 for part in parts)
    assert gradients.table([(3, found)]).count("\n") == 2
