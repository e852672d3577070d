"""SlotFormer: the slots of the next frame from those of the last ones, chained into a future.

Wu et al. 2023, as released: PyTorch's Transformer encoder (ReLU, biases, dropout of attention
weights, hidden layers and branches) over all slots of a window of frames, without causal mask and
without final norm. Only time is marked, so that the slots' order does not matter.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.downstream.standardise import Units
from dias_jax.errors import UserError
from dias_jax.models.attention import apply_attention, attention_weights, split_heads
from dias_jax.models.layers import LayerNorm, Linear, dropouts, xavier_init


class SlotFormer(nn.Module):
    """Rolls slots out: each prediction becomes input of the next, in training, too.

    slots (B, F, S, D) float32, of which the last `window` frames are seen; where there are fewer
    (PHYRE starts from one), the window grows with the predictions. slot_mask (B, F, S) bool or
    None: which slots are in use, at least one a frame; others are attended by none. A predicted
    frame has the mask of the last one. -> (B, num_steps, S, D) float32. In training the random
    stream "dropout" is read, folded with `sample_index` (B,) int.
    """

    slot_width: int  # D
    window: int = 6  # frames
    width: int = 128
    layers: int = 4
    heads: int = 8
    mlp_width: int = 512
    dropout: float = 0.1  # in training
    pre_norm: bool = True
    num_embedded: int = 0  # slots with a learnt embedding each; 0: none, slots are exchangeable
    residual: bool = False  # a change of the last slots is predicted, at first none; else new ones
    units: Units = Units()  # in which the Transformer has its slots

    def setup(self):
        self.input = Linear(self.width)
        if self.num_embedded:
            shape = self.num_embedded, self.width
            self.slot_embedding = self.param("slot_embedding", nn.initializers.zeros, shape)
        fields = {"heads": self.heads, "mlp_width": self.mlp_width, "pre_norm": self.pre_norm}
        self.encoder = [EncoderLayer(**fields) for _ in range(self.layers)]
        start = {"kernel_init": nn.initializers.zeros} if self.residual else {}
        self.output = Linear(self.slot_width, **start)

    def __call__(self, slots, num_steps, slot_mask=None, train=False, sample_index=None):
        if slot_mask is None:
            slot_mask = jnp.ones(slots.shape[:3], bool)
        past = tuple(last_frames(x, self.window) for x in (slots, slot_mask))
        keys = self.step_keys(sample_index, num_steps) if train and self.dropout else None
        chain = nn.scan(
            SlotFormer.advance,
            variable_broadcast="params",
            split_rngs={"params": False},
            length=num_steps,
            out_axes=1,
        )
        return chain(self, past, keys)[1]

    def step_keys(self, sample_index, num_steps):
        """Keys of dropout: -> (num_steps, B)."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), sample_index)
        return jax.vmap(lambda key: jax.random.split(key, num_steps), out_axes=1)(keys)

    def advance(self, past, keys):
        """One frame on: past, slots and slot_mask of `window` frames -> past, slots (B, S, D)."""
        slots, slot_mask = past
        predicted = self.predict_next(slots, slot_mask, keys)
        slots = jnp.concatenate([slots[:, 1:], predicted[:, None]], axis=1)
        slot_mask = jnp.concatenate([slot_mask[:, 1:], slot_mask[:, -1:]], axis=1)
        return (slots, slot_mask), predicted

    def predict_next(self, slots, slot_mask, keys=None):
        """slots (B, F, S, D), slot_mask (B, F, S), keys (B,) or None -> (B, S, D)."""
        batch, frames, count, _ = slots.shape
        x = self.input(self.units.apply(slots)) + time_embedding(frames, self.width)[:, None]
        if self.num_embedded:
            x += self.slot_embedding
        x, slot_mask = x.reshape(batch, -1, self.width), slot_mask.reshape(batch, -1)
        drop = dropouts(keys, self.dropout, 4 * self.layers)
        for number, layer in enumerate(self.encoder):
            wanted = count if layer is self.encoder[-1] else x.shape[1]
            x = layer(x, slot_mask, drop[4 * number :][:4], wanted)
        if self.residual:
            return slots[:, -1] + self.units.scale(self.output(x))
        return self.units.undo(self.output(x))

    def smallest_inputs(self, height, width):
        """One frame of few slots, {name of an argument: value}, whatever the image's size."""
        return {
            "slots": jnp.zeros((1, 1, self.num_embedded or 1, self.slot_width)),
            "num_steps": 1,
            "sample_index": jnp.zeros(1, int),
        }


class EncoderLayer(nn.Module):
    """Transformer encoder layer: x (B, N, C), key_mask (B, N) bool -> (B, wanted, C).

    Of all tokens, or of the last ones that are wanted. `drop`, functions from array to array, are
    applied to the attention's weights and result, and to the MLP's hidden layer and result.
    """

    heads: int
    mlp_width: int
    pre_norm: bool = True

    @nn.compact
    def __call__(self, x, key_mask, drop, wanted):
        norm1, norm2 = LayerNorm(name="norm1"), LayerNorm(name="norm2")
        own = x[:, -wanted:]
        if self.pre_norm:
            own = own + self.attend(norm1(x), key_mask, drop[:2], wanted)
            return own + self.feed_forward(norm2(own), drop[2:])
        own = norm1(own + self.attend(x, key_mask, drop[:2], wanted))
        return norm2(own + self.feed_forward(own, drop[2:]))

    def attend(self, x, key_mask, drop, wanted):
        """The attention's branch."""
        width = x.shape[-1]
        x = Linear(3 * width, kernel_init=xavier_init, name="query_key_value")(x)
        query, key, value = (split_heads(part, self.heads) for part in jnp.split(x, 3, axis=-1))
        weights = drop[0](attention_weights(query[:, -wanted:], key, key_mask))
        return drop[1](Linear(width, name="attended")(apply_attention(weights, value)))

    def feed_forward(self, x, drop):
        """The MLP's branch."""
        hidden = nn.relu(Linear(self.mlp_width, name="hidden")(x))
        return drop[1](Linear(x.shape[-1], name="output")(drop[0](hidden)))


def last_frames(x, count):
    """The last `count` frames of x (B, F, ...), after zeros where there are fewer."""
    x = x[:, -count:]
    return jnp.pad(x, [(0, 0), (count - x.shape[1], 0)] + [(0, 0)] * (x.ndim - 2))


def time_embedding(frames, width):
    """Sines, then cosines, of a position that counts down to 0, the newest frame's: (F, width)."""
    frequency = 10_000.0 ** (-np.arange(0, width, 2) / width)
    phase = np.arange(frames)[::-1, None] * frequency
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)


def roll_out_interleaved(roll_out, slots, num_steps, offset, window):
    """A roll-out by a model that sees, and predicts, every `offset`-th frame only.

    The interleaved sequences of the last `window` * `offset` frames, or as many as there are, are
    rolled out beside each other. roll_out: slots (B, F, S, D), num_steps -> (B, num_steps, S, D);
    slots (B, F, S, D) -> (B, num_steps, S, D). Raises UserError with fewer frames than `offset`.
    Released code.
    """
    batch, frames, *shape = slots.shape
    length = min(window, frames // offset)
    if not length:
        raise UserError(f"{frames} observed frames are fewer than the frame offset, {offset}")
    sequences = slots[:, -length * offset :].reshape(batch, length, offset, *shape)
    sequences = sequences.swapaxes(1, 2).reshape(batch * offset, length, *shape)
    predicted = roll_out(sequences, -(-num_steps // offset))
    predicted = predicted.reshape(batch, offset, -1, *shape).swapaxes(1, 2)
    return predicted.reshape(batch, -1, *shape)[:, :num_steps]
