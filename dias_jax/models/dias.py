"""DIAS: frozen backbone, projector, initializer, aggregator and decoder in one module."""

import dataclasses

import chex
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.draws import Draws, sample_noise, sample_num_visible, sample_token_order
from dias_jax.models.reduction import cluster_slots, mean_over_clusters, sum_over_clusters
from dias_jax.models.resize import bicubic_resize
from dias_jax.models.token_sampling import sample_places, take_tokens


@dataclasses.dataclass(frozen=True)
class Reinit:
    """Reduction of redundant slots and re-initialised aggregation (paper, idea i).

    Threshold 0 and no extra iteration: the released model.
    """

    threshold: float = 0.0  # slots of smaller 1 - cosine merge
    min_clusters: int = 3  # nothing merges where fewer would remain
    num_iterations: int = 0  # of the aggregation that starts again from the merged slots
    per_sample: bool = False  # draw for each sample whether it is reduced, not for each step


@flax.struct.dataclass
class Encoded:
    """Frozen features, and what slots attend to."""

    features: jax.Array  # (B, h, w, C), of the frozen backbone
    tokens: jax.Array  # (B, N, C), projected


@flax.struct.dataclass
class FirstAggregation:
    """What is computed before slots are reduced."""

    encoded: Encoded
    slots: jax.Array  # (B, S, D) float32
    attention: jax.Array  # (T, B, S, N) float32, of every iteration
    draws: Draws
    slot_mask: jax.Array | None = None  # (B, S) bool, slots that took part; None: all


@flax.struct.dataclass
class Aggregation:
    """Slots after the reduction and the re-initialised aggregation."""

    slots: jax.Array  # (B, S, D) float32
    slot_mask: jax.Array  # (B, S) bool
    attention: jax.Array  # (B, S, N) float32, of the last iteration
    cluster: jax.Array  # (B, S) int32, see DIASOutput


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
    first_slots: jax.Array  # (B, S, D), after the first aggregation
    cluster: jax.Array  # (B, S) int32, the slot in which each of `first_slots` lives on


class DIAS(nn.Module):
    """Slot attention with re-initialisation, self-distillation, random auto-regressive decoding.

    images (B, H, W, 3) float32, ImageNet-normalised -> DIASOutput (paper, Fig. 2; released code).
    In their place `features` (B, h, w, C) may be given, what the frozen backbone has made of them.

    Trained parameters are in the collection "params"; those of the frozen backbone are apart, in
    the collection "backbone", and get no gradient and no optimiser state. What is sampled may be
    handed in as `draws`, or by name: initial_slots (B, S, D), token_order (B, N) int, num_visible
    (B,) int. Random streams: "slots" and "decoder", one key a sample, folded with `sample_index`
    (B,) int (default 0 ... B - 1), so that a sample's random numbers do not depend on the batch or
    device it lands on; and "reinit", only where `reduce_probability` is given: the chance that
    slots are reduced, otherwise they always are.
    """

    backbone: nn.Module
    projector: nn.Module
    initializer: nn.Module
    aggregator: nn.Module
    decoder: nn.Module
    reinit: Reinit = Reinit()
    input_scale: float = 0.875  # bicubic resize before the backbone: 256 -> 224 pixels
    uniform_probability: float = 0.5  # chance that the number of visible tokens is uniform
    fixed_visible: int = 24  # number of visible tokens otherwise
    raster_order: bool = False  # tokens become visible row by row instead of in random order
    evaluation_sees_tokens: bool = True  # in evaluation all tokens are visible; False: none is
    token_stride: int = 1  # training takes one random token of every stride x stride cell

    def __call__(
        self,
        images=None,
        train=False,
        initial_slots=None,
        token_order=None,
        num_visible=None,
        draws=None,
        sample_index=None,
        reduce_probability=None,
        features=None,
    ):
        draws = Draws() if draws is None else draws
        if token_order is not None or num_visible is not None:
            draws = draws.replace(token_order=token_order, num_visible=num_visible)
        first = self.first_aggregation(
            images, train, initial_slots, draws, sample_index, reduce_probability, features
        )
        return self.finish(first)

    def smallest_inputs(self, height, width):
        """A batch of one image, {name of an argument: zeros}."""
        return {"images": jnp.zeros((1, height, width, 3))}

    def first_aggregation(
        self,
        images,
        train=False,
        initial_slots=None,
        draws=None,
        sample_index=None,
        reduce_probability=None,
        features=None,
    ):
        """Images, or their features, to slots that are not yet reduced: -> FirstAggregation."""
        if features is None:
            chex.assert_shape(images, (None, None, None, 3))
            features = self.extract_features(images)
        draws = self.draw(
            Draws() if draws is None else draws,
            features.shape,
            train,
            jnp.arange(len(features)) if sample_index is None else sample_index,
            reduce_probability,
            draws_slots=initial_slots is None,
        )
        encoded = self.encode(features, draws.places)
        if initial_slots is None:
            initial_slots = self.initializer(draws.noise, train)
        slots, attention = self.aggregator(encoded.tokens, initial_slots)
        return FirstAggregation(encoded, slots, attention, draws)

    def finish(self, first, threshold=None):
        """Reduce, aggregate again, decode: FirstAggregation -> DIASOutput.

        `threshold` replaces the configured one; it may be a traced scalar.
        """
        threshold = self.reinit.threshold if threshold is None else threshold
        last = self.aggregate_again(first, self.find_clusters(first, threshold))
        reconstruction, decoder_attention = self.decode(first.encoded, last, first.draws)
        batch, h, w, width = first.encoded.features.shape

        def on_grid(attention):
            return attention.reshape(*attention.shape[:-1], h, w)

        return DIASOutput(
            features=first.encoded.features.astype(jnp.float32),
            slots=last.slots,
            slot_mask=last.slot_mask,
            attention=on_grid(first.attention),
            final_attention=on_grid(last.attention),
            reconstruction=reconstruction.reshape(batch, h, w, width).astype(jnp.float32),
            decoder_attention=on_grid(decoder_attention),
            first_slots=first.slots,
            cluster=last.cluster,
        )

    @nn.compact
    def extract_features(self, images):
        """Frozen features (B, h, w, C) of images (B, H, W, 3).

        Raises UserError where they are not as many as the decoder has positions for.
        """
        backbone = self.backbone.clone(parent=None)  # its parameters stay out of "params"
        is_half = jnp.dtype(getattr(backbone, "dtype", jnp.float32)) == jnp.bfloat16
        resized = bicubic_resize(images, self.input_scale, "high" if is_half else "highest")
        params = self.variable(
            "backbone",
            "params",
            lambda: backbone.init(self.make_rng("params"), resized).get("params", {}),
        )
        features = jax.lax.stop_gradient(backbone.apply({"params": params.value}, resized))
        num_tokens = features.shape[1] * features.shape[2]
        if num_tokens != self.decoder.num_tokens:
            raise UserError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels give {num_tokens} tokens: "
                f"set model.decoder.num_tokens={num_tokens} (now {self.decoder.num_tokens})"
            )
        return features

    def encode(self, features, places):
        """What slots attend to: (B, h, w, C) -> Encoded, of the tokens at `places` or of all."""
        if places is not None:
            features = take_tokens(features, places)
        tokens = self.projector(features.reshape(len(features), -1, features.shape[-1]))
        return Encoded(features, tokens)

    def aggregate_again(self, first, cluster):
        """Merge redundant slots and let the rest aggregate again: FirstAggregation -> Aggregation.

        cluster (B, S) int32, the first slot of each slot's cluster. The second aggregation has the
        weights of the first. Masked slots attend to nothing and are zero; without a second
        aggregation merged slots keep the sum of their attention.
        """
        slots, slot_mask = mean_over_clusters(first.slots, cluster)
        if first.slot_mask is not None:
            slot_mask &= first.slot_mask
        attention = sum_over_clusters(first.attention[-1], cluster)
        if self.reinit.num_iterations:
            slots, history = self.aggregator(
                first.encoded.tokens, slots, slot_mask, self.reinit.num_iterations
            )
            attention = history[-1]
        slots = jnp.where(slot_mask[..., None], slots, 0)
        return Aggregation(slots, slot_mask, attention, cluster)

    def find_clusters(self, first, threshold):
        """FirstAggregation -> (B, S) int32, the first slot of each slot's cluster."""
        alone = jnp.tile(jnp.arange(first.slots.shape[1]), (len(first.slots), 1))
        if isinstance(threshold, (int, float)) and threshold == 0:  # spare the released model
            return alone
        cluster = cluster_slots(first.slots, threshold, self.reinit.min_clusters, first.slot_mask)
        is_reduced = first.draws.is_reduced
        return cluster if is_reduced is None else jnp.where(is_reduced[:, None], cluster, alone)

    def decode(self, encoded, last, draws):
        """Encoded, Aggregation -> reconstruction (B, N, C), attention (B, S, N)."""
        batch, h, w, width = encoded.features.shape
        places = None if draws.places is None else draws.places.reshape(batch, h * w)
        return self.decoder(
            encoded.features.reshape(batch, h * w, width),
            last.slots,
            last.slot_mask,
            draws.token_order,
            draws.num_visible,
            places,
        )

    def imagine(self, slots, slot_mask):
        """What slots alone tell, as of a future that nobody has seen: no token is visible.

        slots (B, S, D), slot_mask (B, S) bool -> reconstruction (B, N, C), attention (B, S, N).
        """
        batch, count = len(slots), self.decoder.num_tokens
        order = jnp.broadcast_to(jnp.arange(count), (batch, count))
        unseen = jnp.zeros((batch, count, self.backbone.width))
        return self.decoder(unseen, slots, slot_mask, order, jnp.zeros(batch, int))

    def draw(self, draws, grid, train, sample_index, reduce_probability, draws_slots):
        """Complete `draws` for features of the shape `grid` (B, h, w, C): -> Draws.

        What is there already stays. `draws_slots`: whether initial slots are needed.
        """
        batch, h, w, _ = grid
        noise, places, is_reduced = draws.noise, draws.places, draws.is_reduced
        if noise is None and draws_slots:
            noise = self.draw_noise(sample_index)
        if places is None and train and self.token_stride > 1:
            keys = self.sample_keys("decoder", sample_index)
            places = sample_places(keys, h, w, self.token_stride)
        num_tokens = h * w if places is None else places[0].size
        order, num_visible = self.draw_visible(draws, train, sample_index, num_tokens)
        if is_reduced is None and reduce_probability is not None:
            is_reduced = self.draw_reduction(sample_index, reduce_probability)
        return Draws(noise, places, order, num_visible, is_reduced)

    def draw_noise(self, sample_index):
        """What initial slots are made of: (B, S, D)."""
        shape = self.initializer.num_slots, self.initializer.slot_width
        return sample_noise(self.sample_keys("slots", sample_index), shape)

    def draw_visible(self, draws, train, sample_index, num_tokens):
        """Complete token_order (B, N) and num_visible (B,); both None: everything is visible."""
        token_order, num_visible = draws.token_order, draws.num_visible
        if not train and token_order is None and num_visible is None:
            if self.evaluation_sees_tokens:
                return None, None
            batch = len(sample_index)
            return jnp.tile(jnp.arange(num_tokens), (batch, 1)), jnp.zeros(batch, int)
        if token_order is None and self.raster_order:
            token_order = jnp.tile(jnp.arange(num_tokens), (len(sample_index), 1))
        elif token_order is None:
            token_order = sample_token_order(self.sample_keys("decoder", sample_index), num_tokens)
        if num_visible is None:
            num_visible = sample_num_visible(
                self.sample_keys("decoder", sample_index),
                num_tokens,
                self.uniform_probability,
                self.fixed_visible,
            )
        return token_order, num_visible

    def draw_reduction(self, sample_index, probability):
        """Which samples are reduced: (B,) bool."""
        if self.reinit.per_sample:
            keys = self.sample_keys("reinit", sample_index)
            return jax.vmap(jax.random.bernoulli, (0, None))(keys, probability)
        drawn = jax.random.bernoulli(self.make_rng("reinit"), probability)
        return jnp.full(sample_index.shape, drawn)

    def sample_keys(self, stream, sample_index):
        """One key a sample (B,) of a random stream."""
        return jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng(stream), sample_index)
