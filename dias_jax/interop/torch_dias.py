"""Checkpoints of the PyTorch reference, in both directions."""

from dias_jax.interop.dinov2 import backbone_from_torch, backbone_to_torch, count_layers
from dias_jax.interop.tensors import (
    Entry,
    linear,
    norm,
    read_tensors,
    refuse_leftovers,
    to_jax,
    to_torch,
    write_tensors,
)
from dias_jax.models.aggregator import SlotAttention
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.dias import DIAS
from dias_jax.models.initializer import SeparateGaussian, SharedGaussian
from dias_jax.models.projector import Projector

BACKBONE = "m.encode_backbone.1."


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


def trained_entries(num_layers, is_shared):
    """Entries of everything that is trained; `is_shared`: one Gaussian for all slots."""
    aggregator, recurrent = "m.aggregat", "m.aggregat.rnn"
    entries = norm("projector/norm", "m.encode_project.0")
    entries += linear("projector/mlp/hidden", "m.encode_project.1")
    entries += linear("projector/mlp/output", "m.encode_project.3")
    for ours, theirs in (("mean", "mean"), ("log_deviation", "logstd")):
        entries.append(Entry(f"initializer/{ours}", f"m.initializ.{theirs}", leading=1 + is_shared))
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


def load_torch_dias(path, num_slots=7, backbone_heads=6, decoder_heads=4):
    """Model and variables from a checkpoint in the released layout.

    Widths and depths are read off the checkpoint; the three numbers it does not hold are
    arguments. -> (DIAS, {"params", "backbone"}). Raises UserError when the file is missing, a
    tensor is missing or a tensor has no place in the model.
    """
    tensors = read_tensors(path)
    inside = [name for name in tensors if name.startswith(BACKBONE)]
    backbone_tensors = {name[len(BACKBONE) :]: tensors.pop(name) for name in inside}
    backbone = backbone_from_torch(backbone_tensors, path)
    refuse_leftovers(backbone_tensors, path)
    num_layers = count_layers(tensors, "m.decode.backbone.layers")
    is_shared = "m.initializ.mean" in tensors and tensors["m.initializ.mean"].shape[1] == 1
    params = to_jax(trained_entries(num_layers, is_shared), tensors, path)
    refuse_leftovers(tensors, path)
    aggregator, decoder = params["aggregator"], params["decoder"]
    width = aggregator["query"]["kernel"].shape[1]
    gaussian = SharedGaussian if is_shared else SeparateGaussian
    num_slots = num_slots if is_shared else len(params["initializer"]["mean"])
    patch = backbone["patch_embedding"]["kernel"]
    model = DIAS(
        backbone=VisionTransformer(
            width=patch.shape[1],
            depth=count_layers([name.replace("_", ".") for name in backbone], "block"),
            heads=backbone_heads,
            num_registers=len(backbone["prefix"]) - 1,
            patch_size=round((patch.shape[0] / 3) ** 0.5),
            position_grid=round(len(backbone["positions"]) ** 0.5),
        ),
        projector=Projector(),
        initializer=gaussian(num_slots, width),
        aggregator=SlotAttention(width, aggregator["mlp"]["hidden"]["kernel"].shape[1]),
        decoder=RandomOrderDecoder(len(decoder["positions"]), num_layers, decoder_heads),
    )
    return model, {"params": params, "backbone": {"params": backbone}}


def save_torch_dias(model, variables, path):
    """Write variables as a checkpoint that the PyTorch reference loads; the inverse of loading.

    The suffix decides the format (.pth needs torch, .safetensors does not). Raises UserError on
    parameters that have no place in the released layout.
    """
    params = variables["params"]
    is_shared = params["initializer"]["mean"].ndim == 1
    tensors = to_torch(trained_entries(model.decoder.num_layers, is_shared), params)
    backbone = backbone_to_torch(variables["backbone"]["params"], model.backbone.patch_size)
    tensors |= {BACKBONE + name: value for name, value in backbone.items()}
    write_tensors(path, tensors)
