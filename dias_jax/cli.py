"""How every command starts: absl flags, user errors as one line, honest exit codes."""

import logging as std_logging
import os
import sys

from absl import app, flags, logging

from dias_jax.errors import UserError

HELP = {"-h", "-help", "--help", "-helpfull", "--helpfull", "-helpshort", "--helpshort"}


def parse_flags(arguments):
    """Parse absl flags; whatever is wrong with them becomes one UserError."""
    try:
        rest = flags.FLAGS(arguments)
        if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
            flags.FLAGS["config"].value.keys()  # a file that failed to load speaks up here
    except (AttributeError, KeyError) as error:
        raise UserError(f"config: no such key: {error} (dias_jax/config/defaults.py)") from error
    except BrokenPipeError:
        raise
    except (flags.Error, TypeError, ValueError, OSError) as error:
        raise UserError(f"{str(error).strip().splitlines()[-1].strip()} (see --help)") from error
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)  # the libraries' running commentary
    return rest


def read_early(arguments, **defaults):
    """Values of flags that are needed before the others can be defined: {name: value}."""
    early = flags.FlagValues()
    for name, default in defaults.items():
        flags.DEFINE_string(name, default, "", flag_values=early)
    early(arguments, known_only=True)
    return {name: early[name].value for name in defaults}


def require(*names):
    """Raise UserError for the first of these flags that was not given."""
    for name in names:
        if flags.FLAGS[name].value is None:
            raise UserError(f"--{name} is missing (see --help)")


def run(main, define_flags=None):
    """Run `main(arguments)`; exits 0, or 2 after one line on stderr for a UserError.

    `define_flags` defines flags that depend on others: command line -> command line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # of XLA's C++ log
    # Our warnings as they are, without a logger's time, process and line.
    logging.get_absl_handler().setFormatter(std_logging.Formatter("%(message)s"))
    try:
        arguments = sys.argv if define_flags is None else define_flags(sys.argv)
        app.run(main, argv=arguments, flags_parser=parse_flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except SystemExit as stop:  # absl leaves --help with 1
        sys.exit(0 if HELP & set(sys.argv[1:]) else stop.code)
