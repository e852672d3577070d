"""Drawn videos of 3 to 6 moving objects that cross, hide, leave and enter: nothing to download.

python -m dias_jax.train --config=moving_shapes --workdir=runs/moving_shapes

The recipe of `shapes` over time, on small objects: clips of 2 frames, an encoder layer from frame
to frame. Hardware: 2 CPU cores. `moving_shapes:released` merges nothing. Reached by seed 42, 500
test videos at 96x96, background counted, all frames together, decoder masks: ARI 76.3, FG-ARI 38.7,
mBO 37.2, mIoU 34.2, consistency of tracks 91.3; that model ships (--model=moving_shapes).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small video model on a backbone without weights."""
    if variant not in ("", "released"):
        raise UserError(
            f"--config=moving_shapes:{variant}: the only variant is moving_shapes:released"
        )
    config = defaults.get_config()
    config.steps, config.batch_size = 800, 16  # many short clips: long ones learn slower
    config.data.update(name="moving_shapes", image_size=96, threads=1, clip_frames=2, views=1)
    config.model.kind = "video"
    config.model.update(num_slots=16, slot_width=64, token_stride=3)
    config.model.reinit.threshold = 0.1
    config.model.backbone.update(name="patch_colours", width=96, weights="", input_scale=1.0)
    config.model.backbone.update(patch_size=4, connected=True)  # things may share a hue
    config.model.decoder.update(num_tokens=576, num_layers=2, heads=4, fixed_visible=5)
    config.loss.distillation_weight = 0.02
    config.optimizer.learning_rate = 3e-3
    config.evaluation.update(every=800, limit=64, batch_size=8, pictures=3)
    return defaults.released(config) if variant == "released" else config
