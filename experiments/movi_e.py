"""MOVi-E: up to 23 objects in 24 frames, slots from boxes on frame 0, 50k steps of 8 clips.

python -m data_pipelines.prepare movi_e --source=TFDS --data_dir=data
python -m dias_jax.train --config=movi_e --workdir=runs/movi_e

A slot for every box; slots without one start from a box of zeros, as padding does in the released
code of RandSF.Q, and may take the ground. Hardware: one GPU with 24 GB or one TPU host. Not yet run
here in full: weights and data cannot ship with the package. `movi_e:released` merges nothing.
Published (PyTorch, 3 seeds, whole videos, 256x256, boxes given, background counted, ARI and FG-ARI
of code whose int64 wraps, see --released_ari of dias_jax.evaluate):
ARI 30.5, FG-ARI 82.1, mBO 23.0, mIoU 21.6 (RandSF.Q).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The recipe of videos with MOVi-E's data and boxes."""
    if variant not in ("", "released"):
        raise UserError(f"--config=movi_e:{variant}: the only variant is movi_e:released")
    config = defaults.of_videos(defaults.get_config(), clip_frames=6)
    config.data.name = "movi_e"
    config.model.num_slots = 24
    config.model.video.boxes = True
    return defaults.released(config) if variant == "released" else config
