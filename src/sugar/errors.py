"""The one error that is the user's to fix."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def one_line(error: object) -> str:
    """All printable text of an error or value on one line."""
    return "".join(letter for letter in " ".join(str(error).split()) if letter.isprintable())


def caught(work: Callable[..., T], *arguments: object) -> T | InputError:
    """Return the result or the `InputError`, so that one bad item does not stop a batch."""
    try:
        return work(*arguments)
    except InputError as error:
        return error
