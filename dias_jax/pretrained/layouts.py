"""How the published DINOv2 checkpoints name their tensors."""

import dataclasses

from dias_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a family of checkpoints names its tensors; the defaults are timm's names."""

    class_token: str = "cls_token"
    registers: str = "reg_token"
    positions: str = "pos_embed"
    patches: str = "patch_embed.proj"
    block: str = "blocks"
    attention: tuple = ("attn.qkv",)  # query, key and value: together, or one after another
    attention_output: str = "attn.proj"
    scale: str = "ls{}.gamma"
    # The final norm is never applied, the mask token served pre-training.
    unused: tuple = ("norm.weight", "norm.bias", "mask_token")


TIMM = Layout()
ORIGINAL = dataclasses.replace(TIMM, registers="register_tokens")
HUGGING_FACE = Layout(
    class_token="embeddings.cls_token",
    registers="embeddings.register_tokens",
    positions="embeddings.position_embeddings",
    patches="embeddings.patch_embeddings.projection",
    block="encoder.layer",
    attention=tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    attention_output="attention.output.dense",
    scale="layer_scale{}.lambda1",
    unused=("layernorm.weight", "layernorm.bias", "embeddings.mask_token"),
)


def choose_layout(names, source):
    """The Layout of these tensor names. Raises UserError where there is none."""
    if HUGGING_FACE.class_token in names:
        return HUGGING_FACE
    if TIMM.class_token in names:
        return ORIGINAL if ORIGINAL.registers in names else TIMM
    raise UserError(f"{source}: no tensor {TIMM.class_token}: not a DINOv2 checkpoint")
