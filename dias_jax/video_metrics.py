"""Metrics of segmented videos, from pixel counts of every frame, on device.

`count_frames` gives Counts with the axes (B, F). What takes Counts in `dias_jax.metrics`
(`ari_of`, `fg_ari_of`, `mbo_of`, `miou_of`; of `.without_background()`, too) is of frames
when given these, and of the video when given `over_time` of them: then a thing has to keep
its slot. Every metric returns values and whether they are valid, each (B,), or (B, F) of frames.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.metrics import (
    best_partners,
    count_maps,
    intersection_over_union,
    mean_over_masks,
    sum_over_pairs,
)

BOUNDARY_RATIO = 0.02  # half-width of a boundary, in diagonals of the frame; VideoSAUR's


def count_frames(pred, true, num_slots, num_masks, frame_valid=None):
    """Pixels of index maps (B, F, H, W) int: -> Counts with the axes (B, F).

    pred: slots, true: 0 background, 1 ... things; what is negative belongs to no mask. Frames that
    are not valid (B, F) bool have no pixels.
    """
    batch, frames = pred.shape[:2]
    flat = (x.reshape(-1, *x.shape[2:]) for x in (pred, true))
    counts = count_maps(*flat, num_slots, num_masks)
    counts = jax.tree.map(lambda x: x.reshape(batch, frames, *x.shape[1:]), counts)
    if frame_valid is None:
        return counts

    def keep(x):
        return jnp.where(frame_valid.reshape(batch, frames, *(1,) * (x.ndim - 2)), x, 0)

    return jax.tree.map(keep, counts)


def over_time(counts):
    """Counts of frames (B, F) -> of videos (B,), exact below 2**24 pixels."""
    return jax.tree.map(lambda x: x.sum(1), counts)


def boundary(maps):
    """Which pixels have another mask, or the frame's edge, nearby: (B, F, H, W) int -> bool.

    Nearby: within a square of half-width BOUNDARY_RATIO of the diagonal, at least one pixel.
    """
    height, width = maps.shape[2:]
    reach = max(1, round(BOUNDARY_RATIO * (height**2 + width**2) ** 0.5))
    outside = jnp.iinfo(jnp.int32).min
    maps = maps.astype(jnp.int32)
    maps = jnp.pad(maps, ((0, 0), (0, 0), (reach, reach), (reach, reach)), constant_values=outside)
    lowest = highest = maps
    for axis in (2, 3):
        window = tuple(2 * reach + 1 if axis == i else 1 for i in range(4))
        shift = (window, (1, 1, 1, 1), "valid")
        lowest = jax.lax.reduce_window(lowest, jnp.iinfo(jnp.int32).max, jax.lax.min, *shift)
        highest = jax.lax.reduce_window(highest, outside, jax.lax.max, *shift)
    return lowest != highest


def count_boundaries(pred, true, num_slots, num_masks, frame_valid=None):
    """`count_frames` of the pixels at boundaries only."""
    maps = (jnp.where(boundary(x), x.astype(jnp.int32), -1) for x in (pred, true))
    return count_frames(*maps, num_slots, num_masks, frame_valid)


def j_and_f(areas, boundaries, frame_valid=None):
    """Region and boundary accuracy over time: -> {"j_and_f", "j", "f": (values (B,), valid (B,))}.

    Counts (B, F) of areas and of boundaries. J is the IoU and F the harmonic mean of precision and
    recall of a frame, zero where there is neither, so that a thing that is away half of the time
    reaches one half; both are means over valid frames, things and slots are matched by their mean
    (VideoSAUR's code; DAVIS's own widens boundaries and leaves such frames out).
    """
    batch, frames = areas.shared.shape[:2]
    valid = jnp.ones((batch, frames), bool) if frame_valid is None else frame_valid
    number = jnp.maximum(valid.sum(1), 1)[:, None, None]
    j = intersection_over_union(areas).sum(1) / number  # (B, S, G); zero on other frames
    sizes = boundaries.pred_size[..., :, None] + boundaries.true_size[..., None, :]
    f = (2 * boundaries.shared / jnp.maximum(sizes, 1)).sum(1) / number
    pairs = best_partners((j + f) / 2)
    video = over_time(areas)
    return {
        name: (mean_over_masks(sum_over_pairs(score, *pairs), video), video.has_truth())
        for name, score in (("j_and_f", (j + f) / 2), ("j", j), ("f", f))
    }


def match_things(counts, threshold=0.5):
    """Which slot each thing is on each frame: Counts (B, F) -> (B, F, G - 1) int32, -1: none.

    One-to-one by IoU (Hungarian), where that is at least `threshold`. Without the background.
    """
    iou = intersection_over_union(counts.without_background())
    rows, columns = best_partners(iou)
    is_thing = columns[..., None] == jnp.arange(iou.shape[-1])  # (B, F, pair, G - 1)
    slot = jnp.where(is_thing, rows[..., None] + 1, 0).sum(-2) - 1
    overlap = jnp.take_along_axis(iou, jnp.maximum(slot, 0)[..., None, :], axis=-2)[..., 0, :]
    return jnp.where((slot >= 0) & (overlap >= threshold), slot, -1)


def track_metrics(slot, visible, num_slots):
    """How well things keep their slots: -> {name: (values (B,), valid (B,))}.

    slot (B, F, G) int of `match_things`, visible (B, F, G) bool.
      "consistency"  share of a thing's matched frames in its most frequent slot, mean over things
                     that are matched on two frames or more;
      "switches"     per 100 times that a thing is matched again (frames between skipped), how often
                     in another slot;
      "recovery"     of the times that a thing was matched, hidden and came back, how often its
                     next match is the slot of its last one (never matched again: it is not);
      "coverage"     share of the frames on which things are visible that are matched.
    """
    matched = slot >= 0
    number = matched.sum(1)  # (B, G)
    frequent = jax.nn.one_hot(slot, num_slots).sum(1).max(-1)
    counted = number >= 2
    share = jnp.where(counted, frequent / jnp.maximum(number, 1), 0)
    switches, again, recovered, returns = follow_things(slot, visible)
    return {
        "consistency": ratio(share, counted),
        "switches": ratio(100 * switches, again),
        "recovery": ratio(recovered, returns),
        "coverage": ratio(matched & visible, visible),
    }


def ratio(part, whole):
    """Sums over all axes but the first: -> part / whole (B,), whether there is any whole (B,)."""
    part, whole = (x.astype(jnp.float32).reshape(len(x), -1).sum(1) for x in (part, whole))
    return part / jnp.maximum(whole, 1), whole > 0


def follow_things(slot, visible):
    """Events of each thing over time: slot, visible (B, F, G) -> four (B, G) int32.

    Matches in another slot than the last, matches after the first, returns from being hidden whose
    next match is the slot of the last, returns of things that had been matched.
    """

    def step(state, frame):
        last, hidden, awaited, totals = state
        slot, visible = frame
        matched, known = slot >= 0, last >= 0
        returns = visible & hidden & known
        awaited = awaited | returns
        same = slot == last
        events = (matched & known & ~same, matched & known, matched & awaited & same, returns)
        totals = tuple(total + event for total, event in zip(totals, events))
        return (jnp.where(matched, slot, last), ~visible, awaited & ~matched, totals), None

    slot, shape = slot.astype(jnp.int32), slot[:, 0].shape
    nothing, zero = jnp.zeros(shape, bool), jnp.zeros(shape, jnp.int32)
    start = jnp.full(shape, -1), nothing, nothing, (zero,) * 4
    frames = slot.swapaxes(0, 1), visible.swapaxes(0, 1)
    return jax.lax.scan(step, start, frames)[0][3]


def ari_released(shared):
    """What the reference's code gives for videos, where its product of int64 wraps: -> (...).

    shared (..., S, G) integers, of whole videos; numpy, on the host. Beyond some 100,000 pixels
    this is no adjusted Rand index but near the Dice overlap of pairs, so chance is not zero: only
    for a comparison with the reference's published numbers, never a result.
    """
    shared = np.asarray(shared).astype(np.int64)
    true_size, pred_size = shared.sum(-2), shared.sum(-1)
    num_pixels = true_size.sum(-1)
    pairs = (shared * (shared - 1)).sum((-2, -1))
    true_pairs = (true_size * (true_size - 1)).sum(-1)
    pred_pairs = (pred_size * (pred_size - 1)).sum(-1)
    with np.errstate(over="ignore"):
        product = (true_pairs * pred_pairs).astype(np.float32)
    expected = product / np.maximum(num_pixels * (num_pixels - 1), 1)
    return (pairs - expected) / ((true_pairs + pred_pairs) / 2 - expected)
