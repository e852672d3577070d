"""Where slots start: Gaussians with learnt mean and deviation."""

import flax.linen as nn
import jax.numpy as jnp

from dias_jax.models.layers import Linear, uniform_init


class SharedGaussian(nn.Module):
    """One Gaussian for all slots, sampled in training and in evaluation. Released code.

    noise (B, S, D) standard normal -> initial slots (B, S, D) float32, for any number of slots.
    """

    num_slots: int  # S
    slot_width: int  # D

    @nn.compact
    def __call__(self, noise, train):
        # Xavier-uniform on a (1, 1, D) tensor: both fans are D.
        init = uniform_init((3 / self.slot_width) ** 0.5)
        mean = self.param("mean", init, (self.slot_width,))
        log_deviation = self.param("log_deviation", init, (self.slot_width,))
        return mean + noise * jnp.exp(log_deviation)


class SeparateGaussian(nn.Module):
    """One Gaussian per slot, noise in training only. Released code.

    noise (B, S, D) standard normal -> initial slots (B, S, D) float32.
    """

    num_slots: int  # S
    slot_width: int  # D

    @nn.compact
    def __call__(self, noise, train):
        shape = (self.num_slots, self.slot_width)
        mean = self.param("mean", nn.initializers.xavier_uniform(), shape)
        start = nn.initializers.constant(jnp.log(self.slot_width**-0.5))
        log_deviation = self.param("log_deviation", start, shape)
        if not train:
            return jnp.broadcast_to(mean, noise.shape)
        return mean + noise * jnp.exp(log_deviation)


class BoxInitializer(nn.Module):
    """A slot for every box of the first frame of a video: Linear, GELU, Linear. Released code.

    boxes (B, S, 4) -> initial slots (B, S, D) float32, for any number of boxes.
    """

    num_slots: int  # S
    slot_width: int  # D

    @nn.compact
    def __call__(self, boxes, train):
        def linear(name, x):  # unlike other layers these start with PyTorch's biases
            init = uniform_init(x.shape[-1] ** -0.5)
            return Linear(self.slot_width, bias_init=init, name=name)(x)

        return linear("output", nn.gelu(linear("hidden", boxes), approximate=False))
