"""How every command starts: absl flags, user errors as one line, honest exit codes."""

import argparse
import os
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from dias_jax.config import check_config, load_config
from dias_jax.errors import UserError
from dias_jax.models.shipped import shipped_config
from dias_jax.runs import open_run, open_shipped

HELP = {"-h", "-help", "--help", "-helpfull", "--helpfull", "-helpshort", "--helpshort"}


def parse_flags(arguments):
    """Parse absl flags; whatever is wrong with them becomes one UserError."""
    try:
        rest = flags.FLAGS(arguments)
        if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
            flags.FLAGS["config"].value.keys()  # a file that failed to load speaks up here
    except (AttributeError, KeyError) as error:
        raise UserError(f"config: no such key: {error} (experiments/base.py has all)") from error
    except (flags.Error, TypeError, ValueError, OSError) as error:
        raise UserError(f"{str(error).strip().splitlines()[-1].strip()} (see --help)") from error
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)  # the libraries' running commentary
    return rest


def read_early(**defaults):
    """Flags that are needed before absl parses, since it must know the config by then."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_known_args()[0]


def define_run_flags():
    """--workdir of a run or --model that ships, and --config.KEY=VALUE on top of its config."""
    early = read_early(workdir=None, model="shapes")
    flags.DEFINE_string("workdir", None, "directory of a training run")
    flags.DEFINE_string("model", "shapes", "checkpoint of the package, where no run is named")
    config = shipped_config(early.model) if early.workdir is None else load_config(early.workdir)
    config_flags.DEFINE_config_dict("config", config, "its config; change keys by name")


def require(*names):
    """Raise UserError for the first of these flags that was not given."""
    for name in names:
        if flags.FLAGS[name].value is None:
            raise UserError(f"--{name} is missing (see --help)")


def open_model(which="best"):
    """The TrainedModel that --workdir or --model names."""
    config, workdir = flags.FLAGS.config, flags.FLAGS.workdir
    check_config(config)
    if workdir is None:
        return open_shipped(flags.FLAGS.model, config)
    return open_run(workdir, config, which)


def run(main, on_a_run=False):
    """Run `main(arguments)`; exits 0, or 2 after one line on stderr for a UserError.

    `on_a_run`: the command works on a trained model (see `define_run_flags`).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # of XLA's C++ log
    try:
        if on_a_run:
            define_run_flags()
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:  # absl leaves --help with 1
        sys.exit(0 if HELP & set(sys.argv[1:]) else stop.code)
