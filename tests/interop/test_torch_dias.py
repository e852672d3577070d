"""Checkpoints of the PyTorch reference, in both directions."""

import pathlib
import sys

import chex
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dias_jax.errors import UserError
from dias_jax.interop import load_torch_dias, save_torch_dias

CHECKPOINT = pathlib.Path(__file__).parents[1] / "golden" / "tiny.safetensors"
HEADS = {"num_slots": 5, "backbone_heads": 2, "decoder_heads": 4}


def assert_same_tensors(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


def test_widths_and_depths_are_read_off():
    model, variables = load_torch_dias(CHECKPOINT, **HEADS)
    assert (model.backbone.width, model.backbone.depth, model.backbone.num_registers) == (16, 2, 4)
    assert (model.backbone.position_grid, model.backbone.patch_size) == (6, 14)
    assert (model.aggregator.slot_width, model.aggregator.hidden) == (12, 48)
    assert (model.decoder.num_tokens, model.decoder.num_layers) == (16, 2)
    images = np.zeros((1, 64, 64, 3), np.float32)
    keys = dict.fromkeys(("params", "slots", "decoder"), jax.random.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(
        variables, jax.eval_shape(model.init, keys, images)
    )


def test_saving_is_the_inverse_of_loading(tmp_path):
    save_torch_dias(*load_torch_dias(CHECKPOINT, **HEADS), tmp_path / "copy.safetensors")
    assert_same_tensors(load_file(tmp_path / "copy.safetensors"), load_file(CHECKPOINT))


def test_loading_is_the_inverse_of_saving(tmp_path):
    model, variables = load_torch_dias(CHECKPOINT, **HEADS)
    save_torch_dias(model, variables, tmp_path / "copy.safetensors")
    chex.assert_trees_all_equal(
        load_torch_dias(tmp_path / "copy.safetensors", **HEADS)[1], variables
    )


@pytest.mark.parametrize(
    "name", ["m.aggregat.rnn.bias_hh", "m.encode_backbone.1.cls_token", "m.decode.norm0.weight"]
)
def test_a_missing_tensor_is_named(name, tmp_path):
    tensors = load_file(CHECKPOINT)
    del tensors[name]
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match=name.removeprefix("m.encode_backbone.1.")):
        load_torch_dias(tmp_path / "part.safetensors", **HEADS)


@pytest.mark.parametrize("name", ["m.decode.readout.weight", "m.encode_backbone.1.norm.weight"])
def test_a_tensor_without_a_place_is_named(name, tmp_path):
    save_file(
        load_file(CHECKPOINT) | {name: np.zeros(3, np.float32)}, tmp_path / "more.safetensors"
    )
    with pytest.raises(UserError, match=name.removeprefix("m.encode_backbone.1.")):
        load_torch_dias(tmp_path / "more.safetensors", **HEADS)


@pytest.mark.parametrize("name", ["absent.safetensors", "absent.pth"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(UserError, match=name):
        load_torch_dias(tmp_path / name)


def test_pth_round_trip(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    model, variables = load_torch_dias(CHECKPOINT, **HEADS)
    save_torch_dias(model, variables, tmp_path / "copy.pth")
    chex.assert_trees_all_equal(load_torch_dias(tmp_path / "copy.pth", **HEADS)[1], variables)


def test_pth_of_the_reference(shared_golden, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = shared_golden("dias_tiny.pth")
    model, variables = load_torch_dias(path, num_slots=5, backbone_heads=3, decoder_heads=4)
    save_torch_dias(model, variables, tmp_path / "copy.pth")
    copy, original = (torch.load(x, weights_only=True) for x in (tmp_path / "copy.pth", path))
    assert_same_tensors(copy, original)


def test_pth_without_torch_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(UserError, match="torch"):
        load_torch_dias(tmp_path / "weights.pth")
