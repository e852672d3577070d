"""The errors that a user is meant to read."""


class UserError(Exception):
    """A mistake in the input: the message is one line that names the thing and the remedy."""


class NonFiniteLoss(UserError):
    """Training has diverged: the message names the step and the samples of its batch."""
