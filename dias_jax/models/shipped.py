"""Checkpoints that ship with the package: a trained model without a download.

Each is a pair of files in `checkpoints/`: NAME.safetensors holds the variables, NAME.json the
record of how they came about and what they reach. `experiments/tools/ship.py` writes them.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load_file, save_file

from dias_jax.config.defaults import complete
from dias_jax.errors import UserError

FOLDER = pathlib.Path(__file__).parent / "checkpoints"


def shipped_names():
    """Names of all checkpoints that ship, in order."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def read_record(name):
    """What is recorded of a checkpoint: dict.

    "config", "command", "commit" of the code that trained it, "step", "protocol", "metrics" over
    "num_samples" samples, and "first": the same two over the first samples of the split.
    Raises UserError on a name that does not ship.
    """
    if name not in shipped_names():
        options = ", ".join(shipped_names())
        raise UserError(
            f'"{name}" is neither a work directory nor a checkpoint that ships: {options}'
        )
    return json.loads((FOLDER / f"{name}.json").read_text())


def shipped_config(name):
    """The config a checkpoint was trained with. Raises UserError on a name that does not ship."""
    return complete(read_record(name)["config"])


def read_variables(name):
    """The variables {"params", "backbone"} of a checkpoint, float32 however they are stored."""
    nested = unflatten_dict(load_file(FOLDER / f"{name}.safetensors"), sep="/")
    nested = {"backbone": {"params": {}}} | nested
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), nested)


def save(name, variables, record):
    """Write a checkpoint and its record (see `read_record`) where `models.load` finds them."""
    FOLDER.mkdir(exist_ok=True)
    flat = flatten_dict(jax.tree.map(np.asarray, variables), sep="/")
    save_file(flat, FOLDER / f"{name}.safetensors")
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
