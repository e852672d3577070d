"""Steps of training and evaluation, and the shapes of their arguments: no array is made."""

import functools

import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.losses import dias_objective
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.runs.state import TrainState
from dias_jax.steps.evaluation import eval_step
from dias_jax.steps.training import train_step
from dias_jax.tasks.discovery import discovery_loss, objective_options
from dias_jax.tasks.video import VideoDiscovery
from dias_jax.training.optimizer import build_optimizer

NUM_MASKS = 64  # of the truth in evaluation, about as many as in COCO


def loss_of(config, model):
    """The loss of an image config without its data, or of a drawn video config."""
    if config.model.kind == "video":
        return VideoDiscovery(config).loss_fn
    objective = functools.partial(dias_objective, **objective_options(config))
    return functools.partial(discovery_loss, model=model, objective=objective)


def shapes_of(config, model, optimizer):
    """The shapes of a training step's arguments, (TrainState, batch, key); no array is made."""

    def arguments():
        key = jax.random.key(config.seed)
        variables = initialize(model, key, image_size=config.data.image_size)
        state = TrainState(
            step=jnp.int32(0), optimizer_state=optimizer.init(variables["params"]), **variables
        )
        side, size = config.data.image_size, config.batch_size
        frames = (config.data.clip_frames,) if config.model.kind == "video" else ()
        batch = {
            "image": jnp.zeros((size, *frames, side, side, 3), jnp.uint8),
            "index": jnp.zeros(size, jnp.int32),
            "replaced": jnp.zeros(size, bool),
        }
        return state, batch, key

    return jax.eval_shape(arguments)


def training_of(config, parts=1):
    """`train_step` of a config, and the shapes of its arguments.

    parts: those in which a device takes its share.
    """
    model, optimizer = build(config.model), build_optimizer(config)
    step = functools.partial(
        train_step,
        loss_fn=loss_of(config, model),
        optimizer=optimizer,
        accumulation=parts,
    )
    return step, shapes_of(config, model, optimizer)


def evaluation_of(config, parts=None):
    """`eval_step` of an image config, and the shapes of its arguments.

    parts: those in which a device takes its share; None: as suits the device here.
    """
    if config.model.kind == "video":
        raise UserError("--step=evaluation: of image models only")
    model = build(config.model)
    state, batch, key = shapes_of(config, model, build_optimizer(config))
    batch["mask"] = jax.ShapeDtypeStruct(batch["image"].shape[:-1], jnp.uint8)
    batch["valid"] = batch.pop("replaced")
    step = functools.partial(eval_step, model=model, num_masks=NUM_MASKS, parts=parts)
    return step, (state.variables, batch, key)


def count_operations(step, shapes):
    """Floating point operations of one step, before XLA rearranges it.

    As for a platform that has no forms of its own: a CPU's attention is a loop, counted once.
    """
    lowered = jax.jit(step).trace(*shapes).lower(lowering_platforms=("rocm",))
    return lowered.cost_analysis()["flops"]
