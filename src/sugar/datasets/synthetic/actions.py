"""An action: a program and the ranges of its parameters."""

from collections.abc import Callable
from dataclasses import dataclass

from sugar.datasets.synthetic.motion import Motion


@dataclass(frozen=True)
class Action:
    """A class of one person: its name, its program, and how long and how often.

    Args:
        name: the class name.
        program: fills a motion.
        seconds: shortest and longest of one clip at average tempo.
        repetitions: least and most of its movement.
        seated: share of the clips in which the person sits.
    """

    name: str
    program: Callable[[Motion], None]
    seconds: tuple[float, float]
    repetitions: tuple[int, int] = (1, 1)
    seated: float = 0.0


@dataclass(frozen=True)
class PairAction:
    """A class of two people; ``program`` fills the motions of both and returns how far apart they first stand, meters.

    Args:
        program: gets the motion of the person who begins, then of the other.
    """

    name: str
    program: Callable[[Motion, Motion], float]
    seconds: tuple[float, float]
    repetitions: tuple[int, int] = (1, 1)
