"""PASCAL VOC: 6 slots, 50k steps of 32 images. The whole paper's model.

python -m data_pipelines.prepare voc --source=VOCdevkit --data_dir=data
python -m dias_jax.train --config=voc --workdir=runs/voc

Hardware: one GPU with 24 GB or one TPU host. Not yet run here in full: weights and data cannot
ship with the package. To beat: `voc:released`, the released model, without re-initialised
aggregation. Published for it (PyTorch, 3 seeds, trained on VOC 2012, evaluated on VOC 2007, centre
square crop, 256x256, background counted): ARI 30.9, FG-ARI 33.5, mBO 43.4, mIoU 42.4 (decoder
masks).
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The default recipe with VOC's data, slots and steps."""
    if variant not in ("", "released"):
        raise UserError(f"--config=voc:{variant}: the only variant is voc:released")
    config = defaults.get_config()
    config.data.name = "voc"
    config.model.num_slots = 6
    config.steps = 50_000
    config.evaluation.every = 1_250
    return defaults.released(config) if variant == "released" else config
