"""The step that computes features to be kept."""

import jax.numpy as jnp

from dias_jax.models.inputs import normalize
from dias_jax.models.video import merge_frames, split_frames


def feature_step(variables, batch, rng, *, model, axis_name=None):
    """Frozen features of a batch: -> ({}, (B, h, w, C) bfloat16), of videos (B, F, h, w, C).

    batch: "image" (B, H, W, 3) uint8, of videos (B, F, H, W, 3).
    """
    images = normalize(batch["image"])
    is_of_videos = images.ndim == 5
    features = model.apply(
        variables, merge_frames(images) if is_of_videos else images, method="extract_features"
    ).astype(jnp.bfloat16)
    return {}, split_frames(features, len(images)) if is_of_videos else features
