"""Will the red thing touch the yellow one? Physion, answered from slots, observed and predicted.

python -m dias_jax.extract --workdir=runs/physion --split=readout --out=slots/physion \\
    --config.evaluation.limit=0
python -m dias_jax.train --config=reasoning_physion --workdir=runs/reasoning_physion \\
    --config.readout.rollout=runs/prediction_physion
python -m dias_jax.evaluate --workdir=runs/reasoning_physion --split=test

After `prediction_physion`, which extracts test. 15 of 50 frames are observed, and the read-out
looks at the first 25 (75 of 150), as SlotFormer's. `:observed` leaves out the predictions,
`:oracle` has the true future. Accuracy on 1,174 test videos, published (SlotFormer, table 4; from
the observed frames, with the predicted ones): people 74.7; RPIN 62.8, 63.8; pDEIT-lstm 59.2, 60.0;
SlotFormer 65.2, 67.1, the best of 6 thresholds, 3 seeds and all epochs, chosen on test, as here
nothing is. Hardware: 8 GB of memory. Not yet run here: weights and data cannot ship with the
package.
"""

from dias_jax.config import defaults
from dias_jax.errors import UserError


def get_config(variant=""):
    """The published read-out: all pairs, the largest over pairs and frames."""
    if variant not in ("", "observed", "oracle"):
        raise UserError(f"--config=reasoning_physion:{variant}: there are :observed and :oracle")
    config = defaults.of_prediction(defaults.get_config())
    config.task, config.steps, config.batch_size = "reasoning", 6_000, 64
    config.probe.update(slots="slots/physion", held_out=0.05)
    config.readout.update(sees=variant or "rolled_out", rollout="runs/prediction_physion")
    config.readout.update(observed=15, frames=25, kind="relation", width=256)
    config.optimizer.update(learning_rate=1e-3, warmup_fraction=0.0)
    config.evaluation.update(every=500, batch_size=64)
    return config
