"""Which joints of a motion capture rig are which joints of the body: tolerant names of the usual rigs.

A joint of a rig stands where its bone begins, so that ``LeftArm`` is the shoulder, ``LeftForeArm`` the elbow and
``LeftHand`` the wrist. ``LeftShoulder`` is the collar bone where there is a ``LeftArm`` as well (CMU, Mixamo, Rokoko),
and the shoulder where there is not (older Biovision rigs). Known are these, 3ds Max's Biped, DAZ, Unity and SMPL.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.skeleton.layout import PARTS, JointLayout
from sugar.skeleton.layouts import LAYOUTS, SMPL24

Weights = Mapping[int, float]
"""A point as a weighted mean of joints of the rig."""

_NOISE = {"joint", "jnt", "mixamorig", "bip", "01", "001"}
# Spaces between the words, digits included, are left out. The first name that a rig has is the one.
_LIMBS = {
    "hip": ("upleg", "thigh", "upperleg", "hip", "femur"),
    "knee": ("leg", "knee", "lowleg", "lowerleg", "shin", "calf", "shank", "tibia"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "toe0", "toe1", "ball", "foot", "footend", "ankleend"),
    "shoulder": ("arm", "uparm", "upperarm", "shldr", "humerus", "shoulder"),
    "collar": ("collar", "clavicle", "shoulder"),
    "elbow": ("forearm", "elbow", "lowarm", "lowerarm", "radius"),
    "wrist": ("wrist", "hand"),
    "hand": ("hand", "palm"),
}
_KNUCKLES = ("handmiddle1", "middle1", "finger2", "handindex1", "index1", "fingerbase", "handend", "wristend")
_MIDDLE = {
    "hip_center": ("hips", "hip", "pelvis", "root"),
    "shoulder_center": ("neck", "neck1", "lowerneck"),
    "head": ("head",),
}
_SMPL_SPINE = {"spine1": 0.2, "spine2": 0.47, "spine3": 0.58}
"""How far along the line from pelvis to neck these are in SMPL's rest pose."""


def body_joints(
    names: Sequence[str], parents: Sequence[int], rest: npt.NDArray[np.float64], layout: JointLayout
) -> dict[str, Weights]:
    """The joints of the body that a rig has, by the names that `sugar.skeleton.retarget` knows.

    Args:
        names: joints of the rig, parents before children; an End Site has its parent's name and ``_end``.
        parents: parent of each joint, -1 for the root.
        rest: ``[J, 3]`` offset of each joint from its parent.
        layout: what it is for. A built-in layout in 3-D takes the names of the usual rigs; a user's own takes its own
            names as they are in the rig (capitals, spaces and underscores aside).

    Raises:
        InputError: shoulders or hips, or joints of the user's own layout, are not found.
    """
    if layout not in LAYOUTS:
        flat = {_flat(name): j for j, name in reversed(list(enumerate(names)))}
        if lacking := [name for name in layout.joint_names if _flat(name) not in flat]:
            raise InputError(f"the rig has no joint {lacking[0]!r} of layout {layout.name}; it has {', '.join(names)}")
        return {name: {flat[_flat(name)]: 1.0} for name in layout.joint_names}
    place: dict[tuple[str, str], int] = {}
    for j, name in enumerate(names):
        place.setdefault(_side_and_word(name), j)
    found: dict[str, Weights] = {}
    for joint, words in _MIDDLE.items():
        if at := [place["", word] for word in words if ("", word) in place]:
            found[joint] = {at[0]: 1.0}
    for side in ("left", "right"):
        found |= {f"{side}_{joint}": weights for joint, weights in _limbs(side, place).items()}
    torso = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if lacking := [name for name in torso if name not in found]:
        raise InputError(
            f"no joint of the rig ({', '.join(names[:8])}, ...) is the {lacking[0]} by its name; give a layout of your "
            "own with the rig's names"
        )
    if {"hip_center", "shoulder_center"} <= found.keys():
        found |= _spine(found, parents, rest, layout)
    if layout == SMPL24:  # its neck is the rig's, and its head the joint below the skull
        found |= {"neck": found["shoulder_center"]} if "shoulder_center" in found else {}
    elif "head" in found and ("", "headend") in place:  # elsewhere it is the middle of the head
        found["head"] = {next(iter(found["head"])): 0.5, place["", "headend"]: 0.5}
    return found


def as_layout(found: Mapping[str, Weights]) -> JointLayout:
    """A layout of just these joints, for `retarget`; its bones mean nothing."""
    joints = tuple(range(len(found)))
    return JointLayout(
        name="bvh",
        joint_names=tuple(found),
        bones=tuple((j, 0) for j in joints[1:]),
        root=0,
        parts={part: joints if part == "hip" else () for part in PARTS},
        pairs=(),
    )


def _limbs(side: str, place: Mapping[tuple[str, str], int]) -> dict[str, Weights]:
    at = {joint: [place[side, word] for word in words if (side, word) in place] for joint, words in _LIMBS.items()}
    first = {joint: found[0] for joint, found in at.items() if found}
    # One joint of the rig is one of the body: a foot that is the ankle, a shoulder that is no collar bone.
    for joint, other in (("foot", "ankle"), ("collar", "shoulder"), ("hand", "wrist")):
        rest = [j for j in at[joint] if j != first.get(other)]
        first.pop(joint, None)
        if rest:
            first[joint] = rest[0]
    limbs: dict[str, Weights] = {joint: {j: 1.0} for joint, j in first.items()}
    knuckle = next((place[side, word] for word in _KNUCKLES if (side, word) in place), None)
    if "hand" not in limbs and "wrist" in first and knuckle is not None:  # the palm
        limbs["hand"] = {first["wrist"]: 0.5, knuckle: 0.5}
    return limbs


def _spine(
    found: Mapping[str, Weights], parents: Sequence[int], rest: npt.NDArray[np.float64], layout: JointLayout
) -> dict[str, Weights]:
    """Points on the line from pelvis to neck along the rig's spine, however many joints it has."""
    (pelvis,), (neck,) = found["hip_center"], found["shoulder_center"]
    chain = [neck]
    while chain[-1] not in (pelvis, -1):
        chain.append(parents[chain[-1]])
    if chain[-1] != pelvis:
        return {}
    chain.reverse()
    if layout == SMPL24 and len(chain) == 5:
        return {f"spine{i}": {chain[i]: 1.0} for i in (1, 2, 3)}
    far = np.cumsum([0.0, *np.linalg.norm(rest[chain[1:]], axis=1)])
    if not far[-1] > 0:
        return {}
    points: dict[str, Weights] = {}
    for name, share in (_SMPL_SPINE if layout == SMPL24 else {"spine": 0.5}).items():
        after = int(np.clip(np.searchsorted(far, share * far[-1]), 1, len(chain) - 1))
        part = float((share * far[-1] - far[after - 1]) / (far[after] - far[after - 1]))
        points[name] = {chain[after - 1]: 1 - part, chain[after]: part}
    return points


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())


def _side_and_word(name: str) -> tuple[str, str]:
    """``LeftUpLeg`` as left and upleg; no side is empty."""
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name.rsplit(":", 1)[-1])]
    words = [word for word in words if word not in _NOISE]
    for at in (0, -1, -2):  # -2: LeftFoot_end is named by its side's last word in other rigs: foot.L_end
        if len(words) > 1 and at >= -len(words) and words[at] in ("left", "l", "right", "r"):
            return ("left" if words[at][0] == "l" else "right"), "".join(
                w for i, w in enumerate(words) if i != at % len(words)
            )
    joined = "".join(words)
    for side in ("left", "right"):
        if joined.startswith(side):
            return side, joined.removeprefix(side)
    return "", joined
