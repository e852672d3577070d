"""Checkpoints of the PyTorch reference, in both directions."""

import chex
import jax
import numpy as np
import pytest
from changes import plus, without
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

from dias_jax.compare.fixture import GOLDEN
from dias_jax.errors import UserError
from dias_jax.interop import load_torch_dias, save_torch_dias
from dias_jax.models import load
from dias_jax.models.initializer import SeparateGaussian

CHECKPOINT = GOLDEN.with_suffix(".safetensors")
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


def rename(tensors, function):
    return {function(name): value for name, value in tensors.items()}


@pytest.mark.parametrize(
    "function",
    [
        lambda name: name.removeprefix("m."),
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("m.", "m._orig_mod.", 1),
        lambda name: name.removeprefix("m.").replace("aggregat.", "aggregat._orig_mod."),
    ],
    ids=["no m.", "DataParallel", "compiled and parallel", "compiled inside", "compiled part"],
)
def test_what_wrappers_add_to_names_does_not_matter(function, tmp_path):
    save_file(rename(load_file(CHECKPOINT), function), tmp_path / "other.safetensors")
    actual = load_torch_dias(tmp_path / "other.safetensors", **HEADS)[1]
    chex.assert_trees_all_equal(actual, load_torch_dias(CHECKPOINT, **HEADS)[1])


def test_ambiguous_names_are_refused(tmp_path):
    tensors = load_file(CHECKPOINT)
    tensors["module.m.decode.mask_token"] = tensors["m.decode.mask_token"]
    save_file(tensors, tmp_path / "twice.safetensors")
    with pytest.raises(UserError, match="twice.*module"):
        load_torch_dias(tmp_path / "twice.safetensors", **HEADS)


def separate(tensors, num_slots):
    """The same checkpoint with one Gaussian for each slot."""
    random = np.random.default_rng(0)
    gaussians = {
        f"m.initializ.{name}": random.standard_normal((1, num_slots, 12), np.float32)
        for name in ("mean", "logstd")
    }
    return tensors | gaussians


def test_a_gaussian_for_each_slot(tmp_path):
    tensors = separate(load_file(CHECKPOINT), 6)
    save_file(tensors, tmp_path / "separate.safetensors")
    model, variables = load_torch_dias(tmp_path / "separate.safetensors", **HEADS)
    assert model.initializer == SeparateGaussian(6, 12)
    save_torch_dias(model, variables, tmp_path / "copy.safetensors")
    assert_same_tensors(load_file(tmp_path / "copy.safetensors"), tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("m.aggregat.rnn.bias_hh"), ["missing: m.aggregat.rnn.bias_hh"]),
        (without("m.encode_backbone.1.cls_token"), ["m.encode_backbone.1.*", "cls_token"]),
        (without("m.decode.norm0.weight"), ["missing: m.decode.norm0.weight"]),
        (without("m.aggregat.proj_q.weight"), ["m.aggregat.proj_q.weight must have 2 axes"]),
        (plus("m.decode.readout.weight", 3), ["without a place in the model: m.decode.readout"]),
        (plus("m.encode_backbone.1.norm.weight", 16), ["without a place", "norm.weight"]),
        (plus("m.decode.backbone.layers.3.norm2.weight", 16), ["layers.2.norm2.weight"]),
        (
            plus("m.decode.mask_token", 1, 1, 15),
            ["of a wrong shape: m.decode.mask_token (1, 1, 15) instead of (1, 1, 16)"],
        ),
        (plus("m.aggregat.proj_k.weight", 16, 12), ["proj_k.weight (16, 12) instead of (12, 16)"]),
        (plus("m.initializ.logstd", 1, 3, 12), ["logstd (1, 3, 12) instead of (1, 1, 12)"]),
        (
            lambda tensors: without("m.decode.norm0.weight")(tensors) + [plus("m.a", 1)(tensors)],
            ["missing: m.decode.norm0.weight; tensors without a place in the model: m.a"],
        ),
    ],
)
def test_what_does_not_fit_is_named(change, words, tmp_path):
    tensors = load_file(CHECKPOINT)
    change(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(UserError) as caught:
        load_torch_dias(tmp_path / "other.safetensors", **HEADS)
    for word in ("other.safetensors", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    save_file({"m.fc.weight": np.zeros((2, 2))}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of DIAS"):
        load_torch_dias(tmp_path / "other.safetensors")


@pytest.mark.parametrize("argument", ["backbone_heads", "decoder_heads"])
@pytest.mark.parametrize("heads", [3, 0])
def test_heads_that_do_not_divide_the_width_are_named(argument, heads):
    with pytest.raises(UserError, match=f"{argument}={heads} does not divide the width 16"):
        load_torch_dias(CHECKPOINT, **HEADS | {argument: heads})


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("params/aggregator/query/kernel", None, "missing: params/aggregator/query/kernel"),
        ("params/readout/kernel", np.zeros(3), "without a place in the model: params/readout"),
        ("params/decoder/mask_token", np.zeros(3), r"mask_token \(3,\) instead of \(16,\)"),
        ("backbone/params/prefix", np.zeros((1, 16)), r"prefix \(1, 16\) instead of \(5, 16\)"),
        ("backbone/params/positions", None, "missing: backbone/params/positions"),
    ],
)
def test_variables_that_do_not_fit_are_not_written(path, value, words, tmp_path):
    model, variables = load_torch_dias(CHECKPOINT, **HEADS)
    flat = flatten_dict(variables, sep="/") | {path: value}
    variables = unflatten_dict({k: x for k, x in flat.items() if x is not None}, sep="/")
    with pytest.raises(UserError, match=words):
        save_torch_dias(model, variables, tmp_path / "copy.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_backbone_that_the_reference_lacks_is_named(tmp_path):
    with pytest.raises(UserError, match="reference has no backbone PatchColours"):
        save_torch_dias(*load("shapes"), tmp_path / "copy.safetensors")


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
