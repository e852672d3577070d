"""Will the red disc touch the blue one? Answered from slots, observed and predicted.

python -m dias_jax.extract --workdir=runs/bouncing --split=readout --out=slots/bouncing \\
    --config.evaluation.limit=2400
python -m dias_jax.extract --workdir=runs/bouncing --split=test --out=slots/bouncing
python -m dias_jax.train --config=reasoning_bouncing --workdir=runs/reasoning_bouncing \\
    --config.readout.rollout=runs/prediction_bouncing
python -m dias_jax.evaluate --workdir=runs/reasoning_bouncing --split=test

After `prediction_bouncing`, from slots of one model. `reasoning_bouncing:observed` leaves out the
predictions, `:oracle` has the true future. What the two discs' states and a world without
collisions tell is right in 70 of 100 questions. With 2,400 videos of readout, three seeds, 2,000
test questions: observed 61, this 69, oracle 82; with true states the oracle is right in 95.
Hardware: 2 CPU cores.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """A read-out that selects the two discs."""
    if variant not in ("", "observed", "oracle"):
        raise UserError(
            f"--config=reasoning_bouncing:{variant}: the variants are :observed and :oracle"
        )
    config = defaults.get_config()
    config.task = "reasoning"
    config.steps, config.batch_size, config.data.threads = 4_000, 64, 2
    config.probe.slots, config.readout.rollout = "slots/bouncing", "runs/prediction_bouncing"
    config.readout.sees = variant or "rolled_out"
    config.readout.role_weight = 1.0  # what is red and what blue is told, and need not be guessed
    config.probe.standardise = True
    config.optimizer.update(learning_rate=1e-2, clip_norm=1e6)  # slower ones select no disc
    config.evaluation.update(every=250, split="held_out")
    return config
