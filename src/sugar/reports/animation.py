"""A clip as compact data that a page can draw: few frames, 16-bit coordinates, gaps filled and marked."""

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import align_heading, is_measured, rotation_matrix, select_persons
from sugar.skeleton.layout import PARTS, JointLayout

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MAX_FRAMES = 96
MAX_PERSONS = 2
LARGEST = 32767
TRUNK = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
STRAIGHT = 0.97
"""Distance from hip to ankle, as a share of thigh and shank, from which a leg counts as straight."""
MOST_LEAN = 20.0
"""Degrees by which a camera may look down or up; more is no camera but somebody who lies or leans."""


@dataclass(frozen=True, eq=False)
class Animation:
    """What is drawn, on a stage with x to the right, y up from the floor and z towards the viewer.

    Args:
        steps: ``[T, M, V, 3]`` int16 multiples of ``unit``; joints that were not measured are filled from
            their neighbors in time.
        unit: meters (or pixels) of one step.
        measured: ``[T, M, V]``; a person without any measured joint in a frame is absent from it.
        seconds: duration.
        radius, height: of a cylinder about the y axis that holds nearly all joints, in meters (or pixels).
        flat: a 2-D clip, not to be turned.
        layout: whose bones and parts are drawn.
    """

    steps: npt.NDArray[np.int16]
    unit: float
    measured: Mask
    seconds: float
    radius: float
    height: float
    flat: bool
    layout: JointLayout

    @property
    def points(self) -> Points:
        """``[T, M, V, 3]`` in meters (or pixels)."""
        return self.steps.astype(np.float64) * self.unit

    @property
    def hands(self) -> dict[str, int]:
        """The joints that end the arms, by "L" and "R": the person's own left and right."""
        names = self.layout.joint_names
        ends = {side: (f"{side}_hand", f"{side}_wrist") for side in ("left", "right")}
        found = {side: [names.index(end) for end in ends[side] if end in names] for side in ends}
        return {side[0].upper(): joints[0] for side, joints in found.items() if joints}

    @property
    def trunk(self) -> list[int]:
        """The joints at its four corners, in turn; none where the layout has not all of them."""
        names = self.layout.joint_names
        return [names.index(corner) for corner in TRUNK] if set(TRUNK) <= set(names) else []

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; arrays as base64 of little-endian int16 and of packed bits."""
        frames, persons, joints = self.measured.shape
        parts = {joint: PARTS.index(part) for part, members in self.layout.parts.items() for joint in members}
        names = self.layout.joint_names
        return {
            "shape": [frames, persons, joints],
            "steps": b64encode(self.steps.astype("<i2").tobytes()).decode(),
            "unit": float(f"{self.unit:.9g}"),
            "measured": b64encode(np.packbits(self.measured).tobytes()).decode(),
            "seconds": round(self.seconds, 4),
            "radius": round(self.radius, 4),
            "height": round(self.height, 4),
            "flat": self.flat,
            "bones": [list(bone) for bone in self.layout.bones],
            "parts": [parts[j] for j in range(joints)],
            "head": names.index("head") if "head" in names else -1,
            "trunk": self.trunk,
            "hands": self.hands,
        }


def read_steps(data: dict[str, Any]) -> tuple[npt.NDArray[np.int16], Mask]:
    """The two arrays of :meth:`Animation.to_dict`, as the page's script reads them."""
    shape = data["shape"]
    steps = np.frombuffer(b64decode(data["steps"]), "<i2").reshape(*shape, 3)
    bits = np.unpackbits(np.frombuffer(b64decode(data["measured"]), np.uint8), count=math.prod(shape))
    return steps.astype(np.int16), bits.astype(np.bool_).reshape(shape)


def animations_script(animations: Sequence[Animation]) -> str:
    """The element that player.js reads. JSON that cannot end it: no ``<`` of a text is left as such."""
    text = json.dumps([a.to_dict() for a in animations], separators=(",", ":")).replace("<", "\\u003c")
    return f"<script type='application/json' id='animations'>{text}</script>"


def animate(clip: SkeletonClip, max_frames: int = MAX_FRAMES) -> Animation:
    """Put a clip on the stage: at most ``max_frames`` frames and its two persons of most motion.

    One person faces the viewer, two stand side by side. A camera that looks down makes people lean; where
    legs are straight they are taken to be plumb and the lean of up to 20 degrees is taken out.
    """
    joints, _ = select_persons(clip.joints, MAX_PERSONS)
    joints = joints[:, is_measured(joints).any(axis=(0, 2))]
    layout = clip.layout
    if layout.dimension == 3 and layout.pairs:
        joints = align_heading(joints, layout)
    at = np.linspace(0, len(joints) - 1, min(len(joints), max_frames))
    measured = is_measured(joints)
    points = _on_stage(_filled(joints, measured, at), layout)
    measured = measured[at.round().astype(int)]
    points = _side_by_side(_upright(points, measured, layout), measured)
    known = points[measured] if measured.any() else points.reshape(-1, 3)
    low, high = np.quantile(known, [0.005, 0.995], axis=0)
    points = points - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    known = known - [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]
    unit = float(np.abs(points).max()) / LARGEST or 1.0
    return Animation(
        steps=(points / unit).round().astype(np.int16),
        unit=unit,
        measured=measured,
        seconds=(len(joints) - 1) / clip.fps,
        radius=float(np.quantile(np.hypot(known[:, 0], known[:, 2]), 0.995)),
        height=float(high[1] - low[1]),
        flat=layout.dimension == 2,
        layout=layout,
    )


def _filled(joints: npt.NDArray[np.float32], measured: Mask, at: Points) -> Points:
    """Joints at frames ``at``, linear between those measured; a joint never measured lies at the person's mean."""
    _, persons, count, axes = joints.shape
    filled = np.empty((len(at), persons, count, axes))
    for person in range(persons):
        mean = joints[:, person][measured[:, person]].mean(axis=0)
        for joint in range(count):
            known = np.flatnonzero(measured[:, person, joint])
            for axis in range(axes):
                track = joints[known, person, joint, axis]
                filled[:, person, joint, axis] = np.interp(at, known, track) if len(known) else mean[axis]
    return filled


def _on_stage(points: Points, layout: JointLayout) -> Points:
    """Turned by proper rotations, so that left stays left; who faces the sensor faces the viewer."""
    if layout.dimension == 2:  # pixels, y down
        return np.stack([points[..., 0], -points[..., 1], np.zeros(points.shape[:-1])], axis=-1)
    x, y, z = np.moveaxis(points, -1, 0)
    axes = {0: (-y, x, z), 1: (-x, y, -z), 2: (-x, z, y)}[layout.up]
    return np.stack(axes, axis=-1)


def _upright(points: Points, measured: Mask, layout: JointLayout) -> Points:
    """Turned so that straight legs are plumb, if they lean by no more than a camera would make them."""
    needed = [f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
    if layout.dimension == 2 or not set(needed) <= set(layout.joint_names):
        return points
    legs = [layout.index(name) for name in needed]
    legs_seen = points[measured[..., legs].all(axis=-1)][:, legs].reshape(-1, 2, 3, 3)  # frames, sides, joints, axes
    thigh, shank = legs_seen[:, :, 0] - legs_seen[:, :, 1], legs_seen[:, :, 1] - legs_seen[:, :, 2]
    length = np.linalg.norm(thigh, axis=-1) + np.linalg.norm(shank, axis=-1)
    straight = (np.linalg.norm(thigh + shank, axis=-1) > STRAIGHT * length).all(axis=1)
    if not straight.any():
        return points
    up = np.median((thigh + shank)[straight].mean(axis=1), axis=0)
    up /= np.linalg.norm(up)
    lean = math.degrees(math.acos(min(1.0, up[1])))
    if not 0.1 < lean <= MOST_LEAN:
        return points
    return points @ rotation_matrix(tuple(np.cross(up, [0, 1, 0])), lean).T


def _side_by_side(points: Points, measured: Mask) -> Points:
    """Two people turned onto the x axis, the first to the left."""
    both = np.all(np.any(measured, axis=2), axis=1)
    if points.shape[1] < 2 or not both.any() or not points[..., 2].any():
        return points
    apart = np.median((points[both, 1] - points[both, 0]).mean(axis=1), axis=0)
    return points @ rotation_matrix(1, math.degrees(math.atan2(apart[2], apart[0]))).T
