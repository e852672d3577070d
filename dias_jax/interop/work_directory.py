"""From a checkpoint of the PyTorch reference to a work directory, and back."""

import dataclasses
import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict

from dias_jax.config.defaults import flatten, get_config, released
from dias_jax.errors import UserError
from dias_jax.files import appearing_folder
from dias_jax.interop.torch_dias import load_torch_dias, save_torch_dias
from dias_jax.models.backbone import VisionTransformer, resample_positions
from dias_jax.models.build import DINOV2, INITIALIZERS, VIT_SIZES, build
from dias_jax.models.inputs import initialize
from dias_jax.pretrained.backbone import load_backbone
from dias_jax.pretrained.dinov2 import backbone_to_torch
from dias_jax.pretrained.tensors import check_shapes, shapes_of, write_tensors
from dias_jax.runs.checkpoints import Checkpoints
from dias_jax.runs.config_file import load_config, save_config
from dias_jax.runs.state import TrainState
from dias_jax.runs.trained_model import open_run
from dias_jax.training.optimizer import build_optimizer

BACKBONE_FILE = "backbone.safetensors"
BACKBONE_HEADS = {width: heads for width, depth, heads in VIT_SIZES.values()}
DECODER_HEADS = {384: 4, 768: 6}  # of the reference's configs
# What the reference computes in one way only, or reads from its own config.
REFERENCE_KEYS = (
    "dtype",
    "num_iterations",
    "token_stride",
    "bilevel",
    "backbone.input_scale",
    "reinit.threshold",
    "reinit.num_iterations",
    "decoder.uniform_probability",
    "decoder.fixed_visible",
    "decoder.order",
    "decoder.evaluation_sees_tokens",
)


@dataclasses.dataclass(frozen=True)
class Untold:
    """What a checkpoint of the reference does not tell; None: the published number."""

    num_slots: int | None = None
    backbone_heads: int | None = None
    decoder_heads: int | None = None
    step: int = 0  # optimiser steps it was trained for; training continues from there


def import_checkpoint(source, workdir, config, untold):
    """Write the checkpoint `source` of the reference as a work directory.

    `config` says everything but the sizes, which are set in it. The backbone's weights become a
    file in the directory. Raises UserError when `source` is not in the released layout, what is
    untold is needed, or `workdir` is not empty. What is interrupted leaves no `workdir`.
    """
    refuse_existing(workdir)
    # Heads change no shape: they are chosen when the widths are known.
    model, variables = load_torch_dias(source, untold.num_slots or config.model.num_slots, 1, 1)
    with appearing_folder(workdir) as folder:
        config.model.backbone.weights = str(folder / BACKBONE_FILE)
        set_sizes(config, model, untold, source)
        check_expressible(config, variables, source)
        params = backbone_to_torch(variables["backbone"]["params"], model.backbone.patch_size)
        write_tensors(folder / BACKBONE_FILE, params)
        backbone, identity = load_backbone(config, variables["backbone"]["params"])
        state = start_state(config, variables["params"], backbone, untold.step)
        checkpoints = Checkpoints(folder, identity)
        checkpoints.save(state)
        checkpoints.close()
        save_config(config, folder)


def refuse_existing(path):
    """Raise UserError where something is that would be lost; an empty directory is nothing."""
    path = pathlib.Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} exists: name another place, or move it away")


def set_sizes(config, model, untold, source):
    """Set in `config` the sizes of `model` and what is untold."""
    sizes, backbone, decoder = config.model, model.backbone, model.decoder
    names = {kind: name for name, kind in INITIALIZERS.items()}
    sizes.initializer = names[type(model.initializer)]
    sizes.num_slots, sizes.slot_width = model.initializer.num_slots, model.aggregator.slot_width
    if untold.num_slots not in (None, sizes.num_slots):
        raise UserError(f"--num_slots={untold.num_slots}: {source} has {sizes.num_slots} Gaussians")
    heads = choose_heads(untold.backbone_heads, backbone.width, BACKBONE_HEADS, "backbone_heads")
    found = (backbone.width, backbone.depth, heads, backbone.num_registers, backbone.patch_size)
    published = {numbers: name for name, numbers in DINOV2.items()}
    sizes.backbone.name = published.get(found, "vision_transformer")
    keys = ("width", "depth", "heads", "num_registers", "patch_size")
    sizes.backbone.update(dict(zip(keys, found)))
    sizes.backbone.position_grid = backbone.position_grid
    sizes.decoder.num_tokens, sizes.decoder.num_layers = decoder.num_tokens, decoder.num_layers
    sizes.decoder.heads = choose_heads(
        untold.decoder_heads, backbone.width, DECODER_HEADS, "decoder_heads"
    )
    grid = math.isqrt(decoder.num_tokens)
    # The smallest image that gives so many patches, rounding of the quotient aside.
    pixels = grid * backbone.patch_size / sizes.backbone.input_scale
    config.data.image_size = math.ceil(pixels - 1e-6)


def choose_heads(given, width, published, flag):
    """Given heads, or those published with this width."""
    if given is None and width not in published:
        raise UserError(f"--{flag} is missing: nothing is published for the width {width}")
    return published[width] if given is None else given


def check_expressible(config, variables, source):
    """Raise UserError where the model that `config` builds has not the shapes of `variables`."""
    start = functools.partial(initialize, build(config.model), image_size=config.data.image_size)
    expected = flatten_dict(jax.eval_shape(start, jax.random.key(0)), sep="/")
    check_shapes(shapes_of(flatten_dict(variables, sep="/")), shapes_of(expected), source)


def start_state(config, params, backbone, step):
    """A TrainState with these parameters and fresh moments; the schedule stands at `step`."""
    optimizer_state = optax.tree.set(
        build_optimizer(config).init(params),
        lambda path, value: getattr(path[-1], "tuple_name", "") == "ScaleByScheduleState",
        count=jnp.int32(step),
    )
    return TrainState(jnp.int32(step), params, optimizer_state, {"params": backbone})


def export_checkpoint(workdir, path, which="best"):
    """Write a checkpoint of a work directory for the reference: -> list of notes on it.

    A backbone that came out of a checkpoint goes back as it was. Raises UserError when `path`
    exists, the run's backbone is unknown there, or as `open_run`.
    """
    refuse_existing(path)
    config = load_config(workdir)
    model, variables, *rest = open_run(workdir, config, which)
    was_imported = config.model.backbone.weights == str(pathlib.Path(workdir) / BACKBONE_FILE)
    if isinstance(model.backbone, VisionTransformer) and not was_imported:
        model, variables = fit_positions(model, variables)
    save_torch_dias(model, variables, path)
    return notes(config)


def fit_positions(model, variables):
    """The same with positions resampled to the token grid: the reference does not resample."""
    grid, params = math.isqrt(model.decoder.num_tokens), variables["backbone"]["params"]
    positions = resample_positions(params["positions"], (grid, grid))
    backbone = model.backbone.clone(position_grid=grid)
    variables = variables | {"backbone": {"params": params | {"positions": positions}}}
    return model.clone(backbone=backbone), variables


def notes(config):
    """What the reference must be told, and what it computes otherwise."""
    heads = config.model.backbone.heads
    if config.model.backbone.name in DINOV2:
        heads = DINOV2[config.model.backbone.name][2]
    lines = [
        f"the file does not hold --num_slots={config.model.num_slots} --backbone_heads={heads} "
        f"--decoder_heads={config.model.decoder.heads}"
    ]
    ours = flatten(config.model)
    theirs = flatten(released(get_config()).model)
    lines += [
        f"the run has model.{key}={ours[key]}, the reference computes with {theirs[key]}"
        for key in REFERENCE_KEYS
        if ours[key] != theirs[key]
    ]
    return lines
