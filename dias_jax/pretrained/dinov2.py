"""DINOv2 checkpoints: timm's layout, the original one and that of Hugging Face."""

import re

import numpy as np

from dias_jax.errors import UserError
from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained.layouts import TIMM, choose_layout
from dias_jax.pretrained.tensors import (
    Entry,
    check_shapes,
    linear,
    norm,
    read_tensors,
    shapes_of,
    to_jax,
    to_torch,
)

MODEL_PREFIX = re.compile(r"^(dinov2|dinov2_with_registers)\.")  # inside a larger model
SWIGLU = re.compile(r"mlp\.(w12|w3|weights_in|weights_out)\.")  # of the giant models


def count_layers(names, prefix):
    """How many numbered modules `prefix.0`, `prefix.1` ... there are, up to the last one.

    Where a number is larger than the names are many, some must be missing: one more than there are.
    """
    numbers = re.compile(rf"{re.escape(prefix)}\.(\d{{1,9}})\.")
    found = {int(match[1]) for match in map(numbers.match, names) if match}
    return min(max(found, default=-1), len(found)) + 1


def block_entries(depth, layout=TIMM):
    """Entries of the Transformer blocks."""
    entries = []
    for index in range(depth):
        path, name = f"block_{index}", f"{layout.block}.{index}"
        entries += norm(f"{path}/norm1", f"{name}.norm1") + norm(f"{path}/norm2", f"{name}.norm2")
        for part in layout.attention:
            entries += linear(f"{path}/attention/query_key_value", f"{name}.{part}")
        entries += linear(f"{path}/attention/output", f"{name}.{layout.attention_output}")
        entries += linear(f"{path}/mlp/hidden", f"{name}.mlp.fc1")
        entries += linear(f"{path}/mlp/output", f"{name}.mlp.fc2")
        scale = f"{name}.{layout.scale}"
        entries += [Entry(f"{path}/scale{i}", scale.format(i)) for i in (1, 2)]
    return entries


def block_shape(name, width):
    """Shape of a block's tensor; `name` as in `block_entries`."""
    is_matrix = name.endswith(".weight") and "norm" not in name
    if name.endswith(("mlp.fc1.weight", "mlp.fc1.bias")):
        rows = 4 * width
    elif "attn.qkv" in name:
        rows = 3 * width
    else:
        rows = width
    columns = 4 * width if name.endswith("mlp.fc2.weight") else width
    return (rows, columns) if is_matrix else (rows,)


def expected_shapes(tensors, layout, source):
    """{name: shape} of a whole model with the width, depth and grid of these tensors.

    Raises UserError where these cannot be read off.
    """
    kernel, positions = f"{layout.patches}.weight", layout.positions
    for name, axes in ((kernel, 4), (positions, 3)):
        if name not in tensors:
            raise UserError(f"{source}: no tensor {name}: not a DINOv2 checkpoint")
        if tensors[name].ndim != axes:
            raise UserError(f"{source}: {name} {tensors[name].shape} must have {axes} axes")
    width, patch = tensors[kernel].shape[0], tensors[kernel].shape[-1]
    num_positions = tensors[positions].shape[1]
    if not is_square(num_positions) and not is_square(num_positions - 1):
        raise UserError(f"{source}: {positions} has {num_positions} positions: no square grid")
    shapes = {
        layout.class_token: (1, 1, width),
        positions: (1, num_positions, width),
        kernel: (width, 3, patch, patch),
        f"{layout.patches}.bias": (width,),
    }
    if layout.registers in tensors:
        shapes[layout.registers] = (1, *tensors[layout.registers].shape[1:2], width)
    names = [entry.name for entry in block_entries(count_layers(tensors, layout.block), layout)]
    return shapes | {name: block_shape(name, width) for name in names}


def is_square(number):
    """Whether `number` is that of a square's cells."""
    return number > 0 and round(number**0.5) ** 2 == number


def backbone_from_torch(tensors, source):
    """A VisionTransformer's parameters from all of `tensors` {name: array}.

    A position of the class token is added to that token, which is what it amounts to. Raises
    UserError naming all tensors that are missing, left over or of a wrong shape.
    """
    layout = choose_layout(tensors, source)
    shapes = expected_shapes(tensors, layout, source)
    refuse_giant(tensors, shapes, source)
    check_shapes(shapes_of(tensors), shapes, source)
    prefix = [tensors[layout.class_token][0]]
    if layout.registers in tensors:
        prefix.append(tensors[layout.registers][0])
    positions = tensors[layout.positions][0]
    if not is_square(len(positions)):  # the first one is the class token's
        prefix[0] = prefix[0] + positions[:1]
        positions = positions[1:]
    kernel = tensors[f"{layout.patches}.weight"]  # (C, 3, patch, patch)
    width = len(kernel)
    blocks = block_entries(count_layers(tensors, layout.block), layout)
    return to_jax(blocks, dict(tensors), source) | {
        "prefix": np.concatenate(prefix),
        "positions": positions,
        "patch_embedding": {
            "kernel": kernel.transpose(2, 3, 1, 0).reshape(-1, width),
            "bias": tensors[f"{layout.patches}.bias"],
        },
    }


def refuse_giant(tensors, shapes, source):
    """Raise UserError on the giant models, whose MLP is another one."""
    fused = [name for name in shapes if name.endswith("mlp.fc1.weight") and name in tensors]
    packed = any(
        tensors[name].shape[:1] == (2 * columns,)
        for name in fused
        for columns in tensors.get(name.replace("fc1", "fc2"), tensors[name]).shape[-1:]
    )
    if packed or any(SWIGLU.search(name) for name in tensors):
        raise UserError(
            f"{source} is a giant DINOv2 (SwiGLU), which is not supported: take a small, base or "
            "large one"
        )


def backbone_to_torch(params, patch_size):
    """The inverse of `backbone_from_torch`, in timm's layout: {name: array}."""
    params = dict(params)
    prefix, positions = np.asarray(params.pop("prefix")), np.asarray(params.pop("positions"))
    embedding = params.pop("patch_embedding")
    kernel = np.asarray(embedding["kernel"]).reshape(patch_size, patch_size, 3, -1)
    tensors = {
        TIMM.class_token: prefix[None, :1],
        TIMM.positions: positions[None],
        f"{TIMM.patches}.weight": kernel.transpose(3, 2, 0, 1),
        f"{TIMM.patches}.bias": np.asarray(embedding["bias"]),
    }
    if len(prefix) > 1:
        tensors[TIMM.registers] = prefix[None, 1:]
    else:  # timm's models without registers have a position for the class token: ours is in it
        tensors[TIMM.positions] = np.pad(tensors[TIMM.positions], ((0, 0), (1, 0), (0, 0)))
    return tensors | to_torch(block_entries(len(params)), params)


def vision_transformer(params, heads):
    """The module whose parameters these are; heads cannot be read off."""
    kernel = params["patch_embedding"]["kernel"]
    return VisionTransformer(
        width=kernel.shape[1],
        depth=sum(name.startswith("block_") for name in params),
        heads=heads,
        num_registers=len(params["prefix"]) - 1,
        patch_size=round((kernel.shape[0] / 3) ** 0.5),
        position_grid=round(len(params["positions"]) ** 0.5),
    )


def load_dinov2(path):
    """Parameters of a VisionTransformer from a DINOv2 checkpoint file, any `Layout`.

    They belong under variables["backbone"]["params"]. The position grid stays as stored: the
    model resamples it to the image. Raises UserError when the file is missing or damaged, is not
    a DINOv2 checkpoint, or lacks a tensor, has one too many or one of a wrong shape.
    """
    tensors = {MODEL_PREFIX.sub("", name): value for name, value in read_tensors(path).items()}
    layout = choose_layout(tensors, path)
    used = {name: value for name, value in tensors.items() if name not in layout.unused}
    return backbone_from_torch(used, path)
