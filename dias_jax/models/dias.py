"""DIAS: frozen backbone, projector, initializer, aggregator and decoder in one module."""

import dataclasses

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.decoder import sample_num_visible, sample_token_order
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
class FirstAggregation:
    """What is computed before slots are reduced."""

    features: jax.Array  # (B, h, w, C), of the frozen backbone
    tokens: jax.Array  # (B, N, C), projected
    slots: jax.Array  # (B, S, D) float32
    attention: jax.Array  # (T, B, S, N) float32
    places: jax.Array | None = None  # (B, h, w) int32, which of the grid's tokens; None: all


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

    Trained parameters are in the collection "params"; those of the frozen backbone are apart, in
    the collection "backbone", and get no gradient and no optimiser state. What is sampled may be
    handed in instead: initial_slots (B, S, D), token_order (B, N) int, num_visible (B,) int.
    Random streams: "slots" and "decoder", one key a sample, folded with `sample_index` (B,) int
    (default 0 ... B - 1), so that a sample's random numbers do not depend on the batch or device
    it lands on; and "reinit", only where `reduce_probability` is given: the chance that slots are
    reduced, otherwise they always are.
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
    evaluation_sees_tokens: bool = True  # in evaluation all tokens are visible; False: none is
    token_stride: int = 1  # training takes one random token of every stride x stride cell

    def __call__(
        self,
        images,
        train=False,
        initial_slots=None,
        token_order=None,
        num_visible=None,
        sample_index=None,
        reduce_probability=None,
    ):
        if sample_index is None:
            sample_index = jnp.arange(images.shape[0])
        first = self.aggregate_first(images, train, initial_slots, sample_index)
        visible = self.choose_visible(
            sample_index, first.tokens.shape[1], train, token_order, num_visible
        )
        cluster = self.find_clusters(first.slots, self.reinit.threshold)
        if reduce_probability is not None:
            is_reduced = self.draw_reduction(sample_index, reduce_probability)
            cluster = jnp.where(is_reduced[:, None], cluster, jnp.arange(cluster.shape[1]))
        return self.finish(first, cluster, *visible)

    def at_threshold(self, first, threshold, sample_index):
        """Evaluation from a FirstAggregation on, with a threshold of its own: -> DIASOutput."""
        visible = self.choose_visible(sample_index, first.tokens.shape[1], False, None, None)
        return self.finish(first, self.find_clusters(first.slots, threshold), *visible)

    @nn.compact
    def aggregate_first(self, images, train, initial_slots, sample_index):
        """Images to the slots of the first aggregation: -> FirstAggregation."""
        features, places = self.extract_features(images), None  # (B, h, w, C)
        batch, h, w, width = features.shape
        if h * w != self.decoder.num_tokens:
            raise UserError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels give {h * w} tokens: set "
                f"model.decoder.num_tokens={h * w} (now {self.decoder.num_tokens})"
            )
        if train and self.token_stride > 1:
            keys = self.sample_keys("decoder", sample_index)
            places = sample_places(keys, h, w, self.token_stride)
            features = take_tokens(features, places)
        if initial_slots is None:
            keys = self.sample_keys("slots", sample_index)
            initial_slots = self.initializer(keys, train)
        tokens = self.projector(features.reshape(batch, -1, width))
        return FirstAggregation(features, tokens, *self.aggregator(tokens, initial_slots), places)

    def find_clusters(self, slots, threshold):
        """(B, S, D) -> (B, S) int32, the first slot of each slot's cluster."""
        if isinstance(threshold, (int, float)) and threshold == 0:  # spare the released model
            return jnp.tile(jnp.arange(slots.shape[1]), (len(slots), 1))
        return cluster_slots(slots, threshold, self.reinit.min_clusters)

    def draw_reduction(self, sample_index, probability):
        """Which samples are reduced: (B,) bool."""
        if self.reinit.per_sample:
            keys = self.sample_keys("reinit", sample_index)
            return jax.vmap(jax.random.bernoulli, (0, None))(keys, probability)
        drawn = jax.random.bernoulli(self.make_rng("reinit"), probability)
        return jnp.full(sample_index.shape, drawn)

    def finish(self, first, cluster, token_order, num_visible):
        """Reduce, aggregate again and decode: FirstAggregation, (B, S) int -> DIASOutput.

        The second aggregation has the weights of the first. Masked slots attend to nothing and
        are zero; without a second aggregation merged slots keep the sum of their attention.
        """
        slots, slot_mask = mean_over_clusters(first.slots, cluster)
        final_attention = sum_over_clusters(first.attention[-1], cluster)
        if self.reinit.num_iterations:
            slots, attention = self.aggregator(
                first.tokens, slots, slot_mask, self.reinit.num_iterations
            )
            slots = jnp.where(slot_mask[..., None], slots, 0)
            final_attention = attention[-1]
        batch, h, w, width = first.features.shape
        places = None if first.places is None else first.places.reshape(batch, h * w)
        reconstruction, decoder_attention = self.decoder(
            first.features.reshape(batch, h * w, width),
            slots,
            slot_mask,
            token_order,
            num_visible,
            places,
        )
        return DIASOutput(
            features=first.features.astype(jnp.float32),
            slots=slots,
            slot_mask=slot_mask,
            attention=first.attention.reshape(*first.attention.shape[:-1], h, w),
            final_attention=final_attention.reshape(batch, -1, h, w),
            reconstruction=reconstruction.reshape(batch, h, w, width).astype(jnp.float32),
            decoder_attention=decoder_attention.reshape(batch, -1, h, w),
            first_slots=first.slots,
            cluster=cluster,
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
