"""Weights in and out: PyTorch checkpoints of DIAS and of DINOv2."""

from dias_jax.interop.torch_dias import load_torch_dias, save_torch_dias
from dias_jax.pretrained.dinov2 import load_dinov2

__all__ = ["load_dinov2", "load_torch_dias", "save_torch_dias"]
