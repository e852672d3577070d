"""Every stage of this package's model, by name."""

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict

from dias_jax import losses
from dias_jax.models.initializer import SeparateGaussian
from dias_jax.models.projector import Projector
from dias_jax.models.resize import bicubic_resize
from dias_jax.optimizer import build_optimizer
from dias_jax.segmentation import segment
from experiments import base


def evaluate(case):
    """The evaluation pass: {stage: numpy array}."""

    def forward(variables, images, noise):
        output, state = case.model.apply(
            variables,
            images,
            initial_slots=place_slots(case.model, variables["params"], noise, False),
            capture_intermediates=is_projector,
            mutable=["intermediates"],
        )
        return {
            "resized": bicubic_resize(images, case.model.input_scale),
            "projected": state["intermediates"]["projector"]["__call__"][0],
            "segmentation": segment(output.decoder_attention, images.shape[1:3]),
        } | describe(output)

    with jax.default_matmul_precision("highest"):
        stages = jax.jit(forward)(case.variables, case.images, case.evaluation_noise)
    return jax.device_get(stages)


def train(case):
    """Consecutive optimiser steps: yields {stage: array} of each.

    "gradients/..." are not clipped, "parameters/..." are those after the step. The arrays are on
    the device, so that only what is looked at is copied.
    """
    optimizer = constant_rate_optimizer(case)
    params, backbone = case.variables["params"], jax.device_put(case.variables["backbone"])
    optimizer_state = optimizer.init(params)

    def loss_fn(params, backbone, images, draws):
        output = case.model.apply(
            {"params": params, "backbone": backbone},
            images,
            train=True,
            initial_slots=place_slots(case.model, params, draws["noise"], True),
            token_order=draws["token_order"],
            num_visible=draws["num_visible"],
        )
        reconstruction = losses.reconstruction(output)
        distillation = losses.self_distillation(output.attention)
        loss = reconstruction + case.distillation_weight * distillation
        values = {"loss": loss, "reconstruction_loss": reconstruction, "distillation": distillation}
        return loss, values | describe(output)

    @jax.jit
    def step(params, optimizer_state, *inputs):
        gradients, stages = jax.grad(loss_fn, has_aux=True)(params, *inputs)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        stages["gradient_norm"] = optax.tree.norm(gradients)
        return optax.apply_updates(params, updates), optimizer_state, gradients, stages

    for images, draws in case.training_steps():
        with jax.default_matmul_precision("highest"):
            params, optimizer_state, gradients, stages = step(
                params, optimizer_state, backbone, images, vars(draws)
            )
        yield stages | flatten("gradients", gradients) | flatten("parameters", params)


def flatten(kind, tree):
    """Nested parameters -> {"kind/path": array}."""
    return {f"{kind}/{path}": value for path, value in flatten_dict(tree, sep="/").items()}


def constant_rate_optimizer(case):
    """The package's optimiser without its schedule."""
    config = base.get_config()
    config.optimizer.learning_rate = case.learning_rate
    config.optimizer.warmup_fraction = 0.0
    config.optimizer.final_fraction = 1.0
    return build_optimizer(config)


def place_slots(model, params, noise, train):
    """Initial slots (B, S, D) from given noise, with gradients to the Gaussian's parameters."""
    gaussian = params["initializer"]
    if isinstance(model.initializer, SeparateGaussian) and not train:
        noise = jnp.zeros_like(noise)
    return gaussian["mean"] + noise * jnp.exp(gaussian["log_deviation"])


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
