"""The hosts of a run: how they find each other, and what happens when one of them is gone.

JAX ends a process that has lost the others with C's abort(), after a page of its own. Nothing in
Python hears of that, so a handler of the signal adds the line that a user needs, and exits.
"""

import contextlib
import ctypes
import functools
import inspect
import os
import re
import signal
import threading

import jax

from dias_jax.errors import Stopped, UserError, reason

SILENCE = 30  # seconds without a sign of life after which a host is gone (JAX 0.6: always 100)
PATIENCE = 15  # seconds that a host which failed waits for the others to end with it

# How errors of communication begin, in exceptions of several classes.
OF_OTHERS = re.compile(
    "(ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION|INTERNAL|UNAVAILABLE|UNKNOWN): "
)


def join(coordinator, num_hosts=None, host=None, timeout=300):
    """Join the other hosts of a run; call before anything else touches a device.

    coordinator: None: this host is alone; "auto" where the cluster tells by itself (TPU pod, Slurm,
    Kubernetes, Open MPI); otherwise "ADDRESS:PORT" of host 0, with the number of hosts and this
    one's. timeout: seconds to wait for the others. Raises UserError where these do not make sense;
    a host whose others do not come leaves with one line.
    """
    check(coordinator, num_hosts, host, timeout)
    if coordinator is None:
        return
    options = {"initialization_timeout": timeout}
    if "heartbeat_timeout_seconds" in inspect.signature(jax.distributed.initialize).parameters:
        options["heartbeat_timeout_seconds"] = SILENCE
    if coordinator != "auto":
        options |= {"coordinator_address": coordinator, "num_processes": num_hosts}
        options |= {"process_id": host}
    problem = (
        f"this host did not join the others (--coordinator={coordinator}, waiting at most "
        f"{timeout} s): start the same command on every host, each with a number of its own, "
        "and see that all of them reach that address"
    )
    say_on_abort(lambda: problem)
    try:
        jax.distributed.initialize(**options)
    except Exception as error:  # each cluster has errors of its own
        raise UserError(describe_failure(coordinator, error)) from error


def check(coordinator, num_hosts, host, timeout):
    """Raise UserError for flags of hosts that do not make sense."""
    by_hand = num_hosts is not None or host is not None
    if coordinator is None or coordinator == "auto":
        if by_hand:
            raise UserError("--num_hosts and --host need --coordinator=ADDRESS:PORT of host 0")
    elif num_hosts is None or host is None:
        raise UserError(f"--coordinator={coordinator} needs --num_hosts and --host as well")
    elif num_hosts < 1:
        raise UserError(f"--num_hosts={num_hosts}: must be at least 1")
    elif not 0 <= host < num_hosts:
        raise UserError(f"--host={host}: must be between 0 and {num_hosts - 1} (--num_hosts - 1)")
    else:
        address, _, port = coordinator.rpartition(":")
        if not (address and port.isdecimal() and 0 < int(port) < 2**16):
            raise UserError(
                f"--coordinator={coordinator}: must be auto, or ADDRESS:PORT of host 0, "
                "10.0.0.1:1234 for example"
            )
    if timeout < 1:
        raise UserError(f"--join_timeout={timeout}: must be at least 1 second")


def describe_failure(coordinator, error):
    """One line for an exception while joining."""
    if coordinator == "auto":
        return (
            f"--coordinator=auto finds no cluster ({reason(error)}): it knows TPU pods, Slurm, "
            "Open MPI and, with the package kubernetes, Kubernetes; elsewhere give ADDRESS:PORT "
            "of host 0, --num_hosts and --host"
        )
    return f"--coordinator={coordinator} ({reason(error)}): is the port free on host 0?"


@contextlib.contextmanager
def together(advice):
    """Within it, no host waits for ever for one that is gone.

    advice: () -> str, what to do then. A host that loses the others prints that in one line and
    exits as Stopped does. A host that fails by itself ends soon, with its own error, even where
    the others never come to the end: they would wait for it.
    """
    if jax.process_count() == 1:
        yield
        return
    say_on_abort(lambda: f"a host is gone: {advice()}")
    try:
        yield
    except BaseException as error:
        if OF_OTHERS.match(str(error)):
            leave(f"a host is gone ({shorten(error)}): {advice()}")
        leave_soon(getattr(error, "exit_code", 1))
        raise


def say_on_abort(message):
    """From now on abort() prints the line `message()` and exits with Stopped.exit_code."""
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: leave(message()))
    say_on_abort.handler = handler  # C holds no reference
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def leave(line):
    """Print one line and end the process at once: what else runs may wait for a lost host."""
    os.write(2, f"error: {line}\n".encode())  # no lock that another thread might hold
    os._exit(Stopped.exit_code)


def leave_soon(code):
    """End the process with `code` after PATIENCE, should it still be there."""
    timer = threading.Timer(PATIENCE, functools.partial(os._exit, code))
    timer.daemon = True
    timer.start()


def shorten(error):
    """The innermost cause of a runtime error, which stands at its end."""
    return str(error).strip().rsplit(": ", 1)[-1].splitlines()[0][:100]
