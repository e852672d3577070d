"""Recognition on COCO: what a slot has found, of 80 classes, and where. The published probe.

python -m dias_jax.extract --workdir=runs/coco --split=train --views=4 --out=slots/coco
python -m dias_jax.extract --workdir=runs/coco --split=validation --out=slots/coco
python -m dias_jax.train --config=recognition_coco --workdir=runs/recognition_coco
python -m dias_jax.evaluate --workdir=runs/recognition_coco --split=validation

10k steps of 32 images, whose views are four kept ones instead of ever new ones (some 6 GB with
slots of 256). `recognition_coco:released` keeps only the first two things of each image and knows
no class for slots that have found nothing. Hardware: any; the extraction is that of an evaluation.
Not yet run here in full: weights and data cannot ship with the package. Published for the released
protocol (PyTorch, 3 seeds, pairs of IoU > 0.1): SPOT top-1 88.7, top-3 97.2, box IoU 48.6 of 5,061
pairs; SmoothSA 89.3, 97.3, 49.5 of 5,210. None for DIAS.
"""

from dias_jax.config import defaults


def get_config(variant=""):
    """The published recipe on slots of COCO."""
    config = defaults.of_recognition(defaults.get_config(), variant)
    config.steps, config.probe.slots = 10_000, "slots/coco"
    return config
