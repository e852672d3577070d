"""Drawn videos of discs that bounce, whose future is asked about: nothing to download.

python -m dias_jax.train --config=bouncing --workdir=runs/bouncing

Goes on from what ships as `shapes`, which knows things already: from random parameters slots do
not tell small discs apart. Its slots are predicted by `prediction_bouncing`, and answer questions
in `reasoning_bouncing`. Hardware: 2 CPU cores, two minutes. `bouncing:released` merges nothing.
Reached on 100 test videos by two seeds, from image models of 800 steps, background counted, all
frames together, aggregator masks: FG-ARI 76, mBO 72, of frames 79, consistency 93.
"""

from dias_jax.config import defaults
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small video model on a backbone without weights."""
    if variant not in ("", "released"):
        raise UserError(f"--config=bouncing:{variant}: the only variant is bouncing:released")
    config = load_experiment("moving_shapes")
    config.start_from = "shapes_released" if variant == "released" else "shapes"
    config.data.update(name="bouncing", clip_frames=6)
    config.steps, config.batch_size, config.optimizer.learning_rate = 200, 6, 2e-4
    config.model.reinit.threshold = 0.05  # discs are small: slots of two of them are closer
    config.model.backbone.connected = False  # no two discs share a hue
    # Always few visible tokens: what many show of small discs, slots need not tell apart.
    config.model.decoder.uniform_probability = 0.0
    config.evaluation.every = 100
    return defaults.released(config) if variant == "released" else config
