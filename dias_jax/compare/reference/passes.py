"""Every stage of the PyTorch reference, by the same names and in the same layout as ours."""

import contextlib
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from dias_jax.compare.ours import flatten
from dias_jax.compare.reference.optimizer import DEVICE, Optimizer
from dias_jax.interop.torch_dias import trained_entries
from dias_jax.models.initializer import SharedGaussian
from dias_jax.pretrained.tensors import to_jax


def evaluation_pass(case, wrapper):
    """The evaluation pass: {stage: numpy array}."""
    network = wrapper.m.eval()
    inner = {}
    noise = torch.from_numpy(case.evaluation_noise).to(DEVICE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(mock.patch.object(torch, "randn_like", return_value=noise))
        for name, module in {
            "resized": network.encode_backbone[0],
            "projected": network.encode_project,
        }.items():
            stack.callback(module.register_forward_hook(keep_output(inner, name)).remove)
        outputs = in_order(network(to_torch_images(case.images)))
        upsampled = F.interpolate(outputs[-1], case.images.shape[1:3], mode="bilinear")
    stages = describe(outputs)
    return to_numpy(
        {
            "resized": channels_last(inner["resized"]),
            "features": stages.pop("features"),
            "projected": inner["projected"],
            **stages,
            "segmentation": upsampled.argmax(1),
        }
    )


def training_steps(case, wrapper, dtype="float32"):
    """Consecutive optimiser steps: yields {stage: numpy array} of each, like ours.

    A step that overflows in float16 halves the loss scale and is taken again.
    """
    network, optimizer = wrapper.m.train(), Optimizer(wrapper, case.learning_rate, dtype)
    for images, draws in case.training_steps():
        has_overflown = True
        while has_overflown:
            scale = optimizer.scaler.get_scale()
            with handed_in(draws), optimizer.autocast:
                outputs = network(to_torch_images(images))
                stages = objective(outputs, case.distillation_weight)
            optimizer.backward(stages["loss"])
            gradients = copies({name: p.grad for name, p in optimizer.trained.items()})
            stages["gradient_norm"] = optimizer.step()
            has_overflown = optimizer.scaler.get_scale() < scale
        stages |= describe(outputs)
        parameters = copies(optimizer.trained)
        yield (
            to_numpy({name: value.float() for name, value in stages.items()})
            | rename(gradients, case.model, "gradients")
            | rename(parameters, case.model, "parameters")
        )


def copies(tensors):
    """Tensors that are about to change -> numpy arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


@contextlib.contextmanager
def handed_in(draws):
    """Let the reference take `draws` wherever it would sample."""
    sampled = draws.noise, draws.token_order, draws.num_visible
    noise, order, visible = (torch.from_numpy(value).to(DEVICE) for value in sampled)
    sampler = mock.Mock(return_value=mock.Mock(return_value=order))
    with (
        visible_tokens(visible[:, None]),
        mock.patch.multiple(torch, randn_like=mock.Mock(return_value=noise), vmap=sampler),
    ):
        yield


def visible_tokens(numbers):
    """Lets the reference's decoder see that many tokens, (B, 1) int64, where it would sample."""
    return mock.patch.multiple(
        torch,
        randint=mock.Mock(return_value=numbers),
        rand=mock.Mock(return_value=torch.zeros(numbers.shape, device=DEVICE)),  # takes randint's
    )


def in_order(outputs):
    """The model's results in today's order: revisions before 2026 gave the last two otherwise."""
    features, slots, attention, *last = outputs
    if last[0].shape != features.shape:
        last.reverse()
    return features, slots, attention, *last


def objective(outputs, distillation_weight):
    """The reference's objective: attention enters cross_entropy as if it were logits."""
    features, _, attention, reconstruction, _ = in_order(outputs)
    error = F.mse_loss(reconstruction, features.detach())
    distillation = F.cross_entropy(attention[0], attention[-1].detach())
    return {
        "loss": error + distillation_weight * distillation,
        "reconstruction_loss": error,
        "distillation": distillation,
    }


def keep_output(stages, name):
    """A forward hook that stores the module's result."""

    def hook(module, arguments, output):
        stages[name] = output

    return hook


def describe(outputs):
    """The model's results under our names and in our layout."""
    features, slots, attention, reconstruction, decoder_attention = in_order(outputs)
    return {
        "features": channels_last(features),
        **{f"attention_{number}": value for number, value in enumerate(attention, start=1)},
        "slots": slots,
        "reconstruction": channels_last(reconstruction),
        "decoder_attention": decoder_attention,
    }


def rename(tensors, model, kind):
    """Trained tensors {released name: array} -> {"kind/our path": array}."""
    is_shared = isinstance(model.initializer, SharedGaussian)
    entries = trained_entries(model.decoder.num_layers, is_shared)
    return flatten(kind, to_jax(entries, dict(tensors), "the reference"))


def to_torch_images(images):
    """(B, H, W, 3) numpy -> (B, 3, H, W) on the device."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(DEVICE)


def channels_last(tensor):
    """(B, C, h, w) -> (B, h, w, C)."""
    return tensor.permute(0, 2, 3, 1)


def to_numpy(stages):
    """Tensors -> numpy arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in stages.items()}
