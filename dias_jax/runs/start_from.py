"""A new run that starts with what another has learnt."""

import logging

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dias_jax.errors import UserError
from dias_jax.runs.trained_model import open_by_name

log = logging.getLogger(__name__)


def start_from(name_or_workdir, params):
    """`params` with those of a trained model in their place, wherever names are the same.

    name_or_workdir: a run's directory or a checkpoint that ships; params: a nested dict of arrays
    at step 0. A video model takes all of an image model but its transition. Raises UserError where
    there is no such model, a shape differs or no name is the same.
    """
    trained = flatten_dict(open_by_name(name_or_workdir).variables["params"], sep="/")
    start = flatten_dict(params, sep="/")
    shared = start.keys() & trained.keys()
    if not shared:
        raise UserError(f"config.start_from={name_or_workdir}: no parameter of it has a name here")
    for name in sorted(shared):
        shapes = np.shape(trained[name]), np.shape(start[name])
        if shapes[0] != shapes[1]:
            raise UserError(
                f"config.start_from={name_or_workdir}: {name} has the shape {shapes[0]}, here "
                f"{shapes[1]}: set the sizes of config.model to those of that model"
            )
    log.info("starts from %s: %d of %d parameters", name_or_workdir, len(shared), len(start))
    merged = start | {name: trained[name] for name in shared}
    return unflatten_dict(merged, sep="/")
