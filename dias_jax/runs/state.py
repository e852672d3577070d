"""Everything a training run carries from step to step."""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp

from dias_jax.downstream.slot_cache import fingerprint
from dias_jax.feature_cache import check_weights
from dias_jax.models.inputs import initialize
from dias_jax.pretrained.backbone import load_backbone


@flax.struct.dataclass
class TrainState:
    """Step counter, trained parameters, optimiser state and the frozen backbone."""

    step: jax.Array  # scalar int32, number of finished optimiser steps
    params: Any
    optimizer_state: Any
    backbone: Any  # the frozen backbone's collection: never updated, never checkpointed

    @property
    def variables(self):
        """What `model.apply` takes."""
        return {"params": self.params, "backbone": self.backbone}


def start_variables(config, model):
    """Variables at step 0, {"params", "backbone"}, and the identity of the backbone's weights.

    A probe's is that of the slots that it is trained on.

    Raises UserError, before anything is compiled, when sizes do not fit or the backbone's weight
    file is missing or does not fit.
    """
    start = functools.partial(initialize, model, image_size=config.data.image_size)
    key = jax.random.key(config.seed)
    nothing = {"backbone": {"params": {}}}  # a probe has no backbone of its own
    shapes = nothing | jax.eval_shape(start, key)
    backbone, identity = load_backbone(config, shapes["backbone"]["params"])
    if config.task != "discovery":
        split = "readout" if config.task == "reasoning" else "train"
        identity = f"slots:{fingerprint(config.probe.slots, split)}"
    variables = nothing | jax.jit(start)(key)
    if backbone is None:
        backbone = variables["backbone"]["params"]
    return variables | {"backbone": {"params": jax.tree.map(jnp.asarray, backbone)}}, identity


def create_state(config, model, optimizer):
    """The state at step 0: -> (TrainState, identity of the backbone's weights).

    Raises UserError as `start_variables` does, and where it is to learn from features in files that
    are of other weights.
    """
    variables, identity = start_variables(config, model)
    check_weights(config, identity)
    state = TrainState(
        step=jnp.int32(0),
        optimizer_state=optimizer.init(variables["params"]),
        **variables,
    )
    return state, identity
