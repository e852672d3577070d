"""Golden numbers: what the reference computes on a small case, for tests that run without it."""

import pathlib
import zipfile

import numpy as np

from dias_jax.compare.case import Case
from dias_jax.compare.stages import record_reference
from dias_jax.errors import UserError
from dias_jax.interop.torch_dias import load_torch_dias, save_torch_dias
from dias_jax.models.draws import Draws

# Of the tiny model; its weights lie beside it.
GOLDEN = pathlib.Path(__file__).parent / "golden" / "tiny.npz"
CONSTANTS = ("learning_rate", "distillation_weight")
SAMPLED = ("noise", "token_order", "num_visible")  # fields of Draws that the reference samples


def fixture_path(name):
    """The file of a fixture: "golden", the one that comes with this package, or a path."""
    return GOLDEN if name == "golden" else pathlib.Path(name)


def checkpoint_path(path):
    """Where the weights of the fixture `path` are: beside it, in the released layout."""
    return pathlib.Path(path).with_suffix(".safetensors")


def write_fixture(path, case, wrapper):
    """Write `path` (.npz: images, draws and all stages of the reference) and its checkpoint."""
    if pathlib.Path(path).suffix != ".npz":
        raise UserError(f"--write_fixture={path}: the name must end in .npz")
    arrays = {
        "images": case.images,
        "evaluation_noise": case.evaluation_noise,
        "num_slots": case.model.initializer.num_slots,
        "backbone_heads": case.model.backbone.heads,
        "decoder_heads": case.model.decoder.heads,
    }
    arrays |= {name: getattr(case, name) for name in CONSTANTS}
    for index, draws in enumerate(case.draws):
        arrays |= {f"draws {index}/{name}": getattr(draws, name) for name in SAMPLED}
    for title, stages in record_reference(case, wrapper).items():
        arrays |= {f"{title}: {name}": value for name, value in stages.items()}
    np.savez_compressed(path, **arrays)
    save_torch_dias(case.model, case.variables, checkpoint_path(path))


def read_fixture(path):
    """The inverse: -> (Case, {pass: {stage: array}}).

    Raises UserError on a file that `write_fixture` has not written.
    """
    try:
        with np.load(path) as file:
            arrays = dict(file)
        heads = {name: int(arrays.pop(name)) for name in ("backbone_heads", "decoder_heads")}
        num_slots = int(arrays.pop("num_slots"))
        constants = {name: float(arrays.pop(name)) for name in CONSTANTS}
        inputs = {name: arrays.pop(name) for name in ("images", "evaluation_noise")}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read: name a .npz file that --write_fixture wrote ({error})"
        ) from error
    model, variables = load_torch_dias(checkpoint_path(path), num_slots, **heads)
    steps, passes = split_draws(arrays)
    return Case(model, variables, draws=steps, **inputs, **constants), passes


def split_draws(arrays):
    """The file's other arrays by name: -> list of Draws, {pass: {stage: array}}."""
    draws, passes = {}, {}
    for key, value in arrays.items():
        if key.startswith("draws "):
            index, name = key.removeprefix("draws ").split("/")
            draws.setdefault(int(index), {})[name] = value
        else:
            title, name = key.split(": ")
            passes.setdefault(title, {})[name] = value
    return [Draws(**draws[index]) for index in sorted(draws)], passes
