"""Recognition on drawn scenes: which form is it, and where, read off the slot that has found it.

python -m dias_jax.extract --split=train --out=slots/shapes --config.evaluation.limit=10000
python -m dias_jax.extract --split=test --out=slots/shapes --config.evaluation.limit=0
python -m dias_jax.train --config=recognition_shapes --workdir=runs/recognition_shapes
python -m dias_jax.evaluate --workdir=runs/recognition_shapes --split=test

Slots of the model that ships, or of --workdir=RUN; seven forms. The probe, losses and optimiser of
the released code (SmoothSA's configs of COCO) on one view of each image instead of random ones; of
all things those with a mask IoU above 0.1, and one more class for slots that have found nothing.
`recognition_shapes:released` keeps only the first two things of each image and has no such class.
Hardware: 2 CPU cores.
"""

from dias_jax.config import defaults


def get_config(variant=""):
    """The published recipe, fewer steps."""
    config = defaults.of_recognition(defaults.get_config(), variant)
    config.steps, config.data.threads = 3_000, 2
    config.probe.slots = "slots/shapes"
    return config
