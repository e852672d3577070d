"""PASCAL VOC, the released model: `voc.py` without re-initialised aggregation.

python -m data_pipelines.prepare voc --source=VOCdevkit --data_dir=data
python -m dias_jax.train --config=experiments/voc_released.py --workdir=runs/voc_released

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full. Published for this model
(PyTorch, 3 seeds, trained on VOC 2012, evaluated on VOC 2007, centre square crop, 256x256,
background counted): ARI 30.9, FG-ARI 33.5, mBO 43.4, mIoU 42.4 (decoder masks).
"""

from experiments import base, voc


def get_config():
    """The published recipe."""
    return base.released(voc.get_config())
