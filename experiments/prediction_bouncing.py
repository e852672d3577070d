"""What comes next: slots of bouncing discs, 10 frames observed, 20 predicted one from another.

python -m dias_jax.extract --workdir=runs/bouncing --split=train --out=slots/bouncing \\
    --config.evaluation.limit=4000
python -m dias_jax.extract --workdir=runs/bouncing --split=test --out=slots/bouncing
python -m dias_jax.train --config=prediction_bouncing --workdir=runs/prediction_bouncing
python -m dias_jax.evaluate --workdir=runs/prediction_bouncing --split=test \\
    --config.evaluation.limit=100

SlotFormer, narrower and shallower than published, on windows of 10 + 10 frames. Reached by three
seeds: 0.47 of the squared error of copying the last frame's slots, linear extrapolation 3.1.
`prediction_bouncing:states` has true places and radii in slots/bouncing_states instead of slots
(extract --representation=true_states): what the roll-out alone can do, with 1,600 videos and half
the steps 0.27 of the error of copying, linear extrapolation 1.09 (one seed). Hardware: 2 CPU cores.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """A small roll-out of the released kind."""
    if variant not in ("", "states"):
        raise UserError(f"--config=prediction_bouncing:{variant}: the only variant is :states")
    config = defaults.of_prediction(defaults.get_config())
    config.steps, config.batch_size, config.data.threads = 3_000, 32, 2
    config.probe.slots = "slots/bouncing_states" if variant else "slots/bouncing"
    config.probe.standardise = True
    config.rollout.update(observed=10, predicted=10, width=64, layers=2, heads=4, mlp_width=256)
    config.rollout.update(window=4, residual=True, slot_embedding=True, dropout=0.0)
    config.optimizer.learning_rate = 4e-3
    config.evaluation.every = 500
    return config
