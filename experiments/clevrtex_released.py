"""ClevrTex, the released model: `clevrtex.py` without re-initialised aggregation.

python -m data_pipelines.prepare clevrtex --source=CLEVRTEX --data_dir=data
python -m dias_jax.train --config=experiments/clevrtex_released.py --workdir=runs/clevrtex_released

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full. Published for this model
(PyTorch, 3 seeds, trained on `full`, evaluated on `outd`, centre square crop, 256x256, background
counted): ARI 80.9, FG-ARI 79.1, mBO 63.3, mIoU 61.9 (decoder masks).
"""

from experiments import base, clevrtex


def get_config():
    """The published recipe."""
    return base.released(clevrtex.get_config())
