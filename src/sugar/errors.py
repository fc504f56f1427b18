"""The one error that is the user's to fix."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def caught(work: Callable[..., T], *arguments: object) -> T | InputError:
    """What ``work`` returns, or the `InputError` that it raises: for one of many, of which the others go on."""
    try:
        return work(*arguments)
    except InputError as error:
        return error
