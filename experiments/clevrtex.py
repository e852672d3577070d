"""ClevrTex: 11 slots, 50k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare clevrtex --source=CLEVRTEX --data_dir=data
python -m dias_jax.train --config=experiments/clevrtex.py --workdir=runs/clevrtex

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. ARI, FG-ARI, mBO and mIoU to beat: those of `clevrtex_released.py`.
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
