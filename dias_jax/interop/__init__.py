"""Weights in and out: PyTorch checkpoints of DIAS, of RandSF.Q and of DINOv2."""

from dias_jax.interop.torch_dias import load_torch_dias, save_torch_dias
from dias_jax.interop.torch_randsfq import load_torch_randsfq
from dias_jax.pretrained.dinov2 import load_dinov2

__all__ = ["load_dinov2", "load_torch_dias", "load_torch_randsfq", "save_torch_dias"]
