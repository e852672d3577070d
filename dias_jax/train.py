"""Train an experiment: python -m dias_jax.train --config=NAME --workdir=DIR.

NAME is an experiment of the package (clevrtex, coco, shapes, voc; coco:released is a variant), or a
file. Any key of the config can be changed: --config.optimizer.learning_rate=1e-4. A work directory
that already holds checkpoints is continued, without --config with the config it holds. A signal
(SIGTERM, SIGHUP, Ctrl-C) stops the run after a checkpoint, with exit code 75. On several hosts,
start the same command on each with --coordinator=auto (TPU pod, Slurm, Kubernetes, Open MPI) or
with --coordinator, --num_hosts and --host; the work directory must be shared. When a host is lost
the others end within a minute, with exit code 75 too: start all of them again.
"""

from absl import flags
from ml_collections import config_flags

from dias_jax import cli, devices, hosts
from dias_jax.config.experiments import define_config_flag
from dias_jax.errors import UserError
from dias_jax.runs.checkpoints import latest_step
from dias_jax.runs.config_file import holds_config, load_config
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import finish

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run; continued where it exists")
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, '"auto" on a TPU pod, Slurm ...; or ADDRESS:PORT of the first host'
)
ALLOW_CHANGE = flags.DEFINE_bool(
    "allow_change", False, "continue with another learning rate, number of steps, loss weight ..."
)
TRACE = flags.DEFINE_bool("trace", False, "write a profile of some steps into WORKDIR/trace")
NUM_HOSTS = flags.DEFINE_integer("num_hosts", None, "number of hosts, unless auto")
HOST = flags.DEFINE_integer("host", None, "number of this host, from 0, unless auto")
JOIN_TIMEOUT = flags.DEFINE_integer("join_timeout", 300, "seconds to wait for the other hosts")


def define_config(arguments):
    """--config of an experiment; by default that of the run in --workdir, where one is."""
    early = cli.read_early(arguments, config=None, workdir=None)
    workdir = early["workdir"]
    if early["config"] is None and workdir and holds_config(workdir):
        config_flags.DEFINE_config_dict("config", load_config(workdir), "of the run")
        return arguments
    return define_config_flag(arguments)


def main(arguments):
    """Check the flags and train."""
    cli.require("workdir")
    if flags.FLAGS.config is None:
        raise UserError(f"--config is missing, and {WORKDIR.value} holds no run to continue")
    config, workdir = flags.FLAGS.config, WORKDIR.value
    hosts.join(COORDINATOR.value, NUM_HOSTS.value, HOST.value, JOIN_TIMEOUT.value)
    devices.warn_of_unused_gpu()
    with hosts.together(lambda: f"start all again to continue from step {latest_step(workdir)}"):
        finish(task_of(config), config, workdir, ALLOW_CHANGE.value, TRACE.value)


if __name__ == "__main__":
    cli.run(main, define_config)
