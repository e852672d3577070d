"""Files of named tensors, and the rules that turn PyTorch's layout of one into ours."""

import dataclasses
import pathlib
import re

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from dias_jax.errors import UserError, reason
from dias_jax.files import appearing_file

TORCH_SUFFIXES = (".pth", ".pt", ".bin")
LFS_POINTER = b"version https://git-lfs"
WRAPPERS = re.compile(r"(?<![^.])(module|_orig_mod)\.")  # DataParallel, torch.compile
MOST_NAMES = 20  # in one message


def import_torch(path):
    """PyTorch, or a UserError that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: PyTorch files need torch: pip install 'dias_jax[torch]', "
            "or use .safetensors instead"
        ) from error
    return torch


def read_tensors(path):
    """Named arrays of a .safetensors or PyTorch (weights only) file: {name: numpy array}.

    Floating point of any precision becomes float32. What wrappers of modules put into names
    (`module.`, `_orig_mod.`) is left out. Raises UserError when the file is missing, damaged, only
    a pointer to the real one, or holds anything but named tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist")
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(f"{path} is a pointer of Git LFS, not the weights: run git lfs pull")
    if path.suffix == ".safetensors":
        tensors = read_safetensors(path)
    elif path.suffix in TORCH_SUFFIXES:
        tensors = read_torch(path)
    else:
        raise UserError(f"weight file {path}: expected .safetensors or {', '.join(TORCH_SUFFIXES)}")
    for name, value in tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{path}: tensor {name} is not finite: fetch the file again")
    plain = {WRAPPERS.sub("", name): value for name, value in tensors.items()}
    if len(plain) < len(tensors):
        raise UserError(f"{path}: tensors occur twice, with and without module. or _orig_mod.")
    return plain


def read_safetensors(path):
    """The tensors of a .safetensors file."""
    try:
        tensors = load_file(path)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged: fetch it again; or it holds types that NumPy lacks: save it as "
            f"float32 ({reason(error)})"
        ) from error
    return {name: to_float32(value) for name, value in tensors.items()}


def read_torch(path):
    """The tensors of a PyTorch file; no code in it is run."""
    torch = import_torch(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes happen to mean to its parsers
        raise UserError(
            f"{path} is damaged or holds more than tensors ({type(error).__name__}): fetch it "
            "again, or save the model's state_dict() alone"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}: save a model's state_dict()")
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(
            f"{path} holds other things than tensors ({', '.join(map(str, others[:MOST_NAMES]))}): "
            "save the model's state_dict() alone"
        )
    return {str(name): torch_array(tensor, name, path) for name, tensor in state.items()}


def torch_array(tensor, name, path):
    """A PyTorch tensor as an array. Raises UserError where it is not a plain one."""
    try:
        return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise UserError(
            f"{path}: tensor {name} is sparse, quantised or without data: save it as dense float32"
        ) from error


def to_float32(value):
    """An array of any floating point type as float32; others as they are."""
    is_float = value.dtype.kind == "f" or value.dtype.name == "bfloat16"
    return value.astype(np.float32) if is_float else value


def write_tensors(path, tensors):
    """The inverse of `read_tensors`; the suffix decides the format. Whole or not at all."""
    path = pathlib.Path(path)
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    with appearing_file(path) as incomplete:
        if path.suffix == ".safetensors":
            incomplete.write_bytes(save(tensors))  # save_file would hide it from the group
        elif path.suffix in TORCH_SUFFIXES:
            torch = import_torch(path)
            state = {name: torch.tensor(value) for name, value in tensors.items()}
            torch.save(state, incomplete)
        else:
            raise UserError(f"{path}: write to .safetensors or {', '.join(TORCH_SUFFIXES)}")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor in both layouts: ours under `path`, PyTorch's under `name`.

    Entries of one path are the parts of one parameter, in order along its last axis.
    """

    path: str  # "aggregator/query/kernel"
    name: str  # "m.aggregat.proj_q.weight"
    transpose: bool = False  # matrices: (out, in) in PyTorch, (in, out) here
    leading: int = 0  # axes of length one in front, in PyTorch's layout only


def linear(path, name, bias=True):
    """Entries of a Linear."""
    entries = [Entry(f"{path}/kernel", f"{name}.weight", transpose=True)]
    return entries + [Entry(f"{path}/bias", f"{name}.bias")] if bias else entries


def norm(path, name, bias=True):
    """Entries of a LayerNorm."""
    entries = [Entry(f"{path}/scale", f"{name}.weight")]
    return entries + [Entry(f"{path}/bias", f"{name}.bias")] if bias else entries


def to_jax(entries, tensors, source):
    """Take `entries` out of the dict `tensors` into a nested dict of parameters.

    Raises UserError when a tensor is missing; what is not taken stays in `tensors`.
    """
    missing = [entry.name for entry in entries if entry.name not in tensors]
    if missing:
        raise UserError(f"{source}: tensors missing: {join(missing)}")
    parts = {}
    for entry in entries:
        value = np.asarray(tensors.pop(entry.name), np.float32)
        value = value.reshape(value.shape[entry.leading :])
        parts.setdefault(entry.path, []).append(value.T if entry.transpose else value)
    flat = {path: x[0] if len(x) == 1 else np.concatenate(x, -1) for path, x in parts.items()}
    return unflatten_dict(flat, sep="/")


def to_torch(entries, params):
    """The inverse of `to_jax`, for parameters of exactly these entries, one a path."""
    flat = flatten_dict(params, sep="/")
    tensors = {}
    for entry in entries:
        value = np.asarray(flat[entry.path])
        value = value.T if entry.transpose else value
        tensors[entry.name] = value.reshape((1,) * entry.leading + value.shape)
    return tensors


def check_shapes(found, expected, source):
    """Raise UserError when shapes {name: tuple} differ: all that is missing, left over or wrong."""
    both = [name for name in expected if name in found]
    problems = {
        "missing": [name for name in expected if name not in found],
        "without a place in the model": [name for name in found if name not in expected],
        "of a wrong shape": [
            f"{name} {found[name]} instead of {expected[name]}"
            for name in both
            if tuple(found[name]) != tuple(expected[name])
        ],
    }
    lines = [f"tensors {kind}: {join(names)}" for kind, names in problems.items() if names]
    if lines:
        raise UserError(f"{source}: {'; '.join(lines)}")


def shapes_of(tensors):
    """{name: shape} of named arrays."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def join(names):
    """A readable list of the first names."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
