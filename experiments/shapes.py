"""Drawn scenes of 3 to 6 textured objects: the embedded default, nothing to download.

python -m dias_jax.train --config=shapes --workdir=runs/shapes

The published recipe in small, on features made by hand. Hardware: 2 CPU cores, under 5 minutes.
Expected, 3 seeds, 1,000 test scenes at 96x96, background counted, decoder masks: ARI 80, FG-ARI 79,
mBO 76, mIoU 73 (best seed 89 / 82 / 80 / 78). `shapes:released`, the released model, without
re-initialised aggregation: 41 / 75 / 67 / 66. `shapes:side_by_side` is a coarse grid and a decoder
that sees no token, without distillation: python -m dias_jax.compare --parts=independent uses it.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small model on a backbone without weights."""
    if variant not in ("", "released", "side_by_side"):
        raise UserError(f"--config=shapes:{variant}: variants are released and side_by_side")
    config = defaults.get_config()
    config.steps, config.steps_per_call = 800, 10
    config.data.update(name="shapes", image_size=96, threads=1, views=1)
    # Far more slots than objects: no object is missed, the rest merges. 64 of 576 tokens a step.
    config.model.update(num_slots=16, slot_width=64, token_stride=3)
    config.model.reinit.threshold = 0.1
    # The decoder is as wide as the features; with 32 its masks are speckled.
    config.model.backbone.update(name="patch_colours", width=96, weights="", input_scale=1.0)
    config.model.backbone.patch_size = 4
    config.model.decoder.update(num_tokens=576, num_layers=2, heads=4, fixed_visible=5)
    config.loss.distillation_weight = 0.02  # at 1 its gradient outweighs the reconstruction's
    config.optimizer.learning_rate = 3e-3
    config.evaluation.update(every=200, limit=256)
    if variant == "side_by_side":  # 144 tokens, all of them taken in every step
        config.steps, config.model.num_slots, config.model.token_stride = 1_500, 7, 1
        config.model.backbone.update(width=32, patch_size=8)
        config.model.decoder.update(num_tokens=144, num_layers=1, heads=1, fixed_visible=0)
        config.model.decoder.update(uniform_probability=0.0, evaluation_sees_tokens=False)
        config.loss.distillation_weight = 0.0
        config.evaluation.update(every=500, masks="aggregator")
    return defaults.released(config) if variant else config
