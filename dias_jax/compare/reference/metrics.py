"""The reference's own segmentation and metrics, on its own results."""

import contextlib
from unittest import mock

import numpy as np
import torch

from dias_jax.compare.reference.imported import reference_module
from dias_jax.compare.reference.passes import DEVICE, in_order, to_torch_images, visible_tokens

THEIR_METRICS = {
    "ari": ("ARI", []),
    "fg_ari": ("ARI", [0]),
    "mbo": ("mBO", []),
    "miou": ("mIoU", []),
}


@torch.inference_mode()
def reference_metrics(wrapper, images, true, sees_tokens=True, noise=None):
    """Metrics of both segmentations, by the reference's code.

    images (B, H, W, 3) float32, ImageNet-normalised; true (B, P, G) bool one-hot, index 0 the
    background; sees_tokens: see `model.decoder.evaluation_sees_tokens` of a config; noise
    (B, S, D) standard normal of the initial slots, None: the reference samples.
    -> ({"decoder/ari": (values (B,), valid (B,)) ...}, {"decoder": (B, H, W) indices ...}).
    """
    network = wrapper.m.eval()
    # It masks tokens in training only, which changes nothing else where there is no dropout.
    network.decode.train(not sees_tokens)
    with no_visible_token(len(images)), given_noise(noise):
        outputs = in_order(network(to_torch_images(images)))
    attentions = {"decoder": outputs[-1], "aggregator": outputs[2][-1]}
    true = torch.from_numpy(np.ascontiguousarray(true)).to(DEVICE)
    values, predictions = {}, {}
    for name, attention in attentions.items():
        segment = reference_module("util_model").interpolat_argmax_attent
        prediction = segment(attention, size=images.shape[1:3])
        predictions[name] = prediction.cpu().numpy()
        for metric, pair in measure(prediction, true, attention.shape[1]).items():
            values[f"{name}/{metric}"] = pair
    return values, predictions


def no_visible_token(batch_size):
    """Lets the reference's decoder see no token where it masks any."""
    return visible_tokens(torch.zeros(batch_size, 1, dtype=torch.long, device=DEVICE))


def given_noise(noise):
    """Lets the reference take this noise, or its own where it is None."""
    if noise is None:
        return contextlib.nullcontext()
    noise = torch.from_numpy(noise).to(DEVICE)
    return mock.patch.object(torch, "randn_like", return_value=noise)


def measure(prediction, true, num_slots):
    """{metric: (values (B,), valid (B,)) numpy} of index maps (B, H, W) against (B, P, G) bool."""
    one_hot = torch.nn.functional.one_hot(prediction.flatten(1).long(), num_slots).bool()
    learn, results = reference_module("learn"), {}
    # The reference's metrics move a constant to CUDA, which may not be there.
    with mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor.to(DEVICE)):
        for name, (kind, skip) in THEIR_METRICS.items():
            pair = getattr(learn, kind)(skip=skip)(input=one_hot, target=true)
            results[name] = tuple(tensor.cpu().numpy() for tensor in pair)
    return results
