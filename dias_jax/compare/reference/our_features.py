"""Our backbone as a module of PyTorch, for backbones that the reference does not have."""

import jax
import numpy as np
import torch


class OurFeatures(torch.nn.Module):
    """Frozen features without parameters: (B, 3, H, W) -> (B, C, h, w), computed by JAX."""

    def __init__(self, backbone):
        super().__init__()
        self.compute = jax.jit(lambda images: backbone.apply({}, images))

    def forward(self, images):
        features = self.compute(images.permute(0, 2, 3, 1).cpu().numpy())
        return torch.tensor(np.asarray(features), device=images.device).permute(0, 3, 1, 2)
