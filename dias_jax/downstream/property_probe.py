"""The head that reads all properties of a thing off its slot."""

import itertools

import flax.linen as nn
import jax.numpy as jnp

from dias_jax.models.layers import Linear

HIDDEN = 256  # units of a hidden layer


class PropertyProbe(nn.Module):
    """All properties of each slot: hidden layers with LeakyReLU, then an affine map.

    slots (..., D) float32 -> {name: (..., n)}: logits of a categorical property's kinds, or the
    coordinates of a numeric one. "linear", "MLP1", .. of Dittadi et al. 2022, who standardise what
    is numeric: so do the last layer's outputs and the loss here, but not what is given back.
    """

    slot_width: int  # D
    kinds: tuple  # (name, number of kinds) of each categorical property
    numbers: tuple  # (name, number of coordinates) of each numeric one
    mean: tuple  # of all coordinates beside one another, of the things it is trained on
    deviation: tuple  # standard, likewise
    num_hidden: int = 1  # layers; 0: a linear probe

    @nn.compact
    def __call__(self, slots, train=False):  # it does the same in training
        for layer in range(self.num_hidden):
            slots = nn.leaky_relu(Linear(HIDDEN, name=f"hidden_{layer}")(slots))
        num_logits = sum(count for _, count in self.kinds)
        output = Linear(num_logits + len(self.mean), name="output")(slots)
        scale = jnp.array((1.0,) * num_logits + self.deviation)
        output = output * scale + jnp.array((0.0,) * num_logits + self.mean)
        return split_by_name(output, (*self.kinds, *self.numbers))

    def smallest_inputs(self, height, width):
        """A batch of one slot, {name of an argument: zeros}, whatever the image's size."""
        return {"slots": jnp.zeros((1, 1, self.slot_width))}


def split_by_name(values, counts):
    """Values (..., Q) of properties beside one another: -> {name: (..., n)}; counts: (name, n)."""
    stops = itertools.accumulate(count for _, count in counts)
    return {name: values[..., stop - count : stop] for (name, count), stop in zip(counts, stops)}
