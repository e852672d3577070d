"""COCO 2017: 7 slots, 100k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare coco --source=COCO --data_dir=data
python -m dias_jax.train --config=experiments/coco.py --workdir=runs/coco

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. ARI, FG-ARI, mBO and mIoU to beat: those of `coco_released.py`.
"""

from experiments import base


def get_config():
    """The base recipe is COCO's."""
    return base.get_config()
