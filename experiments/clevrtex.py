"""ClevrTex: 11 slots, 50k steps of 32 images. The released model.

python -m dias_jax.train --config=experiments/clevrtex.py --workdir=runs/clevrtex

Hardware: one GPU with 24 GB or one TPU host. Not yet run here. Published for this recipe
(PyTorch, 3 seeds, trained on `full`, evaluated on `outd`, centre square crop, 256x256,
background counted): ARI 80.9, FG-ARI 79.1, mBO 63.3, mIoU 61.9 (decoder masks).
"""

from experiments import base


def get_config():
    """The base recipe with ClevrTex's data, slots and steps."""
    config = base.get_config()
    config.data.name = "clevrtex"
    config.model.num_slots = 11  # up to 10 objects and the ground
    config.steps = 50_000
    config.evaluation.every = 1_250
    return config
