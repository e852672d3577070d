"""The errors that a user is meant to read."""


class UserError(Exception):
    """A mistake in the input: the message is one line that names the thing and the remedy."""

    def __str__(self):
        return " ".join(super().__str__().splitlines())  # a file's name may have several


class NonFiniteLoss(UserError):
    """Training has diverged: the message names the step and the samples of its batch."""
