"""What readers of pose estimators' JSON share: its data and checked numbers."""

import json
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError

Points = npt.NDArray[np.float64]

MOST_PERSONS = 10


def load_json(content: bytes) -> Any:
    """The data of a JSON file.

    Raises:
        InputError: it is cut short, not JSON, not UTF-8 or nested beyond all measure.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise InputError("truncated or not JSON (its lists are nested too deeply)") from None
    except ValueError as error:
        raise InputError(f"truncated or not JSON ({str(error).splitlines()[0]})") from None


def numbers(values: object, count: int, what: str) -> Points:
    """A list of ``count`` numbers as an array; ``what`` names it in errors.

    Raises:
        InputError: it is no list, of another length, or holds something else than numbers.
    """
    if not isinstance(values, list) or len(values) != count:
        have = f"{len(values)} values" if isinstance(values, list) else "no list"
        raise InputError(f"{what} has {have} where {count} numbers belong")
    if not set(map(type, values)) <= {int, float}:
        wrong = next(value for value in values if type(value) not in (int, float))
        shown = repr(wrong[:40]) if isinstance(wrong, str) else f"a {type(wrong).__name__}"
        raise InputError(f"{what} holds {shown}, which is not a number")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise InputError(f"{what} holds a number too large for a coordinate") from None


def leaf_types(values: list[Any], axes: int) -> set[type]:
    """The types of what stands in regular lists within lists, ``axes`` of them: NumPy takes True and "1" for 1."""
    leaves = iter(values)
    for _ in range(axes - 1):
        leaves = chain.from_iterable(leaves)
    return set(map(type, leaves))


def check_persons(persons: int) -> None:
    """Refuse an option ``persons`` out of bounds."""
    if not 1 <= persons <= MOST_PERSONS:
        raise InputError(f"persons must be from 1 to {MOST_PERSONS}, not {persons}")
