"""What a program of an action fills: joint angles over time, places of hands and feet, and what is true of them.

Lengths are in body heights, so that programs suit tall and short people alike; angles in degrees, channels
as in :mod:`sugar.datasets.synthetic.body`.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from sugar.facts.claims import Claim, Predicate, Subject

Array = npt.NDArray[np.float64]
Curve = npt.NDArray[np.float64]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
SIGN: dict[Side, int] = {"left": -1, "right": 1}


@dataclass(frozen=True)
class Reach:
    """A hand drawn to a place.

    Args:
        side: which hand.
        anchor: joint that the place goes along with, or "place" for the spot where the person first stood.
        offset: ``[T, 3]`` from the anchor in its own axes, body heights.
        share: ``[T]`` 0 leaves the hand where the angles bring it, 1 takes it to the place.
        elbow: direction to which the elbow points, in the axes of the chest, x outward.
    """

    side: Side
    anchor: str
    offset: Array
    share: Curve
    elbow: tuple[float, float, float]


@dataclass
class Footprint:
    """Where a foot stands, over time: ``[T]`` each; body heights and degrees."""

    x: Curve
    z: Curve
    yaw: Curve
    lift: Curve
    heel: Curve


@dataclass
class Motion:
    """Joint angles over time, which a program fills, and what it knows to be true of them.

    Args:
        time: ``[T]`` from 0 to 1, the course of the action.
        posture: angles in degrees from which the action starts.
        side, other: the acting side and its opposite.
        amplitude: 1 is average.
        repetitions: of movements that can be repeated.
        rng: for further choices of the program.
        height: of the person, meters; only for programs of two people.
        angles: channel to curve ``[T]`` in degrees.
        lift: ``[T]`` height of the feet above the floor, body heights.
        support: the feet that stay where they are, in the air over it; none: the hips do.
        reaches: the places that hands are drawn to, in turn.
        feet: footprints once a step is made; they then lead legs, hips and ``turn``.
        sink: height of the hips that a stepping person lowers to, body heights, and the share ``[T]``.
        hands_act, feet_act: the limbs that do the action.
        counted: whether ``repetitions`` says how often the action is done.
        words: posture at the start and at the end.
        whole_posture: whether the posture at both ends also holds between them.
        claims: what holds by construction.
    """

    time: Curve
    posture: dict[str, float]
    side: Side
    amplitude: float
    repetitions: int
    rng: np.random.Generator
    height: float = 1.7
    angles: dict[str, Curve] = field(init=False)
    lift: Curve = field(init=False)
    support: tuple[Side, ...] = SIDES
    reaches: list[Reach] = field(default_factory=list)
    feet: dict[Side, Footprint] = field(default_factory=dict)
    sink: tuple[float, Curve] | None = None
    hands_act: set[Side] = field(default_factory=set)
    feet_act: set[Side] = field(default_factory=set)
    counted: bool = False
    words: tuple[str, str] = ("standing", "standing")
    whole_posture: bool = True
    claims: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.angles = {name: np.full_like(self.time, angle) for name, angle in self.posture.items()}
        self.lift = np.zeros_like(self.time)

    @property
    def other(self) -> Side:
        return "left" if self.side == "right" else "right"

    def go(self, channel: str, degrees: float | Curve, share: Curve) -> None:
        """Move a channel from where it is toward an angle; ``share`` 0 leaves it, 1 reaches it."""
        self.angles[channel] = self.angles[channel] * (1 - share) + degrees * share

    def add(self, channel: str, degrees: Curve) -> None:
        """Add a curve to a channel."""
        self.angles[channel] = self.angles[channel] + degrees

    def arm(self, side: Side, share: Curve, **degrees: float) -> None:
        """Bring one arm toward the angles given: raise, plane, roll, elbow, wrist."""
        for channel, angle in degrees.items():
            self.go(f"{side}_{channel}", angle, share)

    def crouch(self, hip: float, knee: float, share: Curve) -> None:
        """Bend both legs with the soles flat on the floor."""
        for side in SIDES:
            self.go(f"{side}_hip", hip, share)
            self.go(f"{side}_knee", knee, share)
            self.go(f"{side}_ankle", knee - hip, share)

    def reach(
        self,
        side: Side,
        anchor: str,
        offset: npt.ArrayLike,
        share: Curve,
        elbow: tuple[float, float, float] = (0.5, -1, 0.2),
    ) -> None:
        """Draw a hand to a place; ``offset`` ``[3]`` or ``[T, 3]`` is given for the right hand and mirrored."""
        places = np.broadcast_to(np.asarray(offset, dtype=np.float64), (len(self.time), 3)) * (SIGN[side], 1, 1)
        self.reaches.append(Reach(side, anchor, places, share, elbow))

    def step(
        self, side: Side, start: float, stop: float, x: float, z: float, yaw: float = 0, clearance: float = 0.03
    ) -> None:
        """Set a foot to another place between two times: to the right, to the back, turned to the left."""
        if not self.feet:
            zero = np.zeros_like(self.time)
            for s in SIDES:
                self.feet[s] = Footprint(zero + SIGN[s] * 0.07, zero, zero - 6.0 * SIGN[s], zero, zero)
        foot, move = self.feet[side], ramp(self.time, start, stop)
        foot.x = foot.x + x * move
        foot.z = foot.z + z * move
        foot.yaw = foot.yaw + yaw * move
        phase = np.clip((self.time - start) / (stop - start), 0, 1)
        foot.lift = foot.lift + clearance * np.sin(np.pi * phase) ** 2
        # The heel leaves the floor before the toes, and the foot is level again before it lands.
        span, up = stop - start, 30 * min(1, np.hypot(x, z) / 0.3) + 8
        foot.heel = foot.heel + up * hold(self.time, start - 0.4 * span, start + 0.2 * span, start + 0.25 * span, stop)

    def say(self, subject: Subject, predicate: Predicate, value: str = "") -> None:
        """Note what holds by construction."""
        self.claims.append(Claim(subject, predicate, value))

    def sized(self, low: float, high: float) -> float:
        """A random angle between two, scaled by the amplitude."""
        return self.rng.uniform(low, high) * self.amplitude


def ramp(time: Curve, start: float, stop: float) -> Curve:
    """From 0 before ``start`` to 1 after ``stop``, with no jolt (minimum jerk)."""
    x = np.clip((time - start) / (stop - start), 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def hold(time: Curve, start: float, reached: float, left: float, stop: float) -> Curve:
    """Up from ``start`` to ``reached``, stay, down from ``left`` to ``stop``."""
    return ramp(time, start, reached) * (1 - ramp(time, left, stop))


def beats(time: Curve, count: int, start: float, stop: float) -> Curve:
    """``count`` smooth swings 0 to 1 and back between ``start`` and ``stop``, 0 outside."""
    phase = np.clip((time - start) / (stop - start), 0, 1)
    return 0.5 - 0.5 * np.cos(2 * np.pi * count * phase)


def through(time: Curve, *keys: tuple[float, tuple[float, float, float]]) -> Array:
    """``[T, 3]``: through places at their times, at rest in each; the first and the last are kept."""
    places = np.tile(np.array(keys[0][1], dtype=np.float64), (len(time), 1))
    for (start, here), (stop, there) in pairwise(keys):
        places += ramp(time, start, stop)[:, None] * (np.array(there, dtype=np.float64) - here)
    return places
