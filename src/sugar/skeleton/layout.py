"""Joint layouts: which joints a skeleton has, how they hang together, and which are left and right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.files import write_text

PARTS = ("head", "hand", "arm", "hip", "leg", "foot")
"""The six body parts of the paper's motion knowledge."""


@dataclass(frozen=True)
class JointLayout:
    """The joints of one kind of skeleton.

    Args:
        name: short name, e.g. ``"kinect20"``.
        joint_names: one lower snake case name a joint; their order is the order of the joint axis.
        bones: ``(child, parent)`` joint indices; together they are a tree that hangs from ``root``.
        root: the joint that has no parent.
        parts: joints of each of the six parts head, hand, arm, hip, leg, foot; every joint is in exactly one.
        pairs: ``(left, right)`` joint indices.
        dimension: 3 (metres) or 2 (pixels).
        up: index of the vertical axis.

    Raises:
        InputError: the parts of the description contradict each other.
    """

    name: str
    joint_names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    root: int
    parts: Mapping[str, tuple[int, ...]]
    pairs: tuple[tuple[int, int], ...]
    dimension: int = 3
    up: int = 1

    def __post_init__(self) -> None:
        joints = range(self.num_joints)
        if not joints or len(set(self.joint_names)) != self.num_joints:
            raise InputError(f"layout {self.name!r}: joint_names must be there and differ from each other")
        if self.dimension not in (2, 3) or self.up not in range(self.dimension):
            raise InputError(f"layout {self.name!r}: dimension must be 2 or 3 and up one of its axes")
        used = [self.root, *(j for pair in (*self.bones, *self.pairs) for j in pair)]
        used += [j for part in self.parts.values() for j in part]
        if outside := sorted(set(used) - set(joints)):
            raise InputError(f"layout {self.name!r}: joint {outside[0]} is not one of 0..{self.num_joints - 1}")
        self._check_tree()
        if set(self.parts) != set(PARTS):
            raise InputError(f"layout {self.name!r}: parts must be exactly {', '.join(PARTS)}")
        if sorted(j for part in self.parts.values() for j in part) != list(joints):
            raise InputError(f"layout {self.name!r}: every joint must be in exactly one of the parts")
        if len({j for pair in self.pairs for j in pair}) != 2 * len(self.pairs):
            raise InputError(f"layout {self.name!r}: a joint may be in only one left/right pair")

    def _check_tree(self) -> None:
        parent_of = dict(self.bones)
        if len(self.bones) != self.num_joints - 1 or len(parent_of) != len(self.bones):
            raise InputError(f"layout {self.name!r}: bones must give each joint but the root one parent")
        for joint in range(self.num_joints):
            at, steps = joint, 0
            while at != self.root:
                at, steps = parent_of.get(at, -1), steps + 1
                if at < 0 or steps > self.num_joints:
                    raise InputError(
                        f"layout {self.name!r}: bones do not lead from {self.joint_names[joint]} to the root"
                    )

    # A mapping has no hash, and name and joints are enough to tell layouts apart.
    def __hash__(self) -> int:
        return hash((self.name, self.joint_names))

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint; the root's parent is the root."""
        parent_of = dict(self.bones)
        return tuple(parent_of.get(j, j) for j in range(self.num_joints))

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """The permutation of joints that swaps left and right."""
        other = dict(self.pairs) | {right: left for left, right in self.pairs}
        return tuple(other.get(j, j) for j in range(self.num_joints))

    def index(self, joint_name: str) -> int:
        """Index of a joint by its name.

        Raises:
            InputError: the layout has no such joint.
        """
        try:
            return self.joint_names.index(joint_name)
        except ValueError:
            raise InputError(f"layout {self.name!r} has no joint {joint_name!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """The layout as plain JSON data, joints by name."""
        names = self.joint_names
        return {
            "name": self.name,
            "joint_names": list(names),
            "bones": [[names[child], names[parent]] for child, parent in self.bones],
            "root": names[self.root],
            "parts": {part: [names[j] for j in joints] for part, joints in self.parts.items()},
            "pairs": [[names[left], names[right]] for left, right in self.pairs],
            "dimension": self.dimension,
            "up": self.up,
        }

    @classmethod
    def from_dict(cls, data: Any, where: str = "layout") -> "JointLayout":
        """The inverse of :meth:`to_dict`; joints by name or by index. ``where`` names the file in errors."""
        fields = {"name", "joint_names", "bones", "root", "parts", "pairs", "dimension", "up"}
        if not isinstance(data, dict) or not fields - {"dimension", "up"} <= set(data) <= fields:
            raise InputError(f"{where}: a layout needs the fields {', '.join(sorted(fields))} and no others")
        try:
            names = tuple(str(n) for n in data["joint_names"])

            def joint(value: str | int) -> int:
                return names.index(value) if isinstance(value, str) else int(value)

            return cls(
                name=str(data["name"]),
                joint_names=names,
                bones=tuple((joint(child), joint(parent)) for child, parent in data["bones"]),
                root=joint(data["root"]),
                parts={part: tuple(joint(j) for j in joints) for part, joints in data["parts"].items()},
                pairs=tuple((joint(left), joint(right)) for left, right in data["pairs"]),
                dimension=int(data.get("dimension", 3)),
                up=int(data.get("up", 1)),
            )
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{where}: the layout is not well formed ({error})") from None

    @classmethod
    def from_json(cls, path: str | Path) -> "JointLayout":
        """Read a user's own layout from a JSON file.

        Raises:
            InputError: the file is absent, not JSON or not a layout.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"layout file {path}: {error.strerror or error}") from None
        except ValueError as error:
            raise InputError(f"layout file {path}: not JSON ({error})") from None
        return cls.from_dict(data, where=f"layout file {path}")

    def to_json(self, path: str | Path) -> None:
        """Write the layout so that :meth:`from_json` reads it back."""
        write_text(Path(path), json.dumps(self.to_dict(), indent=1) + "\n")


def _limb(*joints: str) -> list[str]:
    return [f"{side}_{joint}" for side in ("left", "right") for joint in joints]


def _layout(name: str, joint_names: list[str], parents: dict[str, str], parts: dict[str, list[str]]) -> JointLayout:
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
    )


def _chains(*chains: str) -> dict[str, str]:
    """Child to parent from chains ``"root child grandchild"``; ``*`` stands for left and right."""
    parents: dict[str, str] = {}
    for chain in chains:
        for side in ("left_", "right_") if "*" in chain else ("",):
            joints = chain.replace("*", side).split()
            parents.update(zip(joints[1:], joints[:-1], strict=True))
    return parents


# Both Kinects measure in metres with x to the sensor's left, y up and z away from the sensor, so a person who
# faces the sensor has the left joints at smaller x. NW-UCLA's files bear it out: in 92 % of their frames the
# feet point to the front that follows from "up" and "left to right shoulder" (their cross product).
KINECT20 = _layout(
    "kinect20",
    [
        *("hip_centre", "spine", "shoulder_centre", "head"),
        *_limb("shoulder", "elbow", "wrist", "hand"),
        *_limb("hip", "knee", "ankle", "foot"),
    ],
    _chains(
        "hip_centre spine shoulder_centre head",
        "shoulder_centre *shoulder *elbow *wrist *hand",
        "hip_centre *hip *knee *ankle *foot",
    ),
    {
        "head": ["shoulder_centre", "head"],
        "hand": _limb("hand"),
        "arm": _limb("shoulder", "elbow", "wrist"),
        "hip": ["hip_centre", "spine", *_limb("hip")],
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

LAYOUTS = (KINECT20, NTU25)


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
