"""Recognition on YouTube-VIS: what a slot follows, of 40 classes, and where it is on each frame.

python -m dias_jax.extract --workdir=runs/ytvis --split=train --out=slots/ytvis \\
    --config.evaluation.clip_frames=5
python -m dias_jax.extract --workdir=runs/ytvis --split=validation --out=slots/ytvis \\
    --config.evaluation.clip_frames=0
python -m dias_jax.train --config=recognition_ytvis --workdir=runs/recognition_ytvis
python -m dias_jax.evaluate --workdir=runs/recognition_ytvis --split=validation

5k steps of 40 frames, as many as 8 clips of 5 have, drawn from all clips; whole videos in the
evaluation. `recognition_ytvis:released` as for COCO. Hardware: any; the extraction is that of an
evaluation. Not yet run here in full: weights and data cannot ship with the package. Published for
the released protocol (PyTorch, 3 seeds, HQ-YTVIS, pairs of IoU > 0.1): SmoothSA top-1 90.4, top-3
97.6, box IoU 42.6 of 8,957 pairs; RandSF.Q 90.5, 97.9, 50.6 of 8,979. None for DIAS.
"""

from dias_jax.config import defaults


def get_config(variant=""):
    """The published recipe on slots of videos."""
    config = defaults.of_recognition(defaults.get_config(), variant)
    config.steps, config.batch_size, config.probe.slots = 5_000, 40, "slots/ytvis"
    return config
