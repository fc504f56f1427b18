"""Clips from one joint layout to another: joints by their names, and documented estimates of those that lack.

A joint of the same name is taken as it is, and so is one that other layouts call otherwise (`_SAME`). Every other
joint is a weighted sum of joints (`_RULES`), which may be estimates themselves. Shares of segments are those of
Drillis and Contini (1966), offsets of the face are round numbers for a head 0.22 m above the shoulders.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout

Values = npt.NDArray[np.float64]
Weights = Mapping[str, float]

# One joint under several names; rules use the name on the right.
_SAME = {
    **{"spine_base": "hip_center", "pelvis": "hip_center", "spine_shoulder": "shoulder_center"},
    **{"spine_mid": "spine", "torso": "spine", "spine2": "spine"},
    **{f"{side}_foot_index": f"{side}_big_toe" for side in ("left", "right")},
}

_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")

# The first rule whose joints can all be had holds. Weights of joints add up to 1. `front` stands for vectors:
# face_front points where the face does and is as long as head to shoulder_center, left_front is at a right angle
# to the shank and as long. They need depth: of 2-D sources they are zero, so that a nose is the head.
_RULES: dict[str, tuple[Weights, ...]] = {
    "hip_center": ({"left_hip": 0.5, "right_hip": 0.5},),
    "shoulder_center": ({"left_shoulder": 0.5, "right_shoulder": 0.5},),
    "spine": ({"hip_center": 0.5, "shoulder_center": 0.5},),
    "spine1": ({"hip_center": 0.8, "shoulder_center": 0.2},),
    "spine3": ({"hip_center": 0.4, "shoulder_center": 0.6},),
    "neck": ({"shoulder_center": 0.7, "head": 0.3}, {"shoulder_center": 1.0}),
    "head": (
        {"left_ear": 0.5, "right_ear": 0.5},
        {"left_eye": 0.5, "right_eye": 0.5},
        {"nose": 1.0},
        {"head_top": 0.6, "shoulder_center": 0.4},
    ),
    "head_top": ({"head": 1.6, "shoulder_center": -0.6},),
    "nose": ({"head": 0.9, "shoulder_center": 0.1, "face_front": 0.45},),
}
# Each for the left; `other` is the right side. The right's are the same with the sides exchanged.
_SIDED: dict[str, tuple[Weights, ...]] = {
    "collar": ({"shoulder_center": 2 / 3, "shoulder": 1 / 3},),
    # Palm center and finger tips lie 0.37 and 0.74 forearms beyond the wrist.
    "wrist": ({"elbow": 1 - 1 / 1.37, "hand": 1 / 1.37},),
    "hand": ({"index": 0.5, "pinky": 0.5}, {"wrist": 1.37, "elbow": -0.37}),
    "hand_tip": ({"hand": 2.0, "wrist": -1.0},),
    "thumb": ({"hand": 1.5, "wrist": -0.5},),
    # Knuckles of the first and the last finger; which way the palm looks is not known.
    "index": ({"hand": 1.1, "wrist": -0.1},),
    "pinky": ({"hand": 1.1, "wrist": -0.1},),
    "ankle": ({"knee": 0.15, "foot": 0.85},),
    # The middle of the foot, two thirds of the way to the toes, a little below the ankle.
    "foot": ({"ankle": 1 / 3, "big_toe": 2 / 3}, {"ankle": 1.1, "knee": -0.1, "front": 0.36}),
    "big_toe": ({"foot": 1.5, "ankle": -0.5},),
    "small_toe": ({"big_toe": 0.9, "ankle": 0.1, "hip": 0.25, "other hip": -0.25},),
    "heel": ({"ankle": 1.1, "knee": -0.1, "front": -0.15},),
    "ear": ({"head": 1.0, "shoulder": 0.2, "other shoulder": -0.2},),
    "eye": ({"head": 1.1, "shoulder_center": -0.1, "face_front": 0.38, "shoulder": 0.09, "other shoulder": -0.09},),
    "eye_inner": ({"eye": 0.8, "other eye": 0.2},),
    "eye_outer": ({"eye": 1.15, "other eye": -0.15},),
    "mouth": ({"nose": 1.8, "eye": -0.05, "other eye": -0.75},),
}
_MIDDLE = {*_RULES, "face_front"}


def _of_side(side: str, other: str, joint: str) -> str:
    if joint in _MIDDLE:
        return joint
    return f"{other}_{joint.removeprefix('other ')}" if joint.startswith("other ") else f"{side}_{joint}"


for _side, _other in (("left", "right"), ("right", "left")):
    for _joint, _options in _SIDED.items():
        _RULES[f"{_side}_{_joint}"] = tuple(
            {_of_side(_side, _other, j): weight for j, weight in option.items()} for option in _options
        )

# A vector is the cross product of a segment (to, from) and left to right, as long as the segment.
_VECTORS = {
    "face_front": ("head", "shoulder_center", "right_shoulder", "left_shoulder"),
    "left_front": ("left_knee", "left_ankle", "right_hip", "left_hip"),
    "right_front": ("right_knee", "right_ankle", "right_hip", "left_hip"),
}


def retarget(clip: SkeletonClip, layout: JointLayout) -> SkeletonClip:
    """The clip in another layout, vectorized over frames and persons.

    The confidence of an estimate is the least of its sources; where a source was not measured it is zero and so
    is the joint. 3-D becomes 2-D as the sensor sees it: without depth, x to the right and y down, still in meters.

    Raises:
        InputError: the layout's shoulders or hips cannot be had, or a 2-D clip is to become 3-D.
    """
    source = clip.layout
    if source == layout:
        return clip
    where = f"clip {clip.clip_id!r}: " if clip.clip_id else ""
    if source.dimension < layout.dimension:
        raise InputError(f"{where}a 2-D clip of layout {source.name} cannot become 3-D layout {layout.name}")
    if lacking := [name for name in _TORSO if name not in source.joint_names]:
        raise InputError(f"{where}layout {source.name} has no joint {lacking[0]!r}, so it cannot become {layout.name}")
    shape = (*clip.joints.shape[:2], layout.num_joints)
    joints = np.zeros((*shape, layout.dimension), dtype=np.float32)
    confidence = None if clip.confidence is None else np.zeros(shape, dtype=np.float32)
    known = _Known(clip)
    for joint, name in enumerate(_plan(source, layout)):
        if name is None:
            continue
        values, trust = known.get(name)
        joints[:, :, joint] = _project(values, source, layout)
        # All zero would say "not measured": MediaPipe puts the hips' middle there.
        joints[:, :, joint, 0] += np.where((trust >= 0) & ~joints[:, :, joint].any(axis=2), 1e-6, 0)
        if confidence is not None:
            confidence[:, :, joint] = np.maximum(trust, 0)
    return replace(clip, joints=joints, layout=layout, confidence=confidence)


def missing_joints(source: JointLayout, target: JointLayout) -> tuple[str, ...]:
    """Names of the target's joints that a clip of the source layout cannot give, not even by an estimate."""
    return tuple(joint for joint, name in zip(target.joint_names, _plan(source, target), strict=True) if name is None)


def _plan(source: JointLayout, target: JointLayout) -> list[str | None]:
    """By target joint the name to ask `_Known` for; None where it cannot be had."""
    have = {*source.joint_names, *(_SAME.get(name, name) for name in source.joint_names)}
    # Where no other joint is between the shoulders, it is the neck that is there.
    low = not {"shoulder_center", "spine_shoulder", "spine3"} & set(target.joint_names)
    plan: list[str | None] = []
    for joint in target.joint_names:
        name = joint if joint in source.joint_names else _SAME.get(joint, joint)
        if name == "neck" and low and name not in have:
            name = "shoulder_center"
        plan.append(name if _rule(name, have) is not None else None)
    return plan


def _rule(name: str, have: set[str], above: tuple[str, ...] = ()) -> Weights | None:
    """The first rule that holds for a joint; None where there is none. ``above`` are joints it may not rest on."""
    if name in have:
        return {name: 1.0}
    if name in above:
        return None
    above = (*above, name)
    for option in (dict.fromkeys(_VECTORS[name], 0.0),) if name in _VECTORS else _RULES.get(name, ()):
        if all(_rule(joint, have, above) is not None for joint in option):
            return option
    return None


class _Known:
    """Joints of a clip by name, estimated when first asked for: values ``[T, M, C]`` and trust ``[T, M]``.

    Trust is the confidence (1 without one), and -1 where the joint is not measured.
    """

    def __init__(self, clip: SkeletonClip) -> None:
        self._found: dict[str, tuple[Values, Values]] = {}
        self._up = clip.layout.up
        for joint, name in enumerate(clip.layout.joint_names):
            values = clip.joints[:, :, joint].astype(np.float64)
            trust = np.ones(values.shape[:2]) if clip.confidence is None else clip.confidence[:, :, joint]
            found = values, np.where(values.any(axis=2), trust, -1.0)
            self._found[name] = found
            self._found.setdefault(_SAME.get(name, name), found)
        self._have = set(self._found)

    def get(self, name: str) -> tuple[Values, Values]:
        if name not in self._found:
            rule = _rule(name, self._have)
            assert rule is not None, f"no rule for {name}"
            parts = [self.get(joint) for joint in rule]
            trust = np.min([trust for _, trust in parts], axis=0)
            if name in _VECTORS:
                end, start, right, left = (self.get(joint)[0] for joint in _VECTORS[name])
                values = _front(end - start, right - left)
            else:
                values = np.sum([weight * part[0] for weight, part in zip(rule.values(), parts, strict=True)], axis=0)
            self._found[name] = np.where((trust >= 0)[..., None], values, 0.0), trust
        return self._found[name]


def _front(segment: Values, right: Values) -> Values:
    """``[T, M, C]``: at a right angle to both, as long as the segment; zero in two dimensions."""
    if segment.shape[-1] == 2:
        return np.zeros_like(segment)
    across = np.cross(segment, right)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    return np.asarray(across / np.maximum(length, 1e-12) * np.linalg.norm(segment, axis=-1, keepdims=True))


def _project(values: Values, source: JointLayout, target: JointLayout) -> Values:
    """The coordinates in the target's axes."""
    if source.dimension == 2:
        return values if source.up == target.up else values[..., ::-1]
    # Even permutations keep left left: x to the sensor's left, up, depth.
    side, up, depth = ((source.up + step) % 3 for step in (2, 0, 1))
    result = np.zeros((*values.shape[:2], target.dimension))
    if target.dimension == 2:
        result[..., 1 - target.up], result[..., target.up] = -values[..., side], -values[..., up]
        return result
    for step, axis in ((2, side), (0, up), (1, depth)):
        result[..., (target.up + step) % 3] = values[..., axis]
    return result
