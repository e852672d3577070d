"""What a recognition probe minimises, over the pairs of slot and thing that are kept."""

import jax
import jax.numpy as jnp
import optax

from dias_jax.downstream.matching import keep_pairs, slots_of_things
from dias_jax.video_losses import mean_over


def class_loss(logits, classes, is_kept, axis_name=None):
    """Cross-entropy, mean over kept pairs: logits (B, G, K), classes (B, G), bool -> scalar."""
    values = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(classes, 0))
    return mean_over(values, is_kept, axis_name)


def box_loss(boxes, true_boxes, is_kept, axis_name=None):
    """L1, mean over kept pairs and coordinates: (B, G, 4) twice, (B, G) bool -> scalar."""
    return mean_over(jnp.abs(boxes - true_boxes).mean(-1), is_kept, axis_name)


def recognition_objective(
    variables, batch, rng, step, *, probe, threshold, things="all", box_weight=1.0, axis_name=None
):
    """The training loss of a probe: -> loss, {name: scalar}. Released code.

    batch, of an extraction: "slots" (B, S, D), "slot" (B, G) int, the slot of each thing, "iou"
    (B, G), "classes" (B, G) int, "boxes" (B, G, 4), "index" (B,) int, which with `rng` decides
    dropout. Under pmap over `axis_name` the mean of the losses is that of the whole batch.
    """
    is_kept = keep_pairs(batch["iou"], threshold, things)
    logits, boxes = probe.apply(
        variables,
        slots_of_things(batch["slots"], batch["slot"]),
        train=True,
        sample_index=batch["index"],
        rngs={"dropout": rng},
    )
    values = {
        "classes": class_loss(logits, batch["classes"], is_kept, axis_name),
        "boxes": box_loss(boxes, batch["boxes"], is_kept, axis_name),
        "pairs": is_kept.sum().astype(jnp.float32),
    }
    if axis_name is not None:
        values["pairs"] = jax.lax.psum(values["pairs"], axis_name)
    values["loss"] = values["classes"] + box_weight * values["boxes"]
    return values["loss"], values
