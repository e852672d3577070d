"""COCO 2017: 7 slots, 100k steps of 32 images. The released model.

python -m data_pipelines.prepare coco --source=COCO --data_dir=data
python -m dias_jax.train --config=experiments/coco.py --workdir=runs/coco

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: the weights and the data
cannot ship with the package. Published for this recipe (PyTorch, 3 seeds, centre square crop,
256x256, background counted): ARI 25.6, FG-ARI 41.2, mBO 31.7, mIoU 30.2 (decoder masks).
"""

from experiments import base


def get_config():
    """The base recipe is COCO's."""
    return base.get_config()
