"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """
