"""Performances and what a sensor sees of them."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sugar.datasets.synthetic.actions import Action, PairAction
from sugar.datasets.synthetic.bodies import rest_on_seat
from sugar.datasets.synthetic.body import LEG_CHANNELS, Person, pose
from sugar.datasets.synthetic.motion import Array, Motion
from sugar.datasets.synthetic.truth import Truth, truth_of
from sugar.skeleton.geometry import rotation_matrix
from sugar.skeleton.layouts import NTU25

FPS = 30.0
# Share of clips in which the sensor loses a hand or a foot for a while.
_LOST = 0.15


@dataclass(frozen=True)
class Camera:
    """A sensor: its side of the person and its downward look in degrees, its height in meters."""

    yaw: float
    tilt: float
    height: float


# The third is the one of the people who only test.
CAMERAS = {1: Camera(-35, 4, 1.1), 2: Camera(10, 8, 1.5), 3: Camera(45, 12, 1.9)}


def perform(person: Person, action: Action, rng: np.random.Generator) -> Motion:
    """One performance of an action by a person, with its own tempo, size, side and sway."""
    time, repetitions = _time(person, action, rng)
    motion = _prepare(person, time, repetitions, rng)
    if rng.random() < action.seated:
        rest_on_seat(motion, np.ones_like(time))
        motion.words = ("sitting", "sitting")
    action.program(motion)
    _sway(motion, rng)
    return motion


def perform_pair(
    first: Person, second: Person, action: PairAction, rng: np.random.Generator
) -> tuple[Motion, Motion, float]:
    """One performance of two people, each in axes of its own, and the meters between their first places."""
    time, repetitions = _time(first, action, rng)
    one, two = (_prepare(person, time, repetitions, rng) for person in (first, second))
    distance = action.program(one, two)
    for motion in (one, two):
        _sway(motion, rng)
    return one, two, distance


def _time(person: Person, action: Action | PairAction, rng: np.random.Generator) -> tuple[Array, int]:
    """The course of a clip and its repetitions; more of them take longer."""
    repetitions = int(rng.integers(action.repetitions[0], action.repetitions[1] + 1))
    seconds = rng.uniform(*action.seconds) / person.tempo * rng.uniform(0.9, 1.1)
    seconds *= (2 * repetitions / sum(action.repetitions)) ** 0.7
    return np.linspace(0, 1, max(8, round(seconds * FPS))), repetitions


def _prepare(person: Person, time: Array, repetitions: int, rng: np.random.Generator) -> Motion:
    return Motion(
        time=time,
        posture={n: angle + rng.normal(0, 0.5 if n in LEG_CHANNELS else 1.5) for n, angle in person.posture.items()},
        side="right" if rng.random() < person.right_handed else "left",
        amplitude=person.vigour * rng.uniform(0.9, 1.1),
        repetitions=repetitions,
        rng=rng,
        height=person.height,
    )


def _sway(motion: Motion, rng: np.random.Generator) -> None:
    """Nobody stands still: each angle sways a little, slowly; the legs, which bear, the least."""
    seconds = len(motion.time) / FPS
    for name in motion.angles:
        rate, phase = rng.uniform(0.2, 0.8), rng.uniform(0, 2 * math.pi)
        size = rng.uniform(0.3, 1.8) * (0.3 if name in LEG_CHANNELS else 1)
        motion.add(name, size * np.sin(2 * math.pi * rate * seconds * motion.time + phase))


def record(
    person: Person, action: Action, camera: Camera, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], Truth]:
    """One person before a camera: joints ``[T, 1, 25, 3]`` in the camera's axes, with noise, and the truth."""
    motion = perform(person, action, rng)
    joints = pose(person, motion)
    return _see(joints[:, None], camera.yaw + rng.normal(0, 8), camera, rng), truth_of(motion, joints)


def record_pair(
    first: Person, second: Person, action: PairAction, camera: Camera, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], Truth]:
    """Two people before a camera, seen more or less from the side: joints ``[T, 2, 25, 3]``, and the truth."""
    one, two, distance = perform_pair(first, second, action, rng)
    here, there = pose(first, one), pose(second, two)
    truth, partner = truth_of(one, here, 0), truth_of(two, there, 1)
    truth = Truth(
        **(
            vars(truth)
            | {"claims": truth.claims + partner.claims, "partner": Truth(**(vars(partner) | {"claims": ()}))}
        )
    )
    heading = rng.choice([-90, 90]) + rng.normal(0, 15)
    both = np.stack([here, opposite(there, distance)], axis=1)
    return _see(both, heading + camera.yaw / 2, camera, rng), truth


def opposite(joints: Array, distance: float) -> Array:
    """Joints of somebody who stands ``distance`` meters ahead and faces the first person."""
    return joints * (-1, 1, -1) - (0, 0, distance)


def _see(joints: Array, yaw: float, camera: Camera, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """``[T, M, 25, 3]`` as a sensor sees it: turned, placed, tilted, with noise and lost joints."""
    middle = joints[:, :, NTU25.root].mean(axis=(0, 1)) * (1, 0, 1)
    joints = (joints - middle) @ rotation_matrix(1, yaw).T
    distance = max(rng.uniform(2.3, 3.8), 1.8 - joints[..., 2].min())
    place = np.array([rng.uniform(-0.5, 0.5), -camera.height, distance])
    joints = (joints + place) @ rotation_matrix(0, -camera.tilt).T
    # Kinect's error grows with distance and is larger at the hands and feet, which it often confuses.
    error = np.full(NTU25.num_joints, 0.002 * place[2])
    error[list(NTU25.parts["hand"] + NTU25.parts["foot"])] *= 2
    joints = joints + error[:, None] * rng.standard_normal(joints.shape)
    spikes = rng.random(joints.shape[:3]) < 0.002
    joints[spikes] += rng.normal(0, 0.08, (int(spikes.sum()), 3))
    if rng.random() < _LOST:
        limb = ("left_hand", "right_hand", "left_foot", "right_foot")[rng.integers(4)]
        lost = [i for i, name in enumerate(NTU25.joint_names) if name.startswith(limb)]
        lost += [NTU25.index(limb.replace("hand", "thumb"))] if limb.endswith("hand") else []
        start = int(rng.integers(len(joints)))
        joints[start : start + int(rng.integers(2, 9)), int(rng.integers(joints.shape[1]))][:, lost] = 0
    return joints.astype(np.float32)
