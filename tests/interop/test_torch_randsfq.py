"""Checkpoints of RandSF.Q: names, strictness, and what is read off."""

import chex
import jax
import numpy as np
import pytest
from changes import plus, without
from safetensors.numpy import load_file, save_file

from dias_jax.errors import UserError
from dias_jax.interop import load_torch_randsfq
from dias_jax.interop.torch_dias import BACKBONE, variable_shapes
from dias_jax.interop.torch_randsfq import model_entries
from dias_jax.models.aggregator import SlotAttention
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.initializer import BoxInitializer, SharedGaussian
from dias_jax.models.projector import Projector
from dias_jax.models.transition import RandomPastTransition
from dias_jax.models.video import VideoDIAS
from dias_jax.pretrained.dinov2 import backbone_to_torch
from dias_jax.pretrained.tensors import to_torch

HEADS = {"num_slots": 5, "backbone_heads": 2, "decoder_heads": 4, "transition_heads": 3}


def make_model(has_boxes=False, has_readout=False):
    return VideoDIAS(
        backbone=VisionTransformer(16, 1, 2, 4, 14, 4),
        projector=Projector(),
        initializer=(BoxInitializer if has_boxes else SharedGaussian)(5, 12),
        aggregator=SlotAttention(12, 48),
        decoder=RandomOrderDecoder(16, 2, 4),
        transition=RandomPastTransition(3, window=6),
        predicts_similarity=has_readout,
    )


def write(path, has_boxes=False, has_readout=False):
    """A checkpoint of random numbers: -> its model, its variables."""
    model = make_model(has_boxes, has_readout)
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape, np.float32),
        variable_shapes(model),
    )
    tensors = to_torch(model_entries(2, has_boxes, has_readout), variables["params"])
    backbone = backbone_to_torch(variables["backbone"]["params"], 14)
    tensors |= {BACKBONE + name: value for name, value in backbone.items()}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    return model, variables


@pytest.mark.parametrize("has_boxes", [True, False])
@pytest.mark.parametrize("has_readout", [True, False])
def test_every_tensor_finds_its_place(has_boxes, has_readout, tmp_path):
    model, variables = write(tmp_path / "it.safetensors", has_boxes, has_readout)
    found, loaded = load_torch_randsfq(tmp_path / "it.safetensors", **HEADS)
    assert found == model
    chex.assert_trees_all_equal(loaded, variables)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("m.transit.proji.bias"), "missing: m.transit.proji.bias"),
        (without("m.transit.te.weight"), "m.transit.te.weight must have 2 axes but is missing"),
        (without("m.initializ.mean"), "missing: m.initializ.mean"),
        (plus("m.transit.more.weight", 3), "without a place in the model: m.transit.more.weight"),
        (plus("m.transit.transit.norm3.bias", 12), "without a place in the model: .*norm3.bias"),
        (plus("m.transit.proji.weight", 12, 15), r"proji.weight \(12, 15\) instead of \(12, 16\)"),
        (plus("m.transit.te.weight", 6, 13), r"te.weight \(6, 13\) instead of \(6, 12\)"),
    ],
)
def test_what_does_not_fit_is_named(change, words, tmp_path):
    path = tmp_path / "it.safetensors"
    write(path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(UserError, match=words):
        load_torch_randsfq(path, **HEADS)


def test_heads_that_do_not_divide_the_slot_width_are_named(tmp_path):
    write(tmp_path / "it.safetensors")
    with pytest.raises(UserError, match="transition_heads=5 does not divide the width 12"):
        load_torch_randsfq(tmp_path / "it.safetensors", **HEADS | {"transition_heads": 5})


def test_an_image_model_is_no_video_model(tmp_path):
    write(tmp_path / "it.safetensors")
    tensors = load_file(tmp_path / "it.safetensors")
    image = {name: x for name, x in tensors.items() if not name.startswith("m.transit.")}
    save_file(image, tmp_path / "image.safetensors")
    with pytest.raises(UserError, match="image.safetensors: tensor m.transit.te.weight"):
        load_torch_randsfq(tmp_path / "image.safetensors", **HEADS)


def test_pth_of_the_reference(shared_golden):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path, golden = shared_golden("video_tiny.pth"), np.load(shared_golden("video_tiny.npz"))
    heads = [int(golden[f"cfg/{name}_heads"]) for name in ("vit", "dec", "transition")]
    model, variables = load_torch_randsfq(path, int(golden["cfg/num_slots"]), *heads)
    assert (model.transition.window, model.later_iterations) == (4, 1)
    np.testing.assert_array_equal(
        variables["params"]["transition"]["time"], golden["state/m.transit.te.weight"]
    )
