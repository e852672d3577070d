"""Properties of drawn things read off slots: form, pattern, hue, centre and radius.

python -m dias_jax.extract --split=train --out=slots/shapes --config.evaluation.limit=10000
python -m dias_jax.extract --split=test --out=slots/shapes --config.evaluation.limit=0
python -m dias_jax.train --config=properties_shapes --workdir=runs/properties_shapes
python -m dias_jax.evaluate --workdir=runs/properties_shapes --split=test

Slots of the model that ships, or of --workdir=RUN. Probe, losses, batch and number of images of
Dittadi et al. 2022 ("MLP1"; --config.probe.head=linear is theirs too); the learning rate falls by
half a cosine instead of in two steps. The things of a slot are told by masks, in the variant
`properties_shapes:loss` by the smallest loss, as is the default there. Hardware: 2 CPU cores.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The published recipe."""
    if variant not in ("", "loss"):
        raise UserError(f"--config=properties_shapes:{variant}: the only variant is :loss of it")
    config = defaults.get_config()
    config.task = "properties"
    config.steps = 6_000
    config.batch_size = 64
    config.data.threads = 2
    config.probe.slots = "slots/shapes"
    config.probe.matching = "loss" if variant else "mask"
    config.optimizer.update(learning_rate=1e-3, clip_norm=1e6)  # in effect no clipping
    config.evaluation.update(every=250, split="held_out", batch_size=64)
    return config
