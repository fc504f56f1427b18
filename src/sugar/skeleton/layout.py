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
