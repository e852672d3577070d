"""The head that reads a thing's class and box off its slot."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.layers import Linear, Mlp, dropouts


class Probe(nn.Module):
    """Class and box of each slot, released code: Linear, exact GELU, dropout, Linear; no norm.

    slots (B, S, D) float32 -> logits (B, S, K) of K classes, boxes (B, S, 4), as they come: left,
    top, right and bottom edge in sides of the view. In training the random stream "dropout" is
    read, folded with `sample_index` (B,) int. The "linear" head is a single affine map. With
    `knows_nothing` there is one more class, the last: that the slot has found no thing.
    """

    slot_width: int  # D
    num_classes: int  # K, without the class of no thing
    knows_nothing: bool = False
    head: str = "mlp"  # or "linear"
    dropout: float = 0.1  # of the hidden layer, in training

    @nn.compact
    def __call__(self, slots, train=False, sample_index=None):
        width = self.num_classes + self.knows_nothing + 4
        if self.head == "linear":
            output = Linear(width, name="linear")(slots)
        else:
            mlp = Mlp(2 * self.slot_width, width, name="mlp")
            output = mlp(slots, self.make_drop(sample_index) if train else lambda x: x)
        return output[..., :-4], output[..., -4:]

    def make_drop(self, sample_index):
        """What drops values of the hidden layer, each sample (B,) by its own key."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), sample_index)
        return dropouts(keys, self.dropout, 1)[0]

    def smallest_inputs(self, height, width):
        """A batch of one slot, {name of an argument: zeros}, whatever the image's size."""
        return {"slots": jnp.zeros((1, 1, self.slot_width)), "sample_index": jnp.zeros(1, int)}
