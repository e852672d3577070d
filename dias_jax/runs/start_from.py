"""A new run that starts with what another has learnt."""

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dias_jax import devices
from dias_jax.errors import UserError, named
from dias_jax.runs.trained_model import open_by_name


def start_from(name_or_workdir, params):
    """`params` with those of a trained model in their place, wherever names are the same.

    name_or_workdir: a run's directory or a checkpoint that ships; params: a nested dict of arrays
    at step 0. A video model takes all of an image model but its transition. Raises UserError where
    there is no such model, a shape differs or no name is the same.
    """
    setting = f"config.start_from={name_or_workdir}"
    with named(setting):
        trained = flatten_dict(open_by_name(name_or_workdir).variables["params"], sep="/")
    start = flatten_dict(params, sep="/")
    shared = start.keys() & trained.keys()
    if not shared:
        raise UserError(
            f"{setting}: no parameter of it has a name here: name a model of the same kind"
        )
    for name in sorted(shared):
        shapes = np.shape(trained[name]), np.shape(start[name])
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{setting}: {name} has the shape {shapes[0]}, here "
                f"{shapes[1]}: set the sizes of config.model to those of that model"
            )
    if devices.is_main_process():
        print(f"starts from {name_or_workdir}: {len(shared)} of {len(start)} arrays", flush=True)
    merged = start | {name: trained[name] for name in shared}
    return unflatten_dict(merged, sep="/")
