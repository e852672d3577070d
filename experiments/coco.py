"""COCO 2017: 7 slots, 100k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare coco --source=COCO --data_dir=data
python -m dias_jax.train --config=coco --workdir=runs/coco

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. To beat: `coco:released`, the released model, without re-initialised
aggregation. Published for it (PyTorch, 3 seeds, centre square crop, 256x256, background counted):
ARI 25.6, FG-ARI 41.2, mBO 31.7, mIoU 30.2 (decoder masks).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The default recipe is COCO's."""
    if variant not in ("", "released"):
        raise UserError(f"--config=coco:{variant}: the only variant is coco:released")
    config = defaults.get_config()
    return defaults.released(config) if variant == "released" else config
