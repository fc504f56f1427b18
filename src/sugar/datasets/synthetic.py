"""A built-in set of made-up clips: an articulated body moved by small programs over its joint angles.

A :class:`Person` has proportions and habits, a program fills a :class:`Motion` with curves of joint angles,
forward kinematics (:func:`sugar.datasets.body.pose`) turns the two into joint positions, and a camera with
its noise looks on. Clips are like those of a Kinect v2 (layout ``ntu25``, metres, x to the sensor's left, y
up, z away from the sensor). They are no stand-in for real recordings: figures measured on them say that the
code works, not how well a model recognises people.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sugar.datasets.body import SIDES, Curve, Motion, Person, beats, hold, pose, ramp
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import NTU25
from sugar.skeleton.transforms import rotation_matrix

FPS = 30.0


def _wave_one(m: Motion) -> None:
    up = hold(m.time, 0.05, 0.25, 0.8, 0.97)
    swing = m.sized(35, 60) * (beats(m.time, m.repetitions, 0.2, 0.85) - 0.5) * up
    m.arm(m.side, up, **{"raise": m.sized(75, 115)}, plane=m.rng.uniform(60, 85), roll=-75, elbow=80)
    m.add(f"{m.side}_elbow", swing)
    m.add(f"{m.side}_roll", 0.3 * swing)


def _wave_both(m: Motion) -> None:
    up = hold(m.time, 0.05, 0.25, 0.8, 0.97)
    height, elbow = m.sized(105, 140), m.rng.uniform(20, 60)
    swing = m.sized(25, 45) * (beats(m.time, m.repetitions, 0.2, 0.85) - 0.5) * up
    # In most people the hands part and meet; in some both swing to the same side.
    together = m.rng.random() < 0.3
    for side in SIDES:
        m.arm(side, up, **{"raise": height}, plane=80, roll=-60, elbow=elbow)
        m.add(f"{side}_raise", swing * (-1 if together and side == "left" else 1))


def _clap(m: Motion) -> None:
    up = hold(m.time, 0.02, 0.2, 0.85, 0.98)
    closed = beats(m.time, m.repetitions, 0.15, 0.9)
    reach, elbow, apart = m.rng.uniform(20, 50), m.rng.uniform(70, 95), m.sized(15, 30)
    for side in SIDES:
        m.arm(side, up, **{"raise": reach}, plane=15, roll=-apart, elbow=elbow)
        m.add(f"{side}_roll", (34 + apart) * closed * up)


def _punch(m: Motion) -> None:
    guard = hold(m.time, 0.02, 0.2, 0.85, 0.98)
    thrust = beats(m.time, m.repetitions, 0.22, 0.85) ** 2
    for side in SIDES:
        m.arm(side, guard, **{"raise": 25}, plane=30, roll=30, elbow=m.rng.uniform(105, 130))
    m.arm(m.side, thrust, **{"raise": m.sized(75, 95)}, plane=5, roll=20, elbow=8)
    m.add("twist", (1 if m.side == "right" else -1) * m.sized(15, 30) * thrust)
    m.crouch(12, 22, guard)


def _kick(m: Motion) -> None:
    m.support = (m.other,)
    span = 0.8 / m.repetitions
    for k in range(m.repetitions):
        a = 0.1 + k * span
        chamber = hold(m.time, a, a + 0.35 * span, a + 0.45 * span, a + 0.6 * span)
        swing = hold(m.time, a + 0.1 * span, a + 0.55 * span, a + 0.62 * span, a + 0.98 * span)
        m.go(f"{m.side}_hip", m.sized(60, 85), swing)
        m.add(f"{m.side}_knee", m.rng.uniform(70, 95) * chamber)
        m.add("bend", -m.rng.uniform(4, 14) * swing)
        for side in SIDES:
            m.add(f"{side}_raise", m.rng.uniform(10, 30) * swing)
    m.add(f"{m.other}_knee", 8 * hold(m.time, 0.08, 0.2, 0.8, 0.95))
    m.add(f"{m.other}_ankle", 8 * hold(m.time, 0.08, 0.2, 0.8, 0.95))


def _squat(m: Motion) -> None:
    down = beats(m.time, m.repetitions, 0.08, 0.94)
    hip = min(m.sized(85, 105), 115)
    m.crouch(hip, hip + m.rng.uniform(-5, 15), down)
    m.go("bend", m.rng.uniform(20, 40), down)
    if m.rng.random() < 0.7:
        for side in SIDES:
            m.arm(side, down, **{"raise": m.rng.uniform(60, 90)}, plane=5, roll=0, elbow=15)


def _seat(m: Motion, seated: Curve) -> None:
    """Between standing (0) and sitting (1), the trunk ahead of the legs on the way."""
    hip = m.rng.uniform(75, 90)
    m.crouch(hip, hip + m.rng.uniform(-2, 10), seated)
    m.add("bend", m.sized(25, 45) * 4 * seated * (1 - seated))
    reach, elbow = m.rng.uniform(15, 35), m.rng.uniform(35, 70)
    for side in SIDES:
        m.arm(side, seated, **{"raise": reach}, plane=20, roll=15, elbow=elbow)


def _sit_down(m: Motion) -> None:
    _seat(m, ramp(m.time, m.rng.uniform(0.1, 0.25), m.rng.uniform(0.65, 0.85)))


def _stand_up(m: Motion) -> None:
    _seat(m, 1 - ramp(m.time, m.rng.uniform(0.1, 0.25), m.rng.uniform(0.65, 0.85)))


def _bow(m: Motion) -> None:
    down = hold(m.time, 0.1, m.rng.uniform(0.35, 0.45), m.rng.uniform(0.5, 0.65), 0.93)
    m.go("bend", m.sized(55, 80), down)
    m.go("nod", m.rng.uniform(15, 30), down)
    # Hanging arms stay vertical or lie along the thighs: with the trunk forward the shoulder angle follows
    # it.
    share = m.rng.uniform(0.3, 1)
    for side in SIDES:
        m.go(f"{side}_plane", 20, down)
        m.add(f"{side}_raise", share * m.angles["bend"] * down)


def _jump(m: Motion) -> None:
    span = 0.86 / m.repetitions
    height, swing = m.sized(0.12, 0.35), m.sized(15, 70)
    for k in range(m.repetitions):
        a = 0.07 + k * span
        dip = hold(m.time, a, a + 0.25 * span, a + 0.3 * span, a + 0.42 * span)
        dip = dip + 0.7 * hold(m.time, a + 0.66 * span, a + 0.75 * span, a + 0.78 * span, a + span)
        flight = np.clip((m.time - a - 0.4 * span) / (0.3 * span), 0, 1)
        m.lift = m.lift + 4 * height * flight * (1 - flight)
        m.crouch(55, 75, dip)
        m.add("bend", 18 * dip)
        for side in SIDES:
            m.add(f"{side}_raise", swing * 4 * flight * (1 - flight))
            m.add(f"{side}_ankle", -40 * hold(flight, 0, 0.15, 0.85, 1))


@dataclass(frozen=True)
class Action:
    """A class: its name, its program, and how long and how often.

    Args:
        name: the class name.
        program: fills a motion.
        seconds: shortest and longest of one clip at average tempo.
        repetitions: least and most of its movement.
    """

    name: str
    program: Callable[[Motion], None]
    seconds: tuple[float, float]
    repetitions: tuple[int, int] = (1, 1)


ACTIONS = (
    Action("wave with one hand", _wave_one, (2.0, 3.2), (2, 5)),
    Action("wave with both hands", _wave_both, (2.0, 3.2), (2, 5)),
    Action("clap", _clap, (1.6, 2.8), (3, 6)),
    Action("punch", _punch, (1.4, 2.6), (1, 3)),
    Action("kick", _kick, (1.4, 2.4), (1, 2)),
    Action("squat", _squat, (2.0, 3.6), (1, 2)),
    Action("sit down", _sit_down, (1.8, 3.0)),
    Action("stand up", _stand_up, (1.8, 3.0)),
    Action("bow", _bow, (1.8, 3.2)),
    Action("jump", _jump, (1.4, 2.6), (1, 2)),
)

SYNTHETIC_CLASSES = tuple(action.name for action in ACTIONS)


@dataclass(frozen=True)
class Camera:
    """A sensor: its side of the person and its downward look in degrees, its height in metres."""

    yaw: float
    tilt: float
    height: float


# The third is the one of the people who only test.
CAMERAS = {1: Camera(-35, 4, 1.1), 2: Camera(10, 8, 1.5), 3: Camera(45, 12, 1.9)}
PEOPLE = 12
"""People 1 to 8 are seen by cameras 1 and 2, people 9 to 12 by camera 3."""

# Both groups from the first clips on, so that a small set can be split too.
_TURNS = (1, 9, 2, 3, 10, 4, 5, 11, 6, 7, 12, 8)


def generate(clips_per_class: int, seed: int, classes: Sequence[str] = SYNTHETIC_CLASSES) -> Iterator[SkeletonClip]:
    """Clips of twelve people, class by class, in turn over people and cameras.

    Clip i of a class depends on the seed, the class and i alone: a larger set contains the smaller one.

    Raises:
        InputError: an unknown class.
    """
    by_name = {action.name: (number, action) for number, action in enumerate(ACTIONS)}
    people = {p: Person.draw(np.random.default_rng([seed, 0, p])) for p in _TURNS}
    for name in classes:
        if name not in by_name:
            raise InputError(f"no synthetic class {name!r}: use some of {', '.join(by_name)}")
        number, action = by_name[name]
        for i in range(clips_per_class):
            subject, trial = _TURNS[i % PEOPLE], i // PEOPLE + 1
            camera = 3 if subject > 8 else 1 + (subject + trial) % 2
            rng = np.random.default_rng([seed, 1, number, i])
            yield SkeletonClip(
                joints=_record(people[subject], action, CAMERAS[camera], rng),
                layout=NTU25,
                fps=FPS,
                clip_id=f"{name.replace(' ', '-')}-p{subject:02}-c{camera}-t{trial:02}",
                label=name,
                subject=subject,
                camera=camera,
                trial=trial,
            )


def perform(person: Person, action: Action, rng: np.random.Generator) -> Motion:
    """One performance of an action by a person, with its own tempo, size, side and sway."""
    seconds = rng.uniform(*action.seconds) / person.tempo * rng.uniform(0.9, 1.1)
    frames = max(8, round(seconds * FPS))
    motion = Motion(
        time=np.linspace(0, 1, frames),
        posture={name: angle + rng.normal(0, 1.5) for name, angle in person.posture.items()},
        side="right" if rng.random() < person.right_handed else "left",
        amplitude=person.vigour * rng.uniform(0.9, 1.1),
        repetitions=int(rng.integers(action.repetitions[0], action.repetitions[1] + 1)),
        rng=rng,
    )
    action.program(motion)
    # Nobody stands still: each angle sways a little, slowly.
    for name in motion.angles:
        rate, phase = rng.uniform(0.2, 0.8), rng.uniform(0, 2 * math.pi)
        motion.add(name, rng.uniform(0.3, 1.8) * np.sin(2 * math.pi * rate * seconds * motion.time + phase))
    return motion


def _record(person: Person, action: Action, camera: Camera, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """What the camera sees: ``[T, 1, 25, 3]`` in its own axes, with noise."""
    joints = pose(person, perform(person, action, rng))
    place = np.array([rng.uniform(-0.5, 0.5), -camera.height, rng.uniform(2.3, 3.8)])
    joints = joints @ rotation_matrix(1, camera.yaw + rng.normal(0, 8)).T + place
    joints = joints @ rotation_matrix(0, -camera.tilt).T
    # Kinect's error grows with distance and is larger at the hands and feet, which it often confuses.
    error = np.full(NTU25.num_joints, 0.002 * place[2])
    error[list(NTU25.parts["hand"] + NTU25.parts["foot"])] *= 2
    joints = joints + error[:, None] * rng.standard_normal(joints.shape)
    spikes = rng.random(joints.shape[:2]) < 0.002
    joints[spikes] += rng.normal(0, 0.08, (int(spikes.sum()), 3))
    return joints[:, None].astype(np.float32)
