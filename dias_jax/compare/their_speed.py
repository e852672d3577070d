"""The reference's training step and evaluation pass, to be timed."""

import os

import torch
import torch.nn.functional as F

from dias_jax.compare.theirs import DEVICE, losses, to_torch_images

# The reference trains in mixed precision: float16 on a GPU.
HALF = {"cuda": torch.float16, "cpu": torch.bfloat16}
DISTILLATION_WEIGHT = 0.5


def prepare(case, wrapper, dtype):
    """{pass: function that runs it `count` times and waits}; "bfloat16" means autocast."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many as XLA takes
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, which is JAX's default, too
    autocast = torch.autocast(DEVICE.type, HALF[DEVICE.type], enabled=dtype == "bfloat16")
    images = to_torch_images(case.images)
    return {
        "training": training(wrapper, images, autocast, case.learning_rate),
        "evaluation": evaluation(wrapper, images, autocast),
    }


def training(wrapper, images, autocast, learning_rate):
    """Forward, losses, backward, clipping and Adam, as the reference trains."""
    trained = [parameter for parameter in wrapper.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=learning_rate)
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=autocast.fast_dtype == torch.float16)

    def run(count):
        wrapper.train()
        for _ in range(count):
            with autocast:
                loss = losses(wrapper.m(images), DISTILLATION_WEIGHT)["loss"]
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            scaler.step(optimizer)
            scaler.update()
        wait()

    return run


def evaluation(wrapper, images, autocast):
    """Forward and segmentation."""

    @torch.inference_mode()
    def run(count):
        wrapper.eval()
        for _ in range(count):
            with autocast:
                attention = wrapper.m(images)[-1]
            F.interpolate(attention, images.shape[2:], mode="bilinear").argmax(1)
        wait()

    return run


def wait():
    """Until the GPU has finished; on a CPU everything already has."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak_bytes(run):
    """Peak of allocated GPU memory over one run; None on a CPU, where PyTorch does not count."""
    if DEVICE.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    run(1)
    return torch.cuda.max_memory_allocated()
