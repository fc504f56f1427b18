"""The joint layouts that are built in, by the name of the sensor or of the data set."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout


def _limb(*joints: str) -> list[str]:
    return [f"{side}_{joint}" for side in ("left", "right") for joint in joints]


def _sides(*joints: str, first: str = "left") -> list[str]:
    """Left and right in turn, joint by joint."""
    sides = ("left", "right") if first == "left" else ("right", "left")
    return [f"{side}_{joint}" for joint in joints for side in sides]


def _layout(
    name: str, joint_names: list[str], parents: dict[str, str], parts: dict[str, list[str]], dimension: int = 3
) -> JointLayout:
    index = {joint: i for i, joint in enumerate(joint_names)}
    (root,) = set(joint_names) - set(parents)
    return JointLayout(
        name=name,
        joint_names=tuple(joint_names),
        bones=tuple((index[child], index[parents[child]]) for child in joint_names if child in parents),
        root=index[root],
        parts={part: tuple(sorted(index[j] for j in joints)) for part, joints in parts.items()},
        pairs=tuple(
            (index[j], index["right_" + j.removeprefix("left_")]) for j in joint_names if j.startswith("left_")
        ),
        dimension=dimension,
    )


def with_dimension(layout: JointLayout, dimension: Literal[2, 3]) -> JointLayout:
    """The same joints in pixels (2) or in meters (3); the name says so, such as ``coco17_3d``.

    Raises:
        InputError: the vertical axis of a 3-D layout is not one of the image's.
    """
    if layout.dimension == dimension:
        return layout
    return replace(layout, name=f"{layout.name}_{dimension}d", dimension=dimension)


def _chains(*chains: str) -> dict[str, str]:
    """Child to parent from chains ``"root child grandchild"``; ``*`` stands for left and right."""
    parents: dict[str, str] = {}
    for chain in chains:
        for side in ("left_", "right_") if "*" in chain else ("",):
            joints = chain.replace("*", side).split()
            parents.update(zip(joints[1:], joints[:-1], strict=True))
    return parents


# Both Kinects measure in meters with x to the sensor's left, y up and z away from the sensor, so a person who
# faces the sensor has the left joints at smaller x. NW-UCLA's files bear it out: in 92 % of their frames the
# feet point to the front that follows from "up" and "left to right shoulder" (their cross product).
KINECT20 = _layout(
    "kinect20",
    [
        *("hip_center", "spine", "shoulder_center", "head"),
        *_limb("shoulder", "elbow", "wrist", "hand"),
        *_limb("hip", "knee", "ankle", "foot"),
    ],
    _chains(
        "hip_center spine shoulder_center head",
        "shoulder_center *shoulder *elbow *wrist *hand",
        "hip_center *hip *knee *ankle *foot",
    ),
    {
        "head": ["shoulder_center", "head"],
        "hand": _limb("hand"),
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": ["hip_center", "spine", *_limb("hip")],
        "leg": _limb("knee", "ankle"),
        "foot": _limb("foot"),
    },
)
"""Kinect v1, the order of NW-UCLA, UTD-MHAD and MSR Action3D."""

NTU25 = _layout(
    "ntu25",
    [
        *("spine_base", "spine_mid", "neck", "head"),
        *_limb("shoulder", "elbow", "wrist", "hand"),
        *_limb("hip", "knee", "ankle", "foot"),
        *("spine_shoulder", *_limb("hand_tip", "thumb")),
    ],
    _chains(
        "spine_base spine_mid spine_shoulder neck head",
        "spine_shoulder *shoulder *elbow *wrist *hand *hand_tip",
        "*hand *thumb",
        "spine_base *hip *knee *ankle *foot",
    ),
    {
        "head": ["neck", "head", "spine_shoulder"],
        "hand": _limb("hand", "hand_tip", "thumb"),
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": ["spine_base", "spine_mid", *_limb("hip")],
        "leg": _limb("knee", "ankle"),
        "foot": _limb("foot"),
    },
)
"""Kinect v2, the order of NTU RGB+D and PKU-MMD."""

KINECT15 = _layout(
    "kinect15",
    [
        *("head", "neck", "torso", "left_shoulder", "left_elbow", "right_shoulder", "right_elbow"),
        *("left_hip", "left_knee", "right_hip", "right_knee"),
        *("left_hand", "right_hand", "left_foot", "right_foot"),
    ],
    _chains("torso neck head", "neck *shoulder *elbow *hand", "torso *hip *knee *foot"),
    {
        "head": ["head", "neck"],
        "hand": _limb("hand"),
        "arm": _limb("shoulder", "elbow"),
        "hip": ["torso", *_limb("hip")],
        "leg": _limb("knee"),
        "foot": _limb("foot"),
    },
)
"""Kinect with OpenNI/NiTE, the order of CAD-60; no wrists, no ankles, and the torso is the root."""

SMPL24 = _layout(
    "smpl24",
    [
        *("pelvis", *_sides("hip"), "spine1", *_sides("knee"), "spine2", *_sides("ankle"), "spine3", *_sides("foot")),
        *("neck", *_sides("collar"), "head", *_sides("shoulder", "elbow", "wrist", "hand")),
    ],
    _chains(
        "pelvis spine1 spine2 spine3 neck head",
        "spine3 *collar *shoulder *elbow *wrist *hand",
        "pelvis *hip *knee *ankle *foot",
    ),
    {
        "head": ["neck", "head"],
        "hand": _limb("hand"),
        "arm": _limb("collar", "shoulder", "elbow", "wrist"),
        "hip": ["pelvis", "spine1", "spine2", "spine3", *_limb("hip")],
        "leg": _limb("knee", "ankle"),
        "foot": _limb("foot"),
    },
)
"""The joints of the SMPL body model in its order."""

# The layouts below measure no hips center (but BODY_25 and Halpe) and some no neck. Their tree hangs from a joint
# on the body's middle line, so that it is the same mirrored, and each hip hangs from the neck or its shoulder.
_FACE = ("nose", *_limb("eye", "ear"))

COCO17 = _layout(
    "coco17",
    ["nose", *_sides("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")],
    _chains("nose *eye *ear", "nose *shoulder *elbow *wrist", "*shoulder *hip *knee *ankle"),
    {
        "head": list(_FACE),
        "hand": [],
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": _limb("hip"),
        "leg": _limb("knee", "ankle"),
        "foot": [],
    },
    dimension=2,
)
"""COCO key points, the order of HRNet, ViTPose and most 2-D estimators; the nose is the root."""

SMARTHOME13 = _layout(
    "smarthome13",
    [*_sides("ankle", "knee", "hip", "wrist", "elbow", "shoulder", first="right"), "head"],
    _chains("head *shoulder *elbow *wrist", "*shoulder *hip *knee *ankle"),
    {
        "head": ["head"],
        "hand": [],
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": _limb("hip"),
        "leg": _limb("knee", "ankle"),
        "foot": [],
    },
    dimension=2,
)
"""Toyota Smarthome, the order of LCR-Net; the head is the root."""

OPENPOSE18 = _layout(
    "openpose18",
    [
        *("nose", "neck"),
        *(f"{side}_{joint}" for side in ("right", "left") for joint in ("shoulder", "elbow", "wrist")),
        *(f"{side}_{joint}" for side in ("right", "left") for joint in ("hip", "knee", "ankle")),
        *_sides("eye", "ear", first="right"),
    ],
    _chains("neck nose *eye *ear", "neck *shoulder *elbow *wrist", "neck *hip *knee *ankle"),
    {
        "head": ["neck", *_FACE],
        "hand": [],
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": _limb("hip"),
        "leg": _limb("knee", "ankle"),
        "foot": [],
    },
    dimension=2,
)
"""OpenPose's COCO model, the order of Kinetics-Skeleton; its neck, the middle of the shoulders, is the root."""

OPENPOSE25 = _layout(
    "openpose25",
    [
        *("nose", "neck"),
        *(f"{side}_{joint}" for side in ("right", "left") for joint in ("shoulder", "elbow", "wrist")),
        "hip_center",
        *(f"{side}_{joint}" for side in ("right", "left") for joint in ("hip", "knee", "ankle")),
        *_sides("eye", "ear", first="right"),
        *_limb("big_toe", "small_toe", "heel"),
    ],
    _chains(
        "hip_center neck nose *eye *ear",
        "neck *shoulder *elbow *wrist",
        "hip_center *hip *knee *ankle *big_toe *small_toe",
        "*ankle *heel",
    ),
    {
        "head": ["neck", *_FACE],
        "hand": [],
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": ["hip_center", *_limb("hip")],
        "leg": _limb("knee", "ankle"),
        "foot": _limb("big_toe", "small_toe", "heel"),
    },
    dimension=2,
)
"""OpenPose's BODY_25."""

HALPE26 = _layout(
    "halpe26",
    [
        "nose",
        *_sides("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
        *("head_top", "neck", "hip_center"),
        *_sides("big_toe", "small_toe", "heel"),
    ],
    _chains(
        "hip_center neck head_top",
        "neck nose *eye *ear",
        "neck *shoulder *elbow *wrist",
        "hip_center *hip *knee *ankle *big_toe *small_toe",
        "*ankle *heel",
    ),
    {
        "head": ["neck", "head_top", *_FACE],
        "hand": [],
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": ["hip_center", *_limb("hip")],
        "leg": _limb("knee", "ankle"),
        "foot": _limb("big_toe", "small_toe", "heel"),
    },
    dimension=2,
)
"""Halpe full body without hands and face, the order of AlphaPose and RTMPose. Its head is the top of the head."""

BLAZEPOSE33 = _layout(
    "blazepose33",
    [
        *("nose", *_limb("eye_inner", "eye", "eye_outer"), *_sides("ear", "mouth")),
        *_sides("shoulder", "elbow", "wrist", "pinky", "index", "thumb"),
        *_sides("hip", "knee", "ankle", "heel", "foot_index"),
    ],
    _chains(
        "nose *eye_inner *eye *eye_outer *ear",
        "nose *mouth",
        "nose *shoulder *elbow *wrist *index",
        "*wrist *pinky",
        "*wrist *thumb",
        "*shoulder *hip *knee *ankle *foot_index",
        "*ankle *heel",
    ),
    {
        "head": ["nose", *_limb("eye_inner", "eye", "eye_outer", "ear", "mouth")],
        "hand": _limb("pinky", "index", "thumb"),
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": _limb("hip"),
        "leg": _limb("knee", "ankle"),
        "foot": _limb("heel", "foot_index"),
    },
)
"""MediaPipe's BlazePose. Its world landmarks are in meters, y down and z away: readers turn x and y round."""

COCO17_3D = with_dimension(COCO17, 3)
SMARTHOME13_3D = with_dimension(SMARTHOME13, 3)
BLAZEPOSE33_2D = with_dimension(BLAZEPOSE33, 2)

LAYOUTS = (
    *(KINECT20, NTU25, KINECT15, SMPL24, BLAZEPOSE33, COCO17_3D, SMARTHOME13_3D),
    *(COCO17, SMARTHOME13, OPENPOSE18, OPENPOSE25, HALPE26, BLAZEPOSE33_2D),
)


def get_layout(name_or_path: str | Path) -> JointLayout:
    """A built-in layout by its name, or a user's own by the path of its JSON file.

    Raises:
        InputError: neither a built-in name nor a readable layout file.
    """
    for layout in LAYOUTS:
        if layout.name == str(name_or_path):
            return layout
    if Path(name_or_path).suffix == ".json":
        return JointLayout.from_json(name_or_path)
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise InputError(f"unknown layout {str(name_or_path)!r}: use one of {known} or a .json file")
