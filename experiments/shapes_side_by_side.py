"""Drawn scenes, the released recipe at a small size: what both implementations can train.

python -m dias_jax.train --config=experiments/shapes_side_by_side.py --workdir=runs/side_by_side
python -m dias_jax.compare --reference=DIR --parts=independent  # trains both, with several seeds

What the reference fixes has its value: the number of visible tokens in training, all tokens
visible in evaluation. Self-distillation is off, as in `shapes.py`. The README has the result.

Hardware: 2 CPU cores, 3 minutes. Expected, 3 seeds, 1,000 scenes of the test split at 96x96,
background counted: see the README.
"""

from experiments import base, shapes


def get_config():
    """The released model on 12x12 tokens of `shapes.py`."""
    config = base.released(shapes.get_config())
    published = base.get_config()
    config.steps = 1_000
    config.model.num_slots = 7
    config.model.token_stride = 1
    config.model.backbone.patch_size = 8
    config.model.decoder.update(published.model.decoder, num_tokens=144, num_layers=1)
    config.evaluation.every = 500
    return config
