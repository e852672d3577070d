"""Physion: 8 slots, clips of 6 frames, 50k steps of 8; slots to predict and to ask, no masks.

python -m data_pipelines.prepare physion --source=PHYSION --data_dir=data
python -m dias_jax.train --config=physion --workdir=runs/physion

Its slots are predicted by `prediction_physion` and answer questions in `reasoning_physion`. The
best checkpoint is that of the smallest reconstruction error on 400 videos of readout; FG-ARI and
all that needs true masks: none. `physion:released` merges nothing. Hardware: one GPU with 24 GB or
one TPU host. Not yet run here: weights and data cannot ship with the package. Published for no
DIAS; SlotFormer has slots of STEVE, 6 x 192, on 128x128 pixels.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The recipe of videos with Physion's data."""
    if variant not in ("", "released"):
        raise UserError(f"--config=physion:{variant}: the only variant is physion:released")
    config = defaults.of_videos(defaults.get_config(), clip_frames=6)
    config.data.name = "physion"
    config.model.num_slots = 8
    config.evaluation.update(split="readout", limit=400)
    return defaults.released(config) if variant == "released" else config
