"""The reference's training step and evaluation pass, to be timed."""

import torch
import torch.nn.functional as F

from dias_jax.compare.reference.optimizer import DEVICE, Optimizer, allow_tf32
from dias_jax.compare.reference.passes import objective, to_torch_images
from dias_jax.devices import cpu_threads

DISTILLATION_WEIGHT = 0.5


def prepare(name, case, wrapper, dtype):
    """-> a function that runs the pass of that name `count` times and waits."""
    torch.set_num_threads(cpu_threads())  # as many as XLA takes
    allow_tf32(True)
    optimizer = Optimizer(wrapper, case.learning_rate, dtype)
    return PASSES[name](wrapper, to_torch_images(case.images), optimizer)


def prepare_training(wrapper, images, optimizer):
    """Forward, losses, backward, clipping and Adam, as the reference trains."""

    def run(count):
        wrapper.train()
        for _ in range(count):
            with optimizer.autocast:
                loss = objective(wrapper.m(images), DISTILLATION_WEIGHT)["loss"]
            optimizer.backward(loss)
            optimizer.step()
        wait()

    return run


def prepare_evaluation(wrapper, images, optimizer):
    """Forward and segmentation."""

    @torch.inference_mode()
    def run(count):
        wrapper.eval()
        for _ in range(count):
            with optimizer.autocast:
                attention = wrapper.m(images)[-1]
            F.interpolate(attention, images.shape[2:], mode="bilinear").argmax(1)
        wait()

    return run


def wait():
    """Until the GPU has finished; on a CPU everything already has."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


PASSES = {"training": prepare_training, "evaluation": prepare_evaluation}
