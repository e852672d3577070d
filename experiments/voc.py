"""PASCAL VOC: 6 slots, 50k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare voc --source=VOCdevkit --data_dir=data
python -m dias_jax.train --config=experiments/voc.py --workdir=runs/voc

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. ARI, FG-ARI, mBO and mIoU to beat: those of `voc_released.py`.
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
