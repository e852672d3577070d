"""MOVi-C: up to 10 objects in 24 frames, slots from boxes on frame 0, 50k steps of 8 clips.

python -m data_pipelines.prepare movi_c --source=TFDS --data_dir=data
python -m dias_jax.train --config=movi_c --workdir=runs/movi_c

A slot for every box; slots without one start from a box of zeros, as padding does in the released
code of RandSF.Q, and may take the ground. Hardware: one GPU with 24 GB or one TPU host. Not yet run
here in full: weights and data cannot ship with the package. `movi_c:released` merges nothing.
Published (PyTorch, 3 seeds, whole videos, 256x256, boxes given, background counted, ARI and FG-ARI
of code whose int64 wraps, see --released_ari of dias_jax.evaluate):
ARI 65.4, FG-ARI 67.4, mBO 29.2, mIoU 26.8 (RandSF.Q).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The recipe of videos with MOVi-C's data and boxes."""
    if variant not in ("", "released"):
        raise UserError(f"--config=movi_c:{variant}: the only variant is movi_c:released")
    config = defaults.of_videos(defaults.get_config(), clip_frames=6)
    config.data.name = "movi_c"
    config.model.num_slots = 11
    config.model.video.boxes = True
    return defaults.released(config) if variant == "released" else config
