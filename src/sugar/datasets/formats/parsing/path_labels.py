"""What the path of a file says of its clip: its class by the folder, or numbers by a pattern."""

import posixpath
import re
from typing import Any, Literal

from sugar.errors import InputError

NUMBERS = ("subject", "camera", "setup", "trial")
GROUPS = ("label", "id", *NUMBERS)
LabelSource = Literal["folder", "filename", "none"]


def check_pattern(pattern: str | None, *, needs_label: bool) -> None:
    """Refuse a pattern that is no regular expression with groups of `GROUPS`.

    Raises:
        InputError: says what is wrong with it.
    """
    if pattern is None:
        if needs_label:
            raise InputError("label: filename needs a pattern such as (?P<label>[a-z]+)_")
        return
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"pattern is not a regular expression ({error})") from None
    if not groups or set(groups) - set(GROUPS):
        raise InputError(f"pattern needs groups such as (?P<label>..), of {', '.join(GROUPS)}")
    if needs_label and "label" not in groups:
        raise InputError("label: filename needs a group (?P<label>..) in the pattern")


def match_path(pattern: str, path: str) -> dict[str, str]:
    """What the pattern's groups find in a path without its ending.

    Raises:
        InputError: the pattern does not occur in it.
    """
    match = re.search(pattern, path)
    if match is None:
        raise InputError(f"its path does not match the pattern {pattern}")
    return {key: value for key, value in match.groupdict().items() if value is not None}


def whole_number(value: str, what: str) -> int:
    """Subject, camera, setup or trial from a text with a number at its end, such as ``P03``.

    Raises:
        InputError: no such number, or beyond 32 bits.
    """
    match = re.fullmatch(r"[A-Za-z_ ]*([0-9]{1,20})", value.strip())
    if not match:
        raise InputError(f"{what} must be a whole number, not {value!r}")
    if not int(match[1]) < 2**31:
        raise InputError(f"{what} must be between 0 and {2**31 - 1}, not {int(match[1])}")
    return int(match[1])


def path_values(path: str, label: LabelSource, pattern: str | None) -> dict[str, Any]:
    """Fields of a clip by its path: label, clip_id (the path without its ending, or group ``id``) and the numbers.

    Raises:
        InputError: the pattern does not match, or finds words for numbers.
    """
    path = posixpath.splitext(path)[0]
    found = {} if pattern is None else match_path(pattern, path)
    values: dict[str, Any] = {name: whole_number(found[name], name) for name in NUMBERS if name in found}
    values["clip_id"] = found.get("id") or path
    if label != "none":
        folder = posixpath.basename(posixpath.dirname(path))
        values["label"] = (found.get("label") if label == "filename" else folder) or None
    return values
