"""Drawn scenes of 3 to 6 textured objects: the embedded default, nothing to download.

python -m dias_jax.train --config=shapes --workdir=runs/shapes

Hardware: 2 CPU cores, 10 minutes. Expected, 3 seeds, 1,000 scenes of the test split at 96x96,
background counted, aggregator masks: ARI 87, FG-ARI 86, mBO 80, mIoU 77. `shapes:released`, the
released model, without re-initialised aggregation: ARI 80, FG-ARI 88, mBO 78, mIoU 77.
`shapes:side_by_side`, that on a coarse grid, which both implementations train in minutes (3 here):
ARI 76, FG-ARI 64, mBO 63, mIoU 60; python -m dias_jax.compare --parts=independent trains both.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small model on a backbone without weights; the decoder sees slots only."""
    if variant not in ("", "released", "side_by_side"):
        raise UserError(f"--config=shapes:{variant}: variants are released and side_by_side")
    config = defaults.get_config()
    config.steps = 2_500
    config.data.update(name="shapes", image_size=96, threads=2)
    # Far more slots than objects: no object is missed, the rest merges. 144 of 576 tokens a step.
    config.model.update(num_slots=16, slot_width=64, token_stride=2)
    config.model.reinit.threshold = 0.05  # from a sweep of --thresholds on validation scenes
    config.model.backbone.update(name="patch_colours", weights="", input_scale=1.0, patch_size=4)
    config.model.decoder.update(num_tokens=576, num_layers=1, heads=1)
    # Neighbours tell too much about smooth features: the decoder gets no token to see.
    config.model.decoder.update(uniform_probability=0.0, fixed_visible=0)
    config.model.decoder.evaluation_sees_tokens = False
    config.loss.distillation_weight = 0.0
    config.optimizer.learning_rate = 3e-3
    config.evaluation.update(every=500, limit=256, masks="aggregator")
    if variant == "side_by_side":  # all tokens are taken in every step
        config.steps, config.model.num_slots, config.model.token_stride = 1_500, 7, 1
        config.model.backbone.patch_size, config.model.decoder.num_tokens = 8, 144
    return defaults.released(config) if variant else config
