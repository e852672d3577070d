"""The errors that a user is meant to read."""

import contextlib


class UserError(Exception):
    """A mistake in the input: the message is one line that names the thing and the remedy."""

    exit_code = 2

    def __str__(self):
        return " ".join(super().__str__().splitlines())  # a file's name may have several


class NonFiniteLoss(UserError):
    """Training has diverged: the message names the step and the samples of its batch."""


class Stopped(UserError):
    """A signal stopped a run after its checkpoint: the same command continues it."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again


@contextlib.contextmanager
def named(setting):
    """Put the setting that led to a UserError of the block before its message."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{setting}: {error}") from error


def reason(error):
    """What an exception of a library says, in one line of at most 200 characters."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__
