"""DIAS on videos: features and decoder of every frame, slots carried from frame to frame."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.dias import Aggregation
from dias_jax.models.draws import Draws
from dias_jax.models.initializer import BoxInitializer
from dias_jax.models.layers import Linear
from dias_jax.models.recurrence import Recurrence
from dias_jax.models.transition import Past, sample_past
from dias_jax.models.video_output import Frames, VideoOutput


class VideoDIAS(Recurrence, kw_only=True):
    """DIAS over time: video (B, F, H, W, 3) float32, ImageNet-normalised -> VideoOutput.

    In its place `features` (B, F, h, w, C) may be given, what the frozen backbone has made of it.

    On frame 0 all is as the image model has it. On a later frame slots start where `transition`
    puts them and aggregate for `later_iterations`. `reduce_at` says when redundant slots merge:
      "first"  on frame 0, for the whole video;
      "clip"   on frame 0, by their mean direction over all frames, which a pass without reduction
               finds: what is late in the video counts, so this is not causal;
      "every"  on every frame; places of merged slots start afresh on the next one.

    Beside what an image model is given, with an axis F after B for what belongs to a frame: boxes
    (B, S, 4), where the initializer wants them, of things on frame 0 (left, top, right, bottom in
    widths and heights; of (B, F, S, 4) the first frame's are taken), and box_mask (B, S) bool,
    False for boxes that fill up the batch; frame_valid (B, F) bool, False for what fills up a video
    at its end; state, the VideoState of the frames before. The random stream "dropout" is the
    transition's, in training. Random numbers belong to a sample and a frame.
    """

    predicts_similarity: bool = False  # the decoder also says where tokens go on the next frame

    def setup(self):
        if self.predicts_similarity:
            width = self.backbone.width + self.decoder.num_tokens
            self.readout = Linear(width, dtype=self.decoder.dtype)

    def __call__(
        self,
        video=None,
        train=False,
        initial_slots=None,
        token_order=None,
        num_visible=None,
        draws=None,
        sample_index=None,
        reduce_probability=None,
        boxes=None,
        box_mask=None,
        frame_valid=None,
        state=None,
        features=None,
    ):
        if features is None:
            chex.assert_shape(video, (None, None, None, None, 3))
            features = split_frames(self.extract_features(merge_frames(video)), len(video))
        batch, frames = features.shape[:2]
        if state is not None and self.reduce_at == "clip":
            raise UserError('config.model.video.reduce_at="clip" needs the whole video at once')
        draws = Draws() if draws is None else draws
        if token_order is not None or num_visible is not None:
            draws = draws.replace(token_order=token_order, num_visible=num_visible)
        if sample_index is None:
            sample_index = jnp.arange(batch)
        if frame_valid is None:
            frame_valid = jnp.ones((batch, frames), bool)

        features = merge_frames(features)
        index = number_frames(sample_index, frames, state)
        starts = state is None and initial_slots is None and boxes is None
        draws = self.draw_frames(draws, features.shape, train, index, reduce_probability, starts)
        later = frames - 1 if state is None else frames
        if train and later:
            draws = self.draw_transition(draws, index[:, -later:])
        encoded = self.encode(features, merge_frames(draws.places))
        tokens = split_frames(encoded.tokens, batch)
        inputs = self.later_frames(tokens, frame_valid, draws, train, later)
        if state is None:
            if initial_slots is None:
                initial_slots = self.start(draws, boxes, train)
            first = self.aggregate_first(tokens[:, 0], initial_slots, box_mask, draws)
            tracked = self.track(first, inputs)
        else:
            first, tracked = None, self.go_on(state, inputs)
        return self.finish_frames(encoded, first, tracked, draws, frame_valid)

    def smallest_inputs(self, height, width):
        """A batch of one video of one frame, {name of an argument: zeros}."""
        inputs = {"video": jnp.zeros((1, 1, height, width, 3))}
        if self.starts_from_boxes:
            inputs["boxes"] = jnp.zeros((1, self.initializer.num_slots, 4))
        return inputs

    def continue_alone(self, slots, slot_mask, num_steps):
        """The transition over and over, without images: slots (B, S, D) -> (B, num_steps, S, D).

        slot_mask (B, S) bool. Raises UserError for a transition that looks at tokens.
        """
        if self.transition.looks_at_tokens:
            raise UserError("this transition looks at the next frame: it cannot go on alone")
        tokens, age = jnp.zeros((len(slots), 1, 1)), jnp.ones(len(slots), int)

        def step(model, slots, _):
            slots = model.transition(Past(slots, tokens, age, age - 1), slot_mask)
            slots = jnp.where(slot_mask[..., None], slots, 0)
            return slots, slots

        chain = nn.scan(
            step,
            variable_broadcast=("params", "backbone"),
            split_rngs={"params": False},
            length=num_steps,
            out_axes=1,
        )
        return chain(self, slots, None)[1]

    def read(self, decoded):
        """What is decoded: (B, N, ...) -> features (B, N, C), similarity (B, N, N) or None."""
        if not self.predicts_similarity:
            return decoded, None
        return jnp.split(self.readout(decoded), [self.backbone.width], axis=-1)

    def imagine(self, slots, slot_mask):
        """As of an image."""
        decoded, attention = super().imagine(slots, slot_mask)
        return self.read(decoded)[0], attention

    @property
    def starts_from_boxes(self):
        """Whether slots start from boxes on the first frame."""
        return isinstance(self.initializer, BoxInitializer)

    def start(self, draws, boxes, train):
        """Where slots start on frame 0: (B, S, D)."""
        if boxes is not None:
            return self.initializer(boxes[:, 0] if boxes.ndim == 4 else boxes, train)
        noise = draws.noise[:, 0] if self.reduce_at == "every" else draws.noise
        return self.initializer(noise, train)

    def later_frames(self, tokens, valid, draws, train, later):
        """What the recurrence is told of the last `later` frames: -> Frames, or None without any.

        tokens (B, F, N, C), valid (B, F) bool.
        """
        if later == 0:
            return None
        batch, tokens = len(tokens), tokens[:, -later:]
        number = jnp.tile(jnp.arange(1, later + 1), (batch, 1))
        seen, token_age = tokens, jnp.zeros_like(number)
        if draws.past_tokens is not None:
            token_age = number - draws.past_tokens
            seen = jnp.take_along_axis(tokens, draws.past_tokens[..., None, None] - 1, axis=1)
        fresh, is_reduced = None, None
        if self.reduce_at == "every":
            fresh = self.initializer(merge_frames(draws.noise[:, -later:]), train)
            fresh = split_frames(fresh, batch)
            if draws.is_reduced is not None:
                is_reduced = jnp.repeat(draws.is_reduced[:, None], later, axis=1)
        return Frames(
            number=number,
            tokens=tokens,
            seen_tokens=seen,
            token_age=token_age,
            past_slots=draws.past_slots,
            valid=valid[:, -later:],
            keys=draws.dropout,
            fresh=fresh,
            is_reduced=is_reduced,
        )

    def finish_frames(self, encoded, first, found, draws, frame_valid):
        """Decode every frame: -> VideoOutput. `found`: what `track` and `go_on` give."""
        tracked, iterations, state = found
        batch, (_, h, w, width) = len(frame_valid), encoded.features.shape
        flat = merge_frames(tracked.state)
        last = Aggregation(flat.slots, flat.slot_mask, None, flat.cluster)
        decoded, decoder_attention = self.decode(encoded, last, draws_of_frames(draws))
        decoded, similarity = self.read(decoded)
        if similarity is not None:
            similarity = split_frames(similarity.astype(jnp.float32), batch)

        def on_grid(attention):
            return attention.reshape(*attention.shape[:-1], h, w)

        reconstruction = decoded.reshape(-1, h, w, width).astype(jnp.float32)
        return VideoOutput(
            features=split_frames(encoded.features.astype(jnp.float32), batch),
            slots=tracked.state.slots,
            slot_mask=tracked.state.slot_mask,
            attention=None if first is None else on_grid(first.attention),
            later_attention=None if iterations is None else on_grid(iterations),
            final_attention=on_grid(tracked.attention),
            reconstruction=split_frames(reconstruction, batch),
            decoder_attention=on_grid(split_frames(decoder_attention, batch)),
            similarity=similarity,
            first_slots=None if first is None else first.slots,
            cluster=tracked.state.cluster,
            took_part=tracked.took_part,
            frame_valid=frame_valid,
            state=state,
        )

    def draw_frames(self, draws, grid, train, index, reduce_probability, starts):
        """Complete `draws` for features of the shape `grid` (B * F, h, w, C): -> Draws.

        index (B, F, 2) int, of sample and frame. `starts`: whether initial slots are needed.
        """
        batch, flat = len(index), merge_frames(index)
        drawn = self.draw(draws_of_frames(draws), grid, train, flat, None, draws_slots=False)
        noise, is_reduced = draws.noise, draws.is_reduced
        if noise is None and self.reduce_at == "every":
            noise = split_frames(self.draw_noise(flat), batch)
        elif noise is None and starts:
            noise = self.draw_noise(index[:, 0])
        if is_reduced is None and reduce_probability is not None:
            is_reduced = self.draw_reduction(index[:, 0, 0], reduce_probability)
        return draws.replace(
            noise=noise,
            places=split_frames(drawn.places, batch),
            token_order=split_frames(drawn.token_order, batch),
            num_visible=split_frames(drawn.num_visible, batch),
            is_reduced=is_reduced,
        )

    def draw_transition(self, draws, index):
        """Complete `draws` of what the transition samples on frames after 0: index (B, F, 2)."""
        looks_back = self.transition.window > 1 and draws.past_slots is None
        drops = self.transition.dropout > 0 and draws.dropout is None
        if not looks_back and not drops:
            return draws
        keys = jax.vmap(jax.random.split)(self.sample_keys("dropout", merge_frames(index)))
        keys = split_frames(keys, len(index))
        if drops:
            draws = draws.replace(dropout=keys[:, :, 0])
        if looks_back:
            number = jnp.arange(1, index.shape[1] + 1)
            slots, tokens = sample_past(keys[:, :, 1], number, self.transition.window)
            draws = draws.replace(past_slots=slots, past_tokens=tokens)
        return draws

    def sample_keys(self, stream, sample_index):
        """One key for each sample (B,), or for each sample and frame (B, 2).

        Frame 0 has the sample's own, so that an image is a video of one frame.
        """
        if sample_index.ndim == 1:
            return super().sample_keys(stream, sample_index)

        def of_frame(key, frame):
            return jnp.where(frame == 0, key, jax.random.fold_in(key, frame))

        sample, frame = sample_index.T
        return jax.vmap(of_frame)(super().sample_keys(stream, sample), frame)


def number_frames(sample_index, frames, state):
    """Numbers of sample and frame, which go on after `state`, if any: (B,) -> (B, F, 2) int."""
    number = jnp.arange(frames) + (0 if state is None else state.number[:, None])
    return jnp.stack(jnp.broadcast_arrays(sample_index[:, None], number), axis=-1)


def draws_of_frames(draws):
    """What the image model draws, for each frame as an image of its own."""
    places, order, visible = merge_frames((draws.places, draws.token_order, draws.num_visible))
    return Draws(places=places, token_order=order, num_visible=visible)


def merge_frames(tree):
    """Arrays (B, F, ...) -> (B * F, ...)."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)


def split_frames(tree, batch):
    """The inverse of `merge_frames`."""
    return jax.tree.map(lambda x: x.reshape(batch, -1, *x.shape[1:]), tree)
