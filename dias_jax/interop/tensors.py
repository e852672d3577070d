"""Files of named tensors, and the rules that turn PyTorch's layout of one into ours."""

import dataclasses
import pathlib

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

from dias_jax.errors import UserError

TORCH_SUFFIXES = (".pth", ".pt", ".bin")


def import_torch(path):
    """PyTorch, or a UserError that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: PyTorch files need torch: pip install 'dias_jax[torch]', "
            "or convert the file to .safetensors"
        ) from error
    return torch


def read_tensors(path):
    """Named arrays of a .safetensors or PyTorch (weights only) file: {name: numpy array}."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"weight file {path} does not exist")
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix in TORCH_SUFFIXES:
        torch = import_torch(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in state.items()}
    raise UserError(f"weight file {path}: expected .safetensors or {', '.join(TORCH_SUFFIXES)}")


def write_tensors(path, tensors):
    """The inverse of `read_tensors`; the suffix decides the format."""
    path = pathlib.Path(path)
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    elif path.suffix in TORCH_SUFFIXES:
        torch = import_torch(path)
        torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, path)
    else:
        raise UserError(f"{path}: write to .safetensors or {', '.join(TORCH_SUFFIXES)}")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor in both layouts: ours under `path`, PyTorch's under `name`."""

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
        raise UserError(f"{source}: tensors missing: {', '.join(missing)}")
    flat = {}
    for entry in entries:
        value = np.asarray(tensors.pop(entry.name), np.float32)
        value = value.reshape(value.shape[entry.leading :])
        flat[entry.path] = value.T if entry.transpose else value
    return unflatten_dict(flat, sep="/")


def to_torch(entries, params):
    """The inverse of `to_jax`: {name: array}. Raises UserError on parameters left over."""
    flat = {name: np.asarray(value) for name, value in flatten_dict(params, sep="/").items()}
    tensors = {}
    for entry in entries:
        value = flat.pop(entry.path)
        value = value.T if entry.transpose else value
        tensors[entry.name] = value.reshape((1,) * entry.leading + value.shape)
    if flat:
        raise UserError(f"parameters without a place in PyTorch's layout: {', '.join(flat)}")
    return tensors


def refuse_leftovers(tensors, source):
    """Raise UserError when a file holds tensors that nothing has taken."""
    if tensors:
        raise UserError(f"{source}: tensors without a place in the model: {', '.join(tensors)}")
