"""What a recognition probe minimises, over the pairs of slot and thing that are kept."""

import jax
import jax.numpy as jnp
import optax

from dias_jax.downstream.matching import keep_pairs, of_partner, things_of_slots
from dias_jax.video_losses import mean_over


def class_loss(logits, classes, is_asked, axis_name=None):
    """Cross-entropy, mean over what is asked: logits (B, S, K), (B, S) int, bool -> scalar."""
    values = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(classes, 0))
    return mean_over(values, is_asked, axis_name)


def box_loss(boxes, true_boxes, is_kept, axis_name=None):
    """L1, mean over kept pairs and coordinates: (B, S, 4) twice, (B, S) bool -> scalar."""
    return mean_over(jnp.abs(boxes - true_boxes).mean(-1), is_kept, axis_name)


def recognition_objective(
    variables, batch, rng, step, *, probe, threshold, things="all", box_weight=1.0, axis_name=None
):
    """The training loss of a probe: -> loss, {name: scalar}. Released code.

    batch, of an extraction: "slots" (B, S, D), "slot_mask" (B, S) bool, "slot" (B, G) int, the slot
    of each thing, "iou" (B, G), "classes" (B, G) int, "boxes" (B, G, 4), "index" (B,) int, which
    with `rng` decides dropout. A probe that knows nothing has to say so of all other slots in use,
    which is not in the released code. Under pmap over `axis_name` the mean of the losses is that of
    the whole batch.
    """
    slots = batch["slots"]
    is_kept = keep_pairs(batch["iou"], threshold, things)
    thing = things_of_slots(batch["slot"], is_kept, slots.shape[1])
    is_pair = thing >= 0
    classes = of_partner(batch["classes"][..., None], thing)[..., 0]
    true_boxes = of_partner(batch["boxes"], thing)
    if probe.knows_nothing:
        classes, is_asked = jnp.where(is_pair, classes, probe.num_classes), batch["slot_mask"]
    else:
        is_asked = is_pair
    logits, boxes = probe.apply(
        variables, slots, train=True, sample_index=batch["index"], rngs={"dropout": rng}
    )
    values = {
        "classes": class_loss(logits, classes, is_asked, axis_name),
        "boxes": box_loss(boxes, true_boxes, is_pair, axis_name),
        "pairs": is_kept.sum().astype(jnp.float32),
    }
    if axis_name is not None:
        values["pairs"] = jax.lax.psum(values["pairs"], axis_name)
    values["loss"] = values["classes"] + box_weight * values["boxes"]
    return values["loss"], values
