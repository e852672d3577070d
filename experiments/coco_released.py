"""COCO 2017, the released model: `coco.py` without re-initialised aggregation.

python -m data_pipelines.prepare coco --source=COCO --data_dir=data
python -m dias_jax.train --config=experiments/coco_released.py --workdir=runs/coco_released

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full. Published for this model
(PyTorch, 3 seeds, centre square crop, 256x256, background counted): ARI 25.6, FG-ARI 41.2,
mBO 31.7, mIoU 30.2 (decoder masks).
"""

from experiments import base, coco


def get_config():
    """The published recipe."""
    return base.released(coco.get_config())
