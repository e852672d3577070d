"""What a video model remembers, and what it gives."""

import flax
import jax

from dias_jax.models.dias import DIASOutput


@flax.struct.dataclass
class VideoState:
    """All that a video model remembers of the frames it has seen."""

    slots: jax.Array  # (B, S, D) float32
    slot_mask: jax.Array  # (B, S) bool
    cluster: jax.Array  # (B, S) int32, see DIASOutput
    number: jax.Array  # (B,) int32, how many frames it has seen


@flax.struct.dataclass
class VideoOutput:
    """What a pass over frames gives; everything is float32 except masks and clusters.

    The slot of one index is the same thing in all frames. On frames that are not valid slots are
    those of the last valid one, and the rest is without meaning. Where a state went on, what
    belongs to frame 0 is None.
    """

    features: jax.Array  # (B, F, h, w, C), of the frozen backbone
    slots: jax.Array  # (B, F, S, D)
    slot_mask: jax.Array  # (B, F, S) bool, False = slot not in use
    attention: jax.Array  # (T, B, S, h, w), of every iteration of frame 0's first aggregation
    later_attention: jax.Array  # (T, B, F, S, h, w), the same of the frames after it, or None
    final_attention: jax.Array  # (B, F, S, h, w), last iteration of the last aggregation
    reconstruction: jax.Array  # (B, F, h, w, C)
    decoder_attention: jax.Array  # (B, F, S, h, w), last cross-attention, mean over heads
    similarity: jax.Array  # (B, F, N, N), logits of where a token goes on the next frame, or None
    first_slots: jax.Array  # (B, S, D), of frame 0, after its first aggregation
    cluster: jax.Array  # (B, F, S) int32, the slot in which each slot lives on
    took_part: jax.Array  # (B, F, S) bool, slots of the frame's first aggregation
    frame_valid: jax.Array  # (B, F) bool, False = padding
    state: VideoState  # for the frames that follow

    def first_frame(self):
        """Frame 0 as an image model's output: -> DIASOutput."""
        once = {"attention": self.attention, "first_slots": self.first_slots}
        names = DIASOutput.__dataclass_fields__.keys() - once.keys()
        return DIASOutput(**once, **{name: getattr(self, name)[:, 0] for name in names})


@flax.struct.dataclass
class Frames:
    """What the recurrence is told of the frames it runs over; axes (B, F, ...)."""

    number: jax.Array  # (B, F) int32, 1 ... F
    tokens: jax.Array  # (B, F, N, C), to be aggregated
    seen_tokens: jax.Array  # (B, F, N, C), what the transition sees
    token_age: jax.Array  # (B, F) int32, how many frames ago these were
    past_slots: jax.Array  # (B, F) int32, of which frame it sees the slots; None: the one before
    valid: jax.Array  # (B, F) bool
    keys: jax.Array  # (B, F) of dropout, or None
    fresh: jax.Array  # (B, F, S, D), where slots start that were merged before, or None
    is_reduced: jax.Array  # (B, F) bool, or None


@flax.struct.dataclass
class Tracked:
    """What is found on the frames; axes (B, F, ...)."""

    state: VideoState  # after each of them
    took_part: jax.Array  # (B, F, S) bool, slots of the first aggregation
    attention: jax.Array  # (B, F, S, N), last iteration of the last aggregation
