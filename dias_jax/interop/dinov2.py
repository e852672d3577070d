"""DINOv2 checkpoints: timm's layout and the original one."""

import numpy as np

from dias_jax.errors import UserError
from dias_jax.interop.tensors import (
    Entry,
    linear,
    norm,
    read_tensors,
    refuse_leftovers,
    to_jax,
    to_torch,
)

UNUSED = ("norm.weight", "norm.bias", "mask_token")  # the final norm is never applied


def block_entries(depth):
    """Entries of the Transformer blocks; both layouts share their names."""
    entries = []
    for index in range(depth):
        path, name = f"block_{index}", f"blocks.{index}"
        entries += norm(f"{path}/norm1", f"{name}.norm1") + norm(f"{path}/norm2", f"{name}.norm2")
        entries += linear(f"{path}/attention/query_key_value", f"{name}.attn.qkv")
        entries += linear(f"{path}/attention/output", f"{name}.attn.proj")
        entries += linear(f"{path}/mlp/hidden", f"{name}.mlp.fc1")
        entries += linear(f"{path}/mlp/output", f"{name}.mlp.fc2")
        entries += [Entry(f"{path}/scale{i}", f"{name}.ls{i}.gamma") for i in (1, 2)]
    return entries


def count_layers(tensors, prefix):
    """How many numbered modules `prefix.0`, `prefix.1` ... there are."""
    numbers = {
        int(name[len(prefix) + 1 :].split(".")[0])
        for name in tensors
        if name.startswith(prefix + ".")
    }
    return len(numbers)


def backbone_from_torch(tensors, source):
    """Take a VisionTransformer's parameters out of the dict `tensors`.

    Known layouts: timm (`reg_token`), the original (`register_tokens`), models without register
    tokens. A position of the class token is added to that token, which is what it amounts to.
    Raises UserError when a tensor is missing.
    """
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        if name not in tensors:
            raise UserError(f"{source}: no tensor {name}: not a DINOv2 checkpoint")
    prefix = [tensors.pop("cls_token")[0]]
    for name in ("reg_token", "register_tokens"):
        if name in tensors:
            prefix.append(tensors.pop(name)[0])
    positions = tensors.pop("pos_embed")[0]
    if round(len(positions) ** 0.5) ** 2 != len(positions):  # the first one is the class token's
        prefix[0] = prefix[0] + positions[:1]
        positions = positions[1:]
    kernel = tensors.pop("patch_embed.proj.weight")  # (C, 3, patch, patch)
    params = to_jax(block_entries(count_layers(tensors, "blocks")), tensors, source)
    width = kernel.shape[0]
    return params | {
        "prefix": np.concatenate(prefix),
        "positions": positions,
        "patch_embedding": {
            "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, width),
            "bias": tensors.pop("patch_embed.proj.bias"),
        },
    }


def backbone_to_torch(params, patch_size):
    """The inverse of `backbone_from_torch`, in timm's layout: {name: array}."""
    params = dict(params)
    prefix, positions = np.asarray(params.pop("prefix")), np.asarray(params.pop("positions"))
    embedding = params.pop("patch_embedding")
    kernel = np.asarray(embedding["kernel"]).reshape(patch_size, patch_size, 3, -1)
    depth = len(params)
    tensors = {
        "cls_token": prefix[None, :1],
        "pos_embed": positions[None],
        "patch_embed.proj.weight": kernel.transpose(3, 2, 0, 1),
        "patch_embed.proj.bias": np.asarray(embedding["bias"]),
    }
    if len(prefix) > 1:
        tensors["reg_token"] = prefix[None, 1:]
    return tensors | to_torch(block_entries(depth), params)


def load_dinov2(path):
    """Parameters of a VisionTransformer from a DINOv2 checkpoint file (timm or original).

    They belong under variables["backbone"]["params"]. Raises UserError when the file is missing,
    is not a DINOv2 checkpoint, or holds tensors that have no place in the model.
    """
    tensors = read_tensors(path)
    for name in UNUSED:
        tensors.pop(name, None)
    params = backbone_from_torch(tensors, path)
    refuse_leftovers(tensors, path)
    return params
