"""Checkpoints of the PyTorch reference, in both directions.

All its published revisions write the same names and shapes.
"""

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from dias_jax.errors import UserError
from dias_jax.models.aggregator import SlotAttention
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.dias import DIAS
from dias_jax.models.initializer import SeparateGaussian, SharedGaussian
from dias_jax.models.projector import Projector
from dias_jax.pretrained.dinov2 import (
    backbone_from_torch,
    backbone_to_torch,
    count_layers,
    vision_transformer,
)
from dias_jax.pretrained.tensors import (
    Entry,
    check_shapes,
    linear,
    norm,
    read_tensors,
    shapes_of,
    to_jax,
    to_torch,
    write_tensors,
)

ROOT = "m."
BACKBONE = f"{ROOT}encode_backbone.1."
QUERY, HIDDEN = "m.aggregat.proj_q.weight", "m.aggregat.ffn.0.weight"
MEAN, POSITIONS = "m.initializ.mean", "m.decode.posit_embed._pe"
LAYERS = "m.decode.backbone.layers"
# Tensors that tell widths, and their number of axes.
TELLING = {QUERY: 2, HIDDEN: 2, MEAN: 3, POSITIONS: 3}


def decoder_entries(num_layers):
    """Entries of the random auto-regressive decoder."""
    name = "m.decode"
    entries = [
        Entry("decoder/mask_token", f"{name}.mask_token", leading=2),
        Entry("decoder/positions", f"{name}.posit_embed._pe", leading=1),
    ]
    for number, source in ((1, "tokens"), (2, "slots")):
        project = f"{name}.project{number}"
        entries += linear(f"decoder/project_{source}", f"{project}.0", bias=False)
        entries += norm(f"decoder/norm_{source}", f"{project}.1")
    for index in range(num_layers):
        path, layer = f"decoder/layer_{index}", f"{name}.backbone.layers.{index}"
        first_norm = f"{name}.norm0" if index == 0 else f"{layer}.norm1"
        entries += norm(f"{path}/norm1", first_norm, bias=False)
        for i in (2, 3):
            entries += norm(f"{path}/norm{i}", f"{layer}.norm{i}", bias=False)
        for ours, theirs in (("self", "self_attn"), ("cross", "multihead_attn")):
            fused = f"{layer}.{theirs}.in_proj_weight"
            entries.append(Entry(f"{path}/{ours}_attention/query_key_value", fused, True))
            output = f"{layer}.{theirs}.out_proj"
            entries += linear(f"{path}/{ours}_attention/output", output, bias=False)
        entries += linear(f"{path}/mlp/hidden", f"{layer}.linear1", bias=False)
        entries += linear(f"{path}/mlp/output", f"{layer}.linear2", bias=False)
    return entries


def gaussian_entries(is_shared):
    """Entries of the initializer; `is_shared`: one Gaussian for all slots."""
    names = (("mean", "mean"), ("log_deviation", "logstd"))
    return [
        Entry(f"initializer/{ours}", f"m.initializ.{theirs}", leading=1 + is_shared)
        for ours, theirs in names
    ]


def trained_entries(num_layers, is_shared):
    """Entries of everything that is trained; `is_shared`: one Gaussian for all slots."""
    return gaussian_entries(is_shared) + common_entries(num_layers)


def common_entries(num_layers):
    """Entries of everything that is trained but the initializer."""
    aggregator, recurrent = "m.aggregat", "m.aggregat.rnn"
    entries = norm("projector/norm", "m.encode_project.0")
    entries += linear("projector/mlp/hidden", "m.encode_project.1")
    entries += linear("projector/mlp/output", "m.encode_project.3")
    for ours, theirs in (("slots", "norm1q"), ("tokens", "norm1kv"), ("output", "norm2")):
        entries += norm(f"aggregator/norm_{ours}", f"{aggregator}.{theirs}")
    for ours, theirs in (("query", "q"), ("key", "k"), ("value", "v")):
        entries += linear(f"aggregator/{ours}", f"{aggregator}.proj_{theirs}", bias=False)
    for ours, theirs in (("input", "ih"), ("state", "hh")):
        path = f"aggregator/recurrent/{ours}"
        entries.append(Entry(f"{path}/kernel", f"{recurrent}.weight_{theirs}", True))
        entries.append(Entry(f"{path}/bias", f"{recurrent}.bias_{theirs}"))
    entries += linear("aggregator/mlp/hidden", f"{aggregator}.ffn.0")
    entries += linear("aggregator/mlp/output", f"{aggregator}.ffn.2")
    return entries + decoder_entries(num_layers)


def model_entries(model):
    """Entries of everything that is trained in `model`."""
    is_shared = isinstance(model.initializer, SharedGaussian)
    return trained_entries(model.decoder.num_layers, is_shared)


def with_root(tensors):
    """The same tensors under names that begin with the reference's wrapper."""
    if any(name.startswith(ROOT) for name in tensors):
        return tensors
    return {ROOT + name: value for name, value in tensors.items()}


def check_heads(heads, width, argument):
    """Raise UserError where `heads` do not divide the width."""
    if heads < 1 or width % heads:
        raise UserError(f"{argument}={heads} does not divide the width {width}: give another")


def variable_shapes(model):
    """What variables a model has: {"params", "backbone"} of shapes."""
    patch, num_tokens = model.backbone.patch_size, model.decoder.num_tokens
    inputs = model.smallest_inputs(patch, num_tokens * patch)  # any image of so many patches
    keys = dict.fromkeys(("params", "slots", "decoder"), jax.random.key(0))
    return jax.eval_shape(model.clone(input_scale=1.0).init, keys, **inputs)


def torch_shapes(entries, variables):
    """{name: shape} of the trained tensors of a model whose `variable_shapes` are these."""
    blank = jax.tree.map(
        lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables["params"]
    )
    return shapes_of(to_torch(entries, blank))


def read_model(tensors, transformer, num_slots, decoder_heads, source):
    """The model whose trained tensors these are, on its backbone. Raises UserError without one."""
    check_telling(tensors, TELLING, source)
    width, num_gaussians = tensors[QUERY].shape[0], tensors[MEAN].shape[1]
    is_shared = num_gaussians == 1
    initializer = (
        SharedGaussian(num_slots, width) if is_shared else SeparateGaussian(num_gaussians, width)
    )
    return DIAS(initializer=initializer, **read_parts(tensors, transformer, decoder_heads, source))


def check_telling(tensors, telling, source):
    """Raise UserError where a tensor of `telling` is missing or has another number of axes."""
    for name, axes in telling.items():
        if name not in tensors or tensors[name].ndim != axes:
            found = shapes_of(tensors).get(name, "missing")
            raise UserError(f"{source}: tensor {name} must have {axes} axes but is {found}")


def read_parts(tensors, transformer, decoder_heads, source):
    """The model's parts but for the initializer: -> {field of DIAS: module}."""
    num_layers = count_layers(tensors, LAYERS)
    if num_layers == 0:
        raise UserError(f"{source}: no tensor begins with {LAYERS}.0: not a checkpoint of DIAS")
    check_heads(transformer.heads, transformer.width, "backbone_heads")
    check_heads(decoder_heads, transformer.width, "decoder_heads")
    return {
        "backbone": transformer,
        "projector": Projector(),
        "aggregator": SlotAttention(tensors[QUERY].shape[0], tensors[HIDDEN].shape[0]),
        "decoder": RandomOrderDecoder(tensors[POSITIONS].shape[1], num_layers, decoder_heads),
    }


def read_checkpoint(path, backbone_heads):
    """A checkpoint of the reference: -> trained tensors, backbone's parameters, VisionTransformer.

    Raises UserError where there is no backbone in it.
    """
    tensors = with_root(read_tensors(path))
    inside = [name for name in tensors if name.startswith(BACKBONE)]
    if not inside:
        raise UserError(f"{path}: no tensor begins with {BACKBONE}: not a checkpoint of DIAS")
    backbone = backbone_from_torch(
        {name[len(BACKBONE) :]: tensors.pop(name) for name in inside}, f"{path}, {BACKBONE}*"
    )
    return tensors, backbone, vision_transformer(backbone, backbone_heads)


def load_torch_dias(path, num_slots=7, backbone_heads=6, decoder_heads=4):
    """Model and variables from a checkpoint in the released layout.

    Widths and depths are read off the checkpoint; the three numbers it does not hold are
    arguments. -> (DIAS, {"params", "backbone"}), float32. Names may lack the leading `m.` and may
    carry what DataParallel and torch.compile add. Raises UserError when the file is missing or
    damaged, heads do not divide their width, or naming all tensors that are missing, have no place
    in the model or a wrong shape.
    """
    tensors, backbone, transformer = read_checkpoint(path, backbone_heads)
    model = read_model(tensors, transformer, num_slots, decoder_heads, path)
    entries = model_entries(model)
    check_shapes(shapes_of(tensors), torch_shapes(entries, variable_shapes(model)), path)
    return model, {"params": to_jax(entries, tensors, path), "backbone": {"params": backbone}}


def save_torch_dias(model, variables, path):
    """Write variables as a checkpoint that the PyTorch reference loads; the inverse of loading.

    The suffix decides the format (.pth needs torch, .safetensors does not). Raises UserError when
    the backbone is no VisionTransformer, or naming all variables that are missing, have no place
    in the model or a wrong shape.
    """
    if not isinstance(model.backbone, VisionTransformer):
        raise UserError(
            f"{path}: the reference has no backbone {type(model.backbone).__name__}, so a model "
            "that was trained on one cannot run there"
        )
    found, expected = (flatten_dict(x, sep="/") for x in (variables, variable_shapes(model)))
    check_shapes(shapes_of(found), shapes_of(expected), path)
    tensors = to_torch(model_entries(model), variables["params"])
    backbone = backbone_to_torch(variables["backbone"]["params"], model.backbone.patch_size)
    tensors |= {BACKBONE + name: value for name, value in backbone.items()}
    write_tensors(path, tensors)
