"""Train an experiment: python -m dias_jax.train --config=experiments/NAME.py --workdir=DIR.

Any key of the config can be changed: --config.optimizer.learning_rate=1e-4. A work directory
that already holds checkpoints is continued.
"""

from absl import flags
from ml_collections import config_flags

from dias_jax import devices
from dias_jax.cli import require, run
from dias_jax.errors import UserError
from dias_jax.loop import train

CONFIG = config_flags.DEFINE_config_file("config", None, "experiments/NAME.py", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run; continued where it exists")
HOSTS = flags.DEFINE_bool("hosts", False, "join the other hosts of a cluster (TPU pod, Slurm)")


def main(arguments):
    """Check the flags and train."""
    require("config", "workdir")
    if HOSTS.value:
        devices.initialize_hosts()
    try:
        train(CONFIG.value, WORKDIR.value)
    except FloatingPointError as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    run(main)
