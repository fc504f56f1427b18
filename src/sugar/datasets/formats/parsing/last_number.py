"""Whether the last number of a text was cut, where no line end follows it."""

from collections.abc import Iterable

from sugar.errors import InputError


def check_last_number(text: bytes, last: bytes, others: Iterable[bytes]) -> None:
    """Refuse a text without a line end whose last number has fewer decimals than every one of some others.

    Many files of programs and people have no line end and are whole; this tells most of them from files cut short.

    Raises:
        InputError: the text seems to be cut.
    """
    if text[-1:] not in (b"\n", b"\r") and _decimals(last) < min(map(_decimals, others), default=0):
        raise InputError(
            "truncated: its last number has fewer decimals than the others and no line end follows; "
            "if it is whole, end it with a line end"
        )


def _decimals(number: bytes) -> int:
    return len(number) - number.find(b".") if b"." in number else 0
