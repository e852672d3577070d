"""The one error type that a user is meant to read."""


class UserError(Exception):
    """A mistake in the input: the message is one line that names the thing and the remedy."""
