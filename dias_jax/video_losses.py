"""What a video model minimises, over its frames.

Every loss takes a VideoOutput and leaves out frames that are padding. Under pmap, `axis_name` names
the devices: the mean over them of what each returns is the loss of the whole batch, and so is the
mean of their gradients, whatever their number and wherever the padding lies.
"""

import jax
import jax.numpy as jnp

from dias_jax import losses
from dias_jax.models.inputs import first_boxes, random_streams, seen
from dias_jax.models.reduction import unit

MASKED_LOGIT = -1e9  # finite, because there may be nothing else


def mean_over(values, counted, axis_name=None):
    """Mean of the values that are counted (bool): -> scalar, 0 where none is."""
    count = counted.sum().astype(jnp.float32)
    if axis_name is not None:
        count = jax.lax.pmean(count, axis_name)
    return jnp.where(counted, values, 0).sum() / jnp.where(count > 0, count, 1)


def reconstruction(output, axis_name=None):
    """Mean squared error against the detached frozen features, over all frames: -> scalar."""
    values = losses.reconstruction_per_sample(output)
    return mean_over(values, output.frame_valid, axis_name)


def self_distillation(output, form="released", teacher="first", axis_name=None):
    """Self-distillation of frame 0, and of all others where these have iterations: -> scalar.

    `form` and `teacher` as in `losses`; later frames learn from their own first aggregation.
    """
    maps, slot_mask = losses.distilled_maps(output.first_frame(), teacher)
    slot_mask = output.took_part[:, 0] if slot_mask is None else slot_mask
    values = losses.self_distillation_per_sample(maps, form, slot_mask)[:, None]
    later = output.later_attention
    if later is not None and len(later) > 1:
        of_later = losses.self_distillation_per_sample(later, form, output.took_part[:, 1:])
        values = jnp.concatenate([values, of_later], axis=1)
    return mean_over(values, output.frame_valid[:, : values.shape[1]], axis_name)


def video_objective(
    model,
    variables,
    batch,
    rng,
    step,
    *,
    distillation_weight,
    reduce_probability,
    distillation="released",
    teacher="first",
    contrast_weight=0.0,
    contrast_temperature=0.1,
    similarity_weight=0.0,
    similarity_temperature=1.0,
    axis_name=None,
):
    """The training loss of DIAS on videos: -> loss, {name: scalar}, VideoOutput.

    As `dias_objective`, with "image" (B, F, H, W, 3) or "features" (B, F, h, w, C), and "boxes"
    (B, G, 4) where slots start from those of the first frame. Terms of weight 0 are not computed.
    """
    weight, probability = distillation_weight(step), reduce_probability(step)
    images, features = seen(batch)
    output = model.apply(
        variables,
        images,
        features=features,
        train=True,
        draws=batch.get("draws"),
        sample_index=batch["index"],
        reduce_probability=probability,
        boxes=box_input(model, batch),
        rngs=random_streams(rng),
    )
    error = reconstruction(output, axis_name)
    distilled = self_distillation(output, distillation, teacher, axis_name)
    values = {"loss": error + weight * distilled, "reconstruction": error}
    values |= {"distillation": distilled, "distillation_weight": weight}
    values["reduce_probability"] = probability
    if contrast_weight:
        values["contrast"] = slot_contrast(output, contrast_temperature, axis_name)
        values["loss"] += contrast_weight * values["contrast"]
    if similarity_weight:
        values["similarity"] = time_similarity(output, similarity_temperature, axis_name)
        values["loss"] += similarity_weight * values["similarity"]
    return values["loss"], values, output


def box_input(model, batch):
    """What a model that starts from boxes gets of a batch's: (B, S, 4); another model: None."""
    if not model.starts_from_boxes:
        return None
    boxes = batch["boxes"] if batch["boxes"].ndim == 3 else batch["boxes"][:, 0]
    return first_boxes(boxes, model.initializer.num_slots, batch["image"].shape[-2])


@jax.named_scope("losses")
def slot_contrast(output, temperature=0.1, axis_name=None):
    """A slot is nearer to itself a frame earlier than to all others of the batch: -> scalar.

    Cross-entropy of cosines, softmax over the earlier frame's slots (SlotContrast, Manasyan et al.
    2025). Slots that are not in use are neither asked nor an answer.
    """

    def by_frame(x):  # (B, F, S, ...) -> (F, B * S, ...)
        return x.swapaxes(0, 1).reshape(x.shape[1], -1, *x.shape[3:])

    slots = by_frame(unit(output.slots))
    in_use = by_frame(output.slot_mask & output.frame_valid[..., None])
    earlier, candidate = slots[:-1], in_use[:-1]
    own = jnp.arange(slots.shape[1])
    if axis_name is not None:
        gather = {"axis_name": axis_name, "axis": 1, "tiled": True}
        earlier, candidate = (jax.lax.all_gather(x, **gather) for x in (earlier, candidate))
        own += jax.lax.axis_index(axis_name) * slots.shape[1]
    exact = jax.lax.Precision.HIGHEST
    logits = jnp.einsum("fmd,fnd->fmn", earlier, slots[1:], precision=exact) / temperature
    logits = jnp.where(candidate[..., None], logits, MASKED_LOGIT)
    share = jax.nn.log_softmax(logits, axis=1)
    values = -jnp.take_along_axis(share, own[None, None], axis=1)[:, 0]
    return mean_over(values, in_use[1:] & in_use[:-1], axis_name)


@jax.named_scope("losses")
def time_similarity(output, temperature=1.0, axis_name=None):
    """Where a token's features go on the next frame, told from this one: -> scalar.

    Cross-entropy of the decoder's `similarity` against the softmax of cosines between frozen
    features of both frames (VideoSAUR, Zadaianchuk et al. 2023).
    """
    target = similarity_target(output.features, temperature)
    predicted = jax.nn.log_softmax(output.similarity[:, :-1], axis=-1)
    values = -(target * predicted).sum(-1).mean(-1)  # (B, F - 1)
    valid = output.frame_valid[:, :-1] & output.frame_valid[:, 1:]
    return mean_over(values, valid, axis_name)


def similarity_target(features, temperature):
    """Features (B, F, h, w, C) -> (B, F - 1, N, N), for each token a distribution. No gradient."""
    batch, frames, _, _, width = features.shape
    tokens = unit(jax.lax.stop_gradient(features).reshape(batch, frames, -1, width))
    exact = jax.lax.Precision.HIGHEST
    cosine = jnp.einsum("bfnc,bfmc->bfnm", tokens[:, :-1], tokens[:, 1:], precision=exact)
    return jax.nn.softmax(cosine / temperature, axis=-1)
