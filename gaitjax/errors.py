"""The one exception that users see: a single line, without a traceback."""


class GaitError(Exception):
    """A mistake in the input. The message says: expected, got, what to do."""
