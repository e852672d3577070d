"""What comes next in Physion: 15 frames observed, 10 predicted, on slots of a video model.

python -m dias_jax.extract --workdir=runs/physion --split=train --out=slots/physion \\
    --config.evaluation.limit=0
python -m dias_jax.extract --workdir=runs/physion --split=test --out=slots/physion \\
    --config.evaluation.limit=0
python -m dias_jax.train --config=prediction_physion --workdir=runs/prediction_physion
python -m dias_jax.evaluate --workdir=runs/prediction_physion --split=test \\
    --config.evaluation.limit=0

SlotFormer as published on Physion: loss on slots only, every third frame (the data are prepared
so; published windows begin at all frames, these at the prepared ones). Published are answers only,
see `reasoning_physion`. Hardware: one GPU; the slots of train take 8 GB of disk. Not yet run here:
weights and data cannot ship with the package.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The published sizes."""
    if variant:
        raise UserError(f"--config=prediction_physion:{variant}: it has no variant")
    config = defaults.of_prediction(defaults.get_config())
    config.steps, config.batch_size = 230_000, 128
    config.probe.update(slots="slots/physion", held_out=0.05)
    config.rollout.update(observed=15, predicted=10)
    config.rollout.update(width=256, layers=8, heads=8, mlp_width=1_024)
    config.evaluation.update(every=10_000, limit=400)
    return config
