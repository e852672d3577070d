"""ClevrTex: 11 slots, 50k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare clevrtex --source=CLEVRTEX --data_dir=data
python -m dias_jax.train --config=clevrtex --workdir=runs/clevrtex

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. To beat: `clevrtex:released`, the released model, without re-initialised
aggregation. Published for it (PyTorch, 3 seeds, trained on `full`, evaluated on `outd`, centre
square crop, 256x256, background counted): ARI 80.9, FG-ARI 79.1, mBO 63.3, mIoU 61.9 (decoder
masks).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The default recipe with ClevrTex's data, slots and steps."""
    if variant not in ("", "released"):
        raise UserError(f"--config=clevrtex:{variant}: the only variant is clevrtex:released")
    config = defaults.get_config()
    config.data.name = "clevrtex"
    config.model.num_slots = 11  # up to 10 objects and the ground
    config.steps = 50_000
    config.evaluation.every = 1_250
    return defaults.released(config) if variant == "released" else config
