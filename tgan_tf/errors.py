"""The error a user's mistake raises."""


class InputError(ValueError):
    """A value, file or setting given by the user cannot be used.

    The message is one line that names the value, where it came from and the remedy. The programs
    in `experiments/` print it without a traceback and end with exit code 1.
    """
