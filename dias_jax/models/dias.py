"""DIAS: frozen backbone, projector, initializer, aggregator and decoder in one module."""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.decoder import sample_num_visible, sample_token_order
from dias_jax.models.resize import bicubic_resize


@flax.struct.dataclass
class DIASOutput:
    """What one forward pass gives; everything is float32 except the mask."""

    features: jax.Array  # (B, h, w, C), of the frozen backbone
    slots: jax.Array  # (B, S, D)
    slot_mask: jax.Array  # (B, S) bool, False = slot not in use
    attention: jax.Array  # (T, B, S, h, w), of every iteration of the first aggregation
    final_attention: jax.Array  # (B, S, h, w), last iteration of the last aggregation
    reconstruction: jax.Array  # (B, h, w, C)
    decoder_attention: jax.Array  # (B, S, h, w), last cross-attention, mean over heads


class DIAS(nn.Module):
    """Slot attention with self-distillation and random auto-regressive decoding.

    images (B, H, W, 3) float32, ImageNet-normalised -> DIASOutput (paper, Fig. 2; released code).

    Trained parameters are in the collection "params"; those of the frozen backbone are apart, in
    the collection "backbone", and get no gradient and no optimiser state. What is sampled may be
    handed in instead: initial_slots (B, S, D), token_order (B, N) int, num_visible (B,) int.
    Random streams: "slots" and "decoder", one key a sample, folded with `sample_index` (B,) int
    (default 0 ... B - 1), so that a sample's random numbers do not depend on the batch or device
    it lands on.
    """

    backbone: nn.Module
    projector: nn.Module
    initializer: nn.Module
    aggregator: nn.Module
    decoder: nn.Module
    input_scale: float = 0.875  # bicubic resize before the backbone: 256 -> 224 pixels
    uniform_probability: float = 0.5  # chance that the number of visible tokens is uniform
    fixed_visible: int = 24  # number of visible tokens otherwise
    evaluation_sees_tokens: bool = True  # in evaluation all tokens are visible; False: none is

    @nn.compact
    def __call__(
        self,
        images,
        train=False,
        initial_slots=None,
        token_order=None,
        num_visible=None,
        sample_index=None,
    ):
        if sample_index is None:
            sample_index = jnp.arange(images.shape[0])
        features = self.extract_features(images)  # (B, h, w, C)
        batch, h, w, width = features.shape
        if h * w != self.decoder.num_tokens:
            raise UserError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels give {h * w} tokens: set "
                f"model.decoder.num_tokens={h * w} (now {self.decoder.num_tokens})"
            )
        tokens = features.reshape(batch, h * w, width)
        if initial_slots is None:
            keys = self.sample_keys("slots", sample_index)
            initial_slots = self.initializer(keys, train)
        slots, attention = self.aggregator(self.projector(tokens), initial_slots)
        slot_mask = jnp.ones(slots.shape[:2], bool)
        token_order, num_visible = self.choose_visible(
            sample_index, h * w, train, token_order, num_visible
        )
        reconstruction, decoder_attention = self.decoder(
            tokens, slots, None, token_order, num_visible
        )
        attention = attention.reshape(*attention.shape[:-1], h, w)
        return DIASOutput(
            features=features.astype(jnp.float32),
            slots=slots,
            slot_mask=slot_mask,
            attention=attention,
            final_attention=attention[-1],
            reconstruction=reconstruction.reshape(features.shape).astype(jnp.float32),
            decoder_attention=decoder_attention.reshape(batch, -1, h, w),
        )

    def extract_features(self, images):
        """Frozen features (B, h, w, C) of images (B, H, W, 3)."""
        backbone = self.backbone.clone(parent=None)  # its parameters stay out of "params"
        images = bicubic_resize(images, self.input_scale)
        params = self.variable(
            "backbone",
            "params",
            lambda: backbone.init(self.make_rng("params"), images).get("params", {}),
        )
        return jax.lax.stop_gradient(backbone.apply({"params": params.value}, images))

    def sample_keys(self, stream, sample_index):
        """One key a sample (B,) of a random stream."""
        return jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng(stream), sample_index)

    def choose_visible(self, sample_index, num_tokens, train, token_order, num_visible):
        """Complete token_order (B, N) and num_visible (B,); both None: everything is visible."""
        batch = sample_index.shape[0]
        if not train and token_order is None and num_visible is None:
            if self.evaluation_sees_tokens:
                return None, None
            return jnp.tile(jnp.arange(num_tokens), (batch, 1)), jnp.zeros(batch, int)
        if token_order is None:
            keys = self.sample_keys("decoder", sample_index)
            token_order = sample_token_order(keys, num_tokens)
        if num_visible is None:
            keys = self.sample_keys("decoder", sample_index)
            num_visible = sample_num_visible(
                keys, num_tokens, self.uniform_probability, self.fixed_visible
            )
        return token_order, num_visible
