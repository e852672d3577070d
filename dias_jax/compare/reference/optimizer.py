"""How the reference optimises: mixed precision, loss scaling, clipping, Adam."""

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The reference trains in mixed precision: float16 on a GPU. PyTorch has bfloat16 for a CPU.
HALF = {"cuda": torch.float16, "cpu": torch.bfloat16}


class Optimizer:
    """Adam after clipping at norm 1; in float16 with a scaled loss, skipping steps that overflow.

    `dtype` "bfloat16" stands for the device's half precision under `autocast`.
    """

    def __init__(self, wrapper, learning_rate, dtype):
        half, is_half = HALF[DEVICE.type], dtype != "float32"
        self.trained = {name: p for name, p in wrapper.named_parameters() if p.requires_grad}
        self.autocast = torch.autocast(DEVICE.type, half, enabled=is_half)
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=is_half and half == torch.float16)
        self.adam = torch.optim.Adam(self.trained.values(), lr=learning_rate)

    def backward(self, loss):
        """Leave the gradients of the loss with the parameters."""
        self.adam.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.adam)

    def step(self):
        """Clip and step: -> norm of the gradients before."""
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.scaler.step(self.adam)
        self.scaler.update()
        return norm


def allow_tf32(allowed):
    """Whether a GPU may round float32 products to TF32, as JAX does by default."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
