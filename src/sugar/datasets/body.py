"""An articulated body: proportions, joint angles over time, and the kinematics that join the two."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from sugar.skeleton.layout import NTU25

Curve = npt.NDArray[np.float64]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

# Parent to child in a person who stands with hanging arms, as shares of the body height; x to the person's
# right, y up, z to the back. Segment lengths after Drillis and Contini (1966), trimmed to where Kinect puts
# its joints. The limbs are given for the right side.
_OFFSETS = {
    "spine_base": (0, 0, 0),
    "spine_mid": (0, 0.14, 0.005),
    "spine_shoulder": (0, 0.14, -0.005),
    "neck": (0, 0.035, -0.005),
    "head": (0, 0.08, -0.015),
    "shoulder": (0.1, -0.02, 0),
    "elbow": (0, -0.17, 0),
    "wrist": (0, -0.146, 0),
    "hand": (0, -0.045, 0),
    "hand_tip": (0, -0.045, 0),
    "thumb": (-0.005, -0.015, -0.025),
    "hip": (0.05, -0.02, 0),
    "knee": (0, -0.235, 0),
    "ankle": (0, -0.236, 0),
    "foot": (0, -0.03, -0.075),
}

# Angles in degrees of somebody who stands at ease. Trunk: bend forward, lean to the right, twist to the left,
# nod of the head, turn of the whole body to the left. Each arm: raise, in the plane 0 in front to 90 at the
# side, roll of the upper arm inwards, flexion of elbow and wrist. Each leg: hip and spread for the thigh
# forward and outward, knee for the shank back, ankle for the toes up.
_TRUNK_POSTURE = {"bend": 2.0, "lean": 0.0, "twist": 0.0, "nod": 5.0, "turn": 0.0}
_LIMB_POSTURE = {
    **{"raise": 6.0, "plane": 75.0, "roll": 20.0, "elbow": 14.0, "wrist": 0.0},
    **{"hip": 1.0, "spread": 3.0, "knee": 2.0, "ankle": 1.0},
}
POSTURE = _TRUNK_POSTURE | {f"{side}_{k}": v for side in SIDES for k, v in _LIMB_POSTURE.items()}


@dataclass(frozen=True)
class Person:
    """Somebody's body and habits.

    Args:
        offsets: ``[25, 3]`` parent to child of each joint in the rest pose, metres.
        posture: standing angles in degrees.
        tempo: 1 is average, 2 twice as fast.
        vigour: 1 is average; scales how far movements go.
        right_handed: probability to act with the right side.
    """

    offsets: npt.NDArray[np.float64]
    posture: dict[str, float]
    tempo: float
    vigour: float
    right_handed: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Person":
        height = rng.uniform(1.5, 1.95)
        build = {joint: rng.normal(1, 0.04) for joint in _OFFSETS}
        offsets = np.zeros((NTU25.num_joints, 3))
        for i, name in enumerate(NTU25.joint_names):
            joint = name.removeprefix("left_").removeprefix("right_")
            offsets[i] = np.array(_OFFSETS[joint]) * height * build[joint]
            if name.startswith("left_"):
                offsets[i, 0] *= -1
        return cls(
            offsets=offsets,
            posture={name: angle + rng.normal(0, 2) for name, angle in POSTURE.items()},
            tempo=rng.uniform(0.8, 1.25),
            vigour=rng.uniform(0.85, 1.15),
            right_handed=rng.choice([0.15, 0.85]),
        )


@dataclass
class Motion:
    """Joint angles over time, which a program fills.

    Args:
        time: ``[T]`` from 0 to 1, the course of the action.
        posture: angles in degrees from which the action starts.
        side, other: the acting side and its opposite.
        amplitude: 1 is average.
        repetitions: of movements that can be repeated.
        rng: for further choices of the program.
        angles: channel to curve ``[T]`` in degrees.
        lift: ``[T]`` height of the feet above the floor, metres.
        support: the feet that stay where they are.
    """

    time: Curve
    posture: dict[str, float]
    side: Side
    amplitude: float
    repetitions: int
    rng: np.random.Generator
    angles: dict[str, Curve] = field(init=False)
    lift: Curve = field(init=False)
    support: tuple[Side, ...] = SIDES

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


def pose(person: Person, motion: Motion) -> npt.NDArray[np.float64]:
    """Forward kinematics: joint positions ``[T, 25, 3]`` in metres.

    The rotation of each bone is that of its parent times its own. Then the body is put down: the lower foot
    stands ``motion.lift`` above the floor, y = 0, and the ankles of the supporting feet stay over the origin.
    """
    own = _bone_rotations(motion.angles)
    turn = _about(1, motion.angles["turn"])
    rotations: dict[int, npt.NDArray[np.float64]] = {NTU25.root: turn}
    positions = np.zeros((len(motion.time), NTU25.num_joints, 3))
    for joint in _TOP_DOWN:
        parent = NTU25.parents[joint]
        rotation = rotations[parent]
        if NTU25.joint_names[joint] in own:
            rotation = rotation @ own[NTU25.joint_names[joint]]
        rotations[joint] = rotation
        positions[:, joint] = positions[:, parent] + rotation @ person.offsets[joint]
    ankles = positions[:, [NTU25.index(f"{side}_ankle") for side in motion.support]].mean(axis=1)
    shift = -ankles
    shift[:, 1] = motion.lift - positions[:, :, 1].min(axis=1)
    return positions + shift[:, None]


def _top_down() -> list[int]:
    order = [NTU25.root]
    for joint in order:
        order += [j for j, parent in enumerate(NTU25.parents) if parent == joint and j != joint]
    return order[1:]


_TOP_DOWN = _top_down()


def _about(axis: int, degrees: Curve) -> npt.NDArray[np.float64]:
    """``[T, 3, 3]`` right-handed rotations about a coordinate axis."""
    matrix = np.zeros((len(degrees), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    angle = np.deg2rad(degrees)
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def _bone_rotations(angles: dict[str, Curve]) -> dict[str, npt.NDArray[np.float64]]:
    """Own rotation of the bones that end in the joints named, ``[T, 3, 3]`` each."""
    half = _about(1, angles["twist"] / 2) @ _about(2, -angles["lean"] / 2) @ _about(0, -angles["bend"] / 2)
    bones = {"spine_mid": half, "spine_shoulder": half, "head": _about(0, -angles["nod"])}
    for side, sign in (("left", -1), ("right", 1)):
        a = {k: angles[f"{side}_{k}"] for k in _LIMB_POSTURE}
        # Raising in a plane: turn the plane to the front, raise, turn back (as the ISB's Y-X-Y for the
        # shoulder).
        bones[f"{side}_elbow"] = (
            _about(1, -sign * a["plane"]) @ _about(0, a["raise"]) @ _about(1, sign * (a["plane"] + a["roll"]))
        )
        bones[f"{side}_wrist"] = _about(0, a["elbow"])
        bones[f"{side}_hand"] = _about(0, a["wrist"])
        bones[f"{side}_knee"] = _about(2, sign * a["spread"]) @ _about(0, a["hip"])
        bones[f"{side}_ankle"] = _about(0, -a["knee"])
        bones[f"{side}_foot"] = _about(0, a["ankle"])
    return bones
