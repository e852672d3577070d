"""Every stage of this package's model, by name: its own evaluation pass and training step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from dias_jax.config.defaults import get_config
from dias_jax.losses import dias_objective
from dias_jax.models.draws import Draws
from dias_jax.models.projector import Projector
from dias_jax.models.resize import bicubic_resize
from dias_jax.runs.state import TrainState
from dias_jax.segmentation import slot_map
from dias_jax.steps.training import train_step
from dias_jax.training.optimizer import build_optimizer


def evaluation_pass(case):
    """The evaluation pass: {stage: numpy array}."""

    def forward(variables, images, noise):
        output, state = case.model.apply(
            variables,
            images,
            draws=Draws(noise=noise),
            capture_intermediates=is_projector,
            mutable=["intermediates"],
        )
        return {
            "resized": bicubic_resize(images, case.model.input_scale),
            "projected": state["intermediates"]["projector"]["__call__"][0],
            "segmentation": slot_map(output.decoder_attention, images.shape[1:3]),
        } | describe(output)

    with jax.default_matmul_precision("highest"):
        stages = jax.jit(forward)(case.variables, case.images, case.evaluation_noise)
    return jax.device_get(stages)


def training_steps(case):
    """Consecutive steps of `train_step`: yields {stage: array} of each.

    "gradients/..." are not clipped, "parameters/..." are those after the step. The arrays are on
    the device, so that only what is looked at is copied.
    """
    optimizer = optax.chain(record_gradients(), constant_rate_optimizer(case))
    loss_fn = functools.partial(
        described_loss,
        model=case.model,
        distillation_weight=optax.constant_schedule(case.distillation_weight),
        reduce_probability=optax.constant_schedule(1.0),
    )
    step = jax.jit(functools.partial(train_step, loss_fn=loss_fn, optimizer=optimizer))
    state, key = start_state(case, optimizer), jax.random.key(0)  # nothing is drawn from the key
    for images, draws in case.training_steps():
        batch = {"image": images, "index": np.arange(len(images)), "draws": draws}
        with jax.default_matmul_precision("highest"):
            state, stages = step(state, batch, key)
        gradients, _ = state.optimizer_state
        yield stages | flatten("gradients", gradients) | flatten("parameters", state.params)


def described_loss(variables, batch, rng, step, *, model, **schedules):
    """`dias_objective` as `train_step` takes it; its metrics are the stages of the reference."""
    loss, values, output = dias_objective(model, variables, batch, rng, step, **schedules)
    stages = {
        "loss": loss,
        "reconstruction_loss": values["reconstruction"],
        "distillation": values["distillation"],
    }
    return loss, stages | describe(output)


def record_gradients():
    """A gradient transformation that changes nothing; its state is the last gradients."""

    def update(gradients, state, params=None):
        return gradients, gradients

    return optax.GradientTransformation(optax.tree.zeros_like, update)


def constant_rate_optimizer(case):
    """The package's optimiser without its schedule."""
    config = get_config()
    config.optimizer.learning_rate = case.learning_rate
    config.optimizer.warmup_fraction = 0.0
    config.optimizer.final_fraction = 1.0
    return build_optimizer(config)


def start_state(case, optimizer):
    """The case's weights before the first step, in arrays of their own: -> TrainState."""
    params, backbone = jax.tree.map(
        jnp.array, (case.variables["params"], case.variables["backbone"])
    )
    return TrainState(jnp.int32(0), params, optimizer.init(params), backbone)


def flatten(kind, tree):
    """Nested parameters -> {"kind/path": array}."""
    return {f"{kind}/{path}": value for path, value in flatten_dict(tree, sep="/").items()}


def is_projector(module, method):
    """Which module's result is captured."""
    return isinstance(module, Projector)


def describe(output):
    """The parts of a DIASOutput that the reference returns as well."""
    attention = {
        f"attention_{number}": value for number, value in enumerate(output.attention, start=1)
    }
    return attention | {
        "features": output.features,
        "slots": output.slots,
        "reconstruction": output.reconstruction,
        "decoder_attention": output.decoder_attention,
    }
