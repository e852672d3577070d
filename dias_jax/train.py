"""Train an experiment: python -m dias_jax.train --config=experiments/NAME.py --workdir=DIR.

Any key of the config can be changed: --config.optimizer.learning_rate=1e-4. A work directory
that already holds checkpoints is continued, without --config with the config it holds. On several
hosts, start the same command on each with --coordinator=auto (TPU pod, Slurm, Kubernetes,
Open MPI) or with --coordinator, --num_hosts and --host; the work directory must be shared.
"""

from absl import flags
from ml_collections import config_flags

from dias_jax import devices
from dias_jax.cli import read_early, require, run
from dias_jax.config import holds_config, load_config
from dias_jax.errors import UserError
from dias_jax.loop import train


def define_config():
    """--config of an experiment; by default that of the run in --workdir, where one is."""
    early = read_early(config=None, workdir=None)
    if early.config is None and early.workdir and holds_config(early.workdir):
        return config_flags.DEFINE_config_dict("config", load_config(early.workdir), "of the run")
    return config_flags.DEFINE_config_file("config", None, "experiments/NAME.py", lock_config=True)


CONFIG = define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run; continued where it exists")
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, '"auto" on a TPU pod, Slurm ...; or ADDRESS:PORT of the first host'
)
NUM_HOSTS = flags.DEFINE_integer("num_hosts", None, "number of hosts, unless auto")
HOST = flags.DEFINE_integer("host", None, "number of this host, from 0, unless auto")


def main(arguments):
    """Check the flags and train."""
    require("config", "workdir")
    if COORDINATOR.value is not None:
        devices.join_hosts(COORDINATOR.value, NUM_HOSTS.value, HOST.value)
    try:
        train(CONFIG.value, WORKDIR.value)
    except FloatingPointError as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    run(main)
