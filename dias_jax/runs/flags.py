"""Flags that name a trained model, a run or what ships, and change its config."""

from absl import flags
from ml_collections import config_flags

from data_pipelines.sources import check_kind
from dias_jax import cli, devices
from dias_jax.config.checks import check_config
from dias_jax.models.shipped import shipped_config
from dias_jax.runs.config_file import load_config
from dias_jax.runs.trained_model import open_run, open_shipped

DEFAULT_MODEL = "shapes"


def define_model_flags(arguments):
    """--workdir of a run or --model that ships, and --config.KEY=VALUE on top of its config."""
    early = cli.read_early(arguments, workdir=None, model=DEFAULT_MODEL)
    flags.DEFINE_string("workdir", None, "directory of a training run")
    flags.DEFINE_string("model", DEFAULT_MODEL, "model of the package, where no run is named")
    workdir = early["workdir"]
    config = shipped_config(early["model"]) if workdir is None else load_config(workdir)
    config_flags.DEFINE_config_dict("config", config, "its config; change keys by name")
    return arguments


def open_model(which="best"):
    """The TrainedModel that --workdir or --model names."""
    config, workdir = flags.FLAGS.config, flags.FLAGS.workdir
    check_config(config)
    check_kind(config.data, config.model.kind)
    devices.warn_of_unused_gpu()
    if workdir is None:
        return open_shipped(flags.FLAGS.model, config)
    return open_run(workdir, config, which)


def run_on_model(main, takes_words=False):
    """`cli.run` for a command that works on a trained model."""
    cli.run(main, define_model_flags, takes_words)
