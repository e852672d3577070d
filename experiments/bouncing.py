"""Drawn videos of discs that bounce, whose future is asked about: nothing to download.

python -m dias_jax.train --config=bouncing --workdir=runs/bouncing

The recipe of `moving_shapes` with few visible tokens in every step. Its slots are predicted by
`prediction_bouncing`, and answer questions in `reasoning_bouncing`. Hardware: 2 CPU cores.
`bouncing:released` merges nothing. Seed 42, 16 validation videos, aggregator masks: ARI 80, FG-ARI
10, mBO 40, of frames 45; decoder masks 41, 3, 27, 28: too little for the tasks on its slots, which
were not run. Not run with three seeds.
"""

from dias_jax.config import defaults
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small video model on a backbone without weights."""
    if variant not in ("", "released"):
        raise UserError(f"--config=bouncing:{variant}: the only variant is bouncing:released")
    config = load_experiment("moving_shapes")
    config.data.name, config.steps = "bouncing", 800  # longer: slots drift
    config.model.backbone.connected = False  # no two discs share a hue
    # Always few visible tokens: what many show of small discs, slots need not tell apart.
    config.model.decoder.uniform_probability = 0.0
    return defaults.released(config) if variant == "released" else config
