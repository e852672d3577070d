"""The tiny experiment that the tests share."""

from dias_jax.config import defaults

# A model of a few thousand parameters on drawn scenes: one step takes milliseconds.
TINY = {
    "steps": 6,
    "batch_size": 8,
    "accumulation": 1,  # compiles faster than two parts
    "log_every": 2,
    "data.name": "shapes",
    "data.image_size": 32,
    "data.threads": 1,
    "model.num_slots": 4,
    "model.slot_width": 16,
    "model.backbone.name": "patch_colours",
    "model.backbone.input_scale": 1.0,
    "model.backbone.width": 16,
    "model.decoder.num_tokens": 16,
    "model.decoder.num_layers": 1,
    "model.decoder.fixed_visible": 4,
    "optimizer.learning_rate": 1e-3,
    "optimizer.warmup_fraction": 0.4,
    "evaluation.every": 3,
    "evaluation.batch_size": 8,
    "evaluation.limit": 12,
    "evaluation.pictures": 2,
}


def make_tiny_config():
    """The tiny experiment, to be changed at will."""
    config = defaults.get_config()
    config.update_from_flattened_dict(TINY)
    return config


TINY_VIDEO = {
    "steps": 4,
    "batch_size": 4,
    "data.name": "moving_shapes",
    "data.clip_frames": 3,
    "model.kind": "video",
    "model.decoder.num_layers": 1,
    "loss.contrast_weight": 0.5,
    "evaluation.every": 2,
    "evaluation.batch_size": 2,
    "evaluation.limit": 3,
    "evaluation.pictures": 1,
}


def make_tiny_video_config():
    """The same of videos."""
    config = make_tiny_config()
    config.update_from_flattened_dict(TINY_VIDEO)
    return config
