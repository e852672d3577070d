"""Recognition on drawn scenes: which form is it, and where, read off the slot that has found it.

python -m dias_jax.extract --split=train --out=slots/shapes --config.evaluation.limit=10000
python -m dias_jax.extract --split=test --out=slots/shapes
python -m dias_jax.train --config=recognition_shapes --workdir=runs/recognition_shapes
python -m dias_jax.evaluate --workdir=runs/recognition_shapes --split=test

Slots of the model that ships, or of --workdir=RUN; seven forms. The probe, losses and optimiser of
the released code (SmoothSA's configs of COCO) on one view of each image instead of random ones; of
all things those with a mask IoU above 0.1, `recognition_shapes:released` only the first two of each
image. Hardware: 2 CPU cores.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The released recipe, fewer steps."""
    if variant not in ("", "released"):
        raise UserError(
            f"--config=recognition_shapes:{variant}: the only variant is :released of it"
        )
    config = defaults.get_config()
    config.task = "recognition"
    config.steps = 3_000
    config.data.threads = 2
    config.probe.slots = "slots/shapes"
    config.probe.things = "first_two" if variant == "released" else "all"
    config.optimizer.update(learning_rate=1e-3, clip_norm=1e6)  # in effect no clipping
    config.evaluation.update(every=250, split="held_out")
    return config
