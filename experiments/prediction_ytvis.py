"""What comes next in YouTube-VIS: 10 frames observed, 5 predicted, on slots of a video model.

python -m dias_jax.extract --workdir=runs/ytvis --split=train --out=slots/ytvis_future \\
    --config.evaluation.clip_frames=15
python -m dias_jax.extract --workdir=runs/ytvis --split=validation --out=slots/ytvis_future \\
    --config.evaluation.clip_frames=15
python -m dias_jax.train --config=prediction_ytvis --workdir=runs/prediction_ytvis
python -m dias_jax.evaluate --workdir=runs/prediction_ytvis --split=validation

SlotFormer in the sizes of CLEVRER, loss on slots only; the works that report this (DSSA, TSA) give
no sizes. Hardware: any. Not yet run here: weights and data cannot ship with the package.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The published lengths."""
    if variant:
        raise UserError(f"--config=prediction_ytvis:{variant}: it has no variant")
    config = defaults.of_prediction(defaults.get_config())
    config.steps, config.batch_size, config.probe.slots = 50_000, 128, "slots/ytvis_future"
    config.rollout.update(observed=10, predicted=5, width=256, mlp_width=1_024)
    return config
