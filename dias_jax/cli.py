"""How every command starts: absl flags, errors as one line, honest exit codes."""

import contextlib
import errno
import functools
import logging as std_logging
import os
import re
import sys
import threading
import traceback

from absl import app, flags, logging
from ml_collections import ConfigDict

from dias_jax.errors import UserError, reason

INTERRUPTED, BROKEN_PIPE = 130, 141  # as shells count: 128 + the signal
DISK_IS_FULL = "no room on the disk: free some and run the same command again"
OUT_OF_MEMORY = (
    "out of memory: give a smaller --config.batch_size, or take it in more parts with "
    "--config.accumulation=N, in evaluation give a smaller --config.evaluation.batch_size"
)
TRACEBACK = "DIAS_JAX_TRACEBACK"  # environment variable: show where an error came from
HELP = {"-h", "-help", "--help", "-helpfull", "--helpfull", "-helpshort", "--helpshort"}


def parse_flags(arguments, takes_words=False):
    """Parse absl flags; whatever is wrong with them becomes one UserError."""
    with flag_errors():
        rest = flags.FLAGS(arguments)
        if "config" in flags.FLAGS:
            check_is_config(flags.FLAGS["config"].value)  # a file that failed to load speaks up
    check_not_empty(flags.FLAGS)
    if rest[1:] and not takes_words:
        raise UserError(f'"{rest[1]}" is not understood: flags are --name=value (see --help)')
    if flags.FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.WARNING)  # the libraries' running commentary
        std_logging.getLogger("absl").setLevel(std_logging.CRITICAL)  # ours comes in one line
    return rest


def check_not_empty(values):
    """Raise UserError for a flag that is given, but empty."""
    for name in values:
        flag = values[name]
        if flag.present and flag.value == "" and not name.startswith("config."):
            raise UserError(f"--{name}= is empty: give it a value, or leave it out")


@contextlib.contextmanager
def flag_errors():
    """Turn what goes wrong with flags, and with the code in experiment files, into UserErrors."""
    try:
        yield
    except (BrokenPipeError, UserError):
        raise
    except Exception as error:
        raise UserError(f"{describe_flag_error(error)} (see --help)") from error


def check_is_config(value):
    """Raise UserError where an experiment file gave something else than a config."""
    if value is not None and not isinstance(value, ConfigDict):
        raise UserError(
            f"--config: get_config() gives a {type(value).__name__}, not a ConfigDict: start from "
            "dias_jax.config.defaults.get_config()"
        )


def describe_flag_error(error):
    """What is wrong with a command line or an experiment file, in words."""
    if isinstance(error, flags.Error):
        return str(error).strip().splitlines()[-1].strip()
    unknown = re.search(r'Key "(.*?)" does not exist|^\W*(\w+)\W*$', str(error))
    if unknown and isinstance(error, (AttributeError, KeyError)):
        name = unknown[1] or unknown[2]
        return f"config: no such key: {name} (dias_jax/config/defaults.py has them all)"
    return f"--config: {describe(error)}"


def describe(error):
    """An unforeseen exception in one line: what, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {reason(error)} ({last.filename}:{last.lineno})"


def describe_system_error(error):
    """What the operating system refused, and the remedy."""
    name = f"{error.filename}: " if error.filename else ""
    remedies = {
        errno.ENOSPC: DISK_IS_FULL,
        errno.EDQUOT: "the quota of the disk is used up: free some and run the same command again",
        errno.EACCES: "no permission: change it, or name another place",
        errno.EPERM: "no permission: change it, or name another place",
        errno.EROFS: "the disk is read-only: name another place",
        errno.EEXIST: "is there already, as a file: name another place",
        errno.ENOTDIR: "a file lies where a folder is needed: name another place",
        errno.EISDIR: "is a folder, not a file: name another place",
    }
    return name + remedies.get(error.errno, f"{error.strerror or reason(error)}")


def read_early(arguments, **defaults):
    """Values of flags that are needed before the others can be defined: {name: value}."""
    early = flags.FlagValues()
    for name, default in defaults.items():
        flags.DEFINE_string(name, default, "", flag_values=early)
    early(arguments, known_only=True)
    check_not_empty(early)
    return {name: early[name].value for name in defaults}


def require(*names):
    """Raise UserError for the first of these flags that was not given."""
    for name in names:
        if flags.FLAGS[name].value is None:
            raise UserError(f"--{name} is missing (see --help)")


def run(main, define_flags=None, takes_words=False):
    """Run `main(arguments)`: exit code 0, or one line on stderr and another one.

    2 after a UserError or what the system refused, 75 where the same command goes on, 130 after
    Ctrl-C, 1 after what nobody has foreseen. `define_flags` defines flags that depend on others:
    command line -> command line. `takes_words`: whether words that are no flags have a meaning.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # of XLA's C++ log
    # Our warnings as they are, without a logger's time, process and line.
    logging.get_absl_handler().setFormatter(std_logging.Formatter("%(message)s"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    if TRACEBACK not in os.environ:
        # Ours are caught below: these are of callbacks and threads of libraries.
        sys.excepthook = threading.excepthook = sys.unraisablehook = ignore
    parser = functools.partial(parse_flags, takes_words=takes_words)
    try:
        with flag_errors():
            arguments = sys.argv if define_flags is None else define_flags(sys.argv)
        app.run(main, argv=arguments, flags_parser=parser)
    except SystemExit as stop:  # absl leaves --help with 1
        sys.exit(0 if HELP & set(sys.argv[1:]) else stop.code)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except (Exception, KeyboardInterrupt) as error:
        if TRACEBACK in os.environ:
            raise
        message, code = explain(error)
        print("error:", " ".join(message.split()), file=sys.stderr)
        sys.exit(code)


def ignore(*arguments):
    """Do nothing."""


def explain(error):
    """-> (what went wrong, exit code)."""
    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if "No space left on device" in str(error) and not isinstance(error, OSError):
        return DISK_IS_FULL, UserError.exit_code  # as the libraries of checkpoints say it
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return OUT_OF_MEMORY, UserError.exit_code
    if isinstance(error, OSError) and error.errno:
        return describe_system_error(error), UserError.exit_code
    return f"{describe(error)}: not foreseen; {TRACEBACK}=1 before the command shows more", 1
