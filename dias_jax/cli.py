"""How every command starts: absl flags, user errors as one line, honest exit codes."""

import os
import sys

from absl import app, flags, logging

from dias_jax.errors import UserError

HELP = {"-h", "-help", "--help", "-helpfull", "--helpfull", "-helpshort", "--helpshort"}


def parse_flags(arguments):
    """Parse absl flags; whatever is wrong with them becomes one UserError."""
    try:
        rest = flags.FLAGS(arguments)
        if flags.FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.WARNING)  # the libraries' running commentary
        return rest
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        message = " ".join(str(error).replace("\n", " ").strip("'\"").split())
        raise UserError(f"{message} (see --help)") from error


def run(main):
    """Run `main(arguments)`; exits 0, or 2 after one line on stderr for a UserError."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # of XLA's C++ log
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as stop:  # absl leaves --help with 1
        sys.exit(0 if HELP & set(sys.argv[1:]) else stop.code)
