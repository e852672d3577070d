"""From the `model` section of a config to the module."""

import dataclasses

import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.aggregator import SlotAttention
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.dias import DIAS, Reinit
from dias_jax.models.initializer import BoxInitializer, SeparateGaussian, SharedGaussian
from dias_jax.models.patch_colours import PatchColours
from dias_jax.models.projector import Projector
from dias_jax.models.transition import EncoderTransition, IdentityTransition, RandomPastTransition
from dias_jax.models.video import VideoDIAS

# Published DINOv2 sizes: width, depth, heads.
VIT_SIZES = {"vits14": (384, 12, 6), "vitb14": (768, 12, 12), "vitl14": (1024, 24, 16)}
REGISTERS = {"": 0, "_reg4": 4}
# And the sizes by name, with registers and patch.
DINOV2 = {
    f"dinov2_{size}{registers}": (*VIT_SIZES[size], REGISTERS[registers], 14)
    for size in VIT_SIZES
    for registers in REGISTERS
}
OTHER_BACKBONES = ("vision_transformer", "patch_colours")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
INITIALIZERS = {"shared": SharedGaussian, "separate": SeparateGaussian}


def choose(options, value, key):
    """options[value], or a UserError that names the config key and what it may be."""
    if value not in options:
        allowed = ", ".join(f'"{name}"' for name in options)
        raise UserError(f'config.{key}="{value}" is unknown: use one of {allowed}')
    return options[value]


def backbone_sizes(config):
    """VisionTransformer sizes of config.model.backbone: width, depth, heads, registers, patch.

    Raises UserError on an unknown name.
    """
    if config.name == "vision_transformer":
        return config.width, config.depth, config.heads, config.num_registers, config.patch_size
    options = DINOV2 | dict.fromkeys(OTHER_BACKBONES)
    return choose(options, config.name, "model.backbone.name")


def build_backbone(config):
    """The frozen backbone of config.model.backbone."""
    dtype = choose(DTYPES, config.dtype, "model.dtype")
    if config.backbone.name == "patch_colours":
        sizes = config.backbone.width, config.backbone.patch_size
        return PatchColours(*sizes, connected=config.backbone.connected)
    width, depth, heads, num_registers, patch_size = backbone_sizes(config.backbone)
    if heads < 1 or width % heads:
        raise UserError(f"config.model.backbone.heads={heads} does not divide the width {width}")
    grid = config.backbone.position_grid
    return VisionTransformer(width, depth, heads, num_registers, patch_size, grid, dtype)


def build(config):
    """DIAS or VideoDIAS from the `model` section of a config (`dias_jax.config.defaults`).

    Raises UserError on an unknown name and on what does not go together.
    """
    kinds = {"image": build_image, "video": build_video}
    return choose(kinds, config.kind, "model.kind")(config)


def build_image(config):
    """DIAS from the `model` section, whatever its kind."""
    dtype = choose(DTYPES, config.dtype, "model.dtype")
    initializer = choose(INITIALIZERS, config.initializer, "model.initializer")
    width, backbone = config.slot_width, build_backbone(config)
    if config.decoder.heads < 1 or backbone.width % config.decoder.heads:
        raise UserError(
            f"config.model.decoder.heads={config.decoder.heads} does not divide the feature "
            f"width {backbone.width}"
        )
    return DIAS(
        backbone=backbone,
        projector=Projector(dtype=dtype),
        initializer=initializer(config.num_slots, width),
        aggregator=SlotAttention(
            width, 4 * width, config.num_iterations, config.bilevel, dtype=dtype
        ),
        decoder=RandomOrderDecoder(
            config.decoder.num_tokens, config.decoder.num_layers, config.decoder.heads, dtype
        ),
        reinit=Reinit(
            config.reinit.threshold,
            config.reinit.min_clusters,
            config.reinit.num_iterations,
            config.reinit.per_sample,
        ),
        input_scale=config.backbone.input_scale,
        uniform_probability=config.decoder.uniform_probability,
        fixed_visible=config.decoder.fixed_visible,
        raster_order=config.decoder.order == "raster",
        evaluation_sees_tokens=config.decoder.evaluation_sees_tokens,
        token_stride=config.token_stride,
    )


def build_transition(config):
    """The transition between frames of the `model` section."""
    video, dtype = config.video, choose(DTYPES, config.dtype, "model.dtype")
    if video.transition == "identity":
        return IdentityTransition()
    if config.slot_width % video.transition_heads:
        raise UserError(
            f"config.model.video.transition_heads={video.transition_heads} does not divide the "
            f"slot width {config.slot_width}"
        )
    sizes = {"dropout": video.dropout, "dtype": dtype}
    if video.transition == "encoder":
        return EncoderTransition(video.transition_heads, **sizes)
    return RandomPastTransition(video.transition_heads, video.time_window, **sizes)


def build_video(config):
    """VideoDIAS from the `model` section, an image's parts and `model.video`."""
    image, video = build_image(config), config.video
    names = {field.name for field in dataclasses.fields(DIAS)} - {"name", "parent"}
    parts = {name: getattr(image, name) for name in names}
    if video.boxes:
        parts["initializer"] = BoxInitializer(config.num_slots, config.slot_width)
    if video.boxes and video.reduce_at == "every":
        raise UserError(
            'config.model.video.reduce_at="every" starts slots afresh, which boxes cannot: use '
            '"first" or "clip", or config.model.video.boxes=False'
        )
    if video.predicts_similarity and config.token_stride > 1:
        raise UserError(
            f"config.model.token_stride={config.token_stride}: the similarity over time is one of "
            "all tokens: set it to 1, or config.model.video.predicts_similarity=False"
        )
    return VideoDIAS(
        **parts,
        transition=build_transition(config),
        later_iterations=video.later_iterations,
        reduce_at=video.reduce_at,
        predicts_similarity=video.predicts_similarity,
    )
