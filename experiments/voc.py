"""PASCAL VOC: 6 slots, 50k steps of 32 images. The released model.

python -m dias_jax.train --config=experiments/voc.py --workdir=runs/voc

Hardware: one GPU with 24 GB or one TPU host. Not yet run here. Published for this recipe
(PyTorch, 3 seeds, trained on VOC 2012, evaluated on VOC 2007, centre square crop, 256x256,
background counted): ARI 30.9, FG-ARI 33.5, mBO 43.4, mIoU 42.4 (decoder masks).
"""

from experiments import base


def get_config():
    """The base recipe with VOC's data, slots and steps."""
    config = base.get_config()
    config.data.name = "voc"
    config.model.num_slots = 6
    config.steps = 50_000
    config.evaluation.every = 1_250
    return config
