"""What readers of pose estimators' JSON share: checked numbers, and telling who is who from frame to frame."""

import json
from collections.abc import Sequence
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
    except (ValueError, RecursionError) as error:
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


def check_persons(persons: int) -> None:
    """Refuse an option ``persons`` out of bounds."""
    if not 1 <= persons <= MOST_PERSONS:
        raise InputError(f"persons must be from 1 to {MOST_PERSONS}, not {persons}")


def link_people(frames: Sequence[Sequence[Points]]) -> list[list[int]]:
    """Which person each detection of each frame is, where the file has no track ids: greedily the nearest.

    The pairs of a detection and a person seen before join in order of the distance between the means of their
    measured joints, wherever that person was last; who is left over is the next new person.

    Args:
        frames: by frame the detections, each ``[V, C]`` with zeros where not measured.

    Returns:
        By frame and detection the number of the person, from 0; as many persons as the fullest frame has.
    """
    last: list[Points] = []
    linked = []
    for detections in frames:
        centres = [_centre(joints) for joints in detections]
        near = sorted(
            (float(np.abs(centre - place).sum()), i, person)
            for i, centre in enumerate(centres)
            for person, place in enumerate(last)
        )
        found: dict[int, int] = {}
        for _, i, person in near:
            if i not in found and person not in found.values():
                found[i] = person
        for i, centre in enumerate(centres):
            if i not in found:
                found[i] = len(last)
                last.append(centre)
            last[found[i]] = centre
        linked.append([found[i] for i in range(len(detections))])
    return linked


def _centre(joints: Points) -> Points:
    measured = joints.any(axis=1)
    return np.asarray(joints[measured].mean(axis=0) if measured.any() else joints[0])
