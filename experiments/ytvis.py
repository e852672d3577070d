"""YouTube-VIS with HQ-YTVIS' masks: 7 slots, clips of 5 frames, 50k steps of 8.

python -m data_pipelines.prepare ytvis_hq --source=YTVIS --data_dir=data
python -m dias_jax.train --config=ytvis --workdir=runs/ytvis

--config.data.name=ytvis_2019, ytvis_2021 and ytvis_2022 take the publisher's own masks;
--config.evaluation.clip_frames=0 whole videos. Hardware: one GPU with 24 GB or one TPU host. Not
yet run here in full: weights and data cannot ship with the package. `ytvis:released` merges
nothing. Published for DIAS (PyTorch, 3 seeds, windows of 20 frames, 256x256, background counted,
ARI and FG-ARI of code whose int64 wraps, see --released_ari of dias_jax.evaluate): ARI 33.6,
FG-ARI 49.3, mBO 36.1, mIoU 35.2 (decoder masks).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The recipe of videos with YouTube-VIS' data, evaluated on windows as published."""
    if variant not in ("", "released"):
        raise UserError(f"--config=ytvis:{variant}: the only variant is ytvis:released")
    config = defaults.of_videos(defaults.get_config(), clip_frames=5)
    config.data.name = "ytvis_hq"
    config.evaluation.clip_frames = 20
    return defaults.released(config) if variant == "released" else config
