"""Joint layouts: which joints a skeleton has, how they hang together, and which are left and right."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.files import write_text

PARTS = ("head", "hand", "arm", "hip", "leg", "foot")
"""The six body parts of the paper's motion knowledge."""


def plain_joint_name(name: str) -> str:
    """A joint's name as layouts have it, in lower snake case: ``Left Wrist`` is ``left_wrist``."""
    return re.sub(r"[ .\-]+", "_", name.strip()).lower()


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
        dimension: 3 (meters) or 2 (pixels).
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
        joints, names = range(self.num_joints), self.joint_names
        if not joints:
            raise InputError(f"layout {self.name!r}: joint_names names no joint")
        if twice := _twice(names):
            raise InputError(f"layout {self.name!r}: joint_names has {twice} twice")
        if self.dimension not in (2, 3) or self.up not in range(self.dimension):
            raise InputError(f"layout {self.name!r}: dimension must be 2 or 3 and up one of its axes")
        used = [self.root, *(j for pair in (*self.bones, *self.pairs) for j in pair)]
        used += [j for part in self.parts.values() for j in part]
        if outside := sorted(set(used) - set(joints)):
            raise InputError(f"layout {self.name!r}: joint {outside[0]} is not one of 0..{self.num_joints - 1}")
        self._check_tree()
        if set(self.parts) != set(PARTS):
            wrong = [f"{part} is missing" for part in PARTS if part not in self.parts]
            wrong += [f"{part!r} is none of them" for part in self.parts if part not in PARTS]
            raise InputError(f"layout {self.name!r}: parts must be exactly {', '.join(PARTS)}; {wrong[0]}")
        used = [j for part in self.parts.values() for j in part]
        if twice := _twice([names[j] for j in used]):
            raise InputError(f"layout {self.name!r}: {twice} is in the parts twice; leave it in one")
        if loose := [names[j] for j in sorted(set(joints) - set(used))]:
            raise InputError(
                f"layout {self.name!r}: {_listed(loose)} in none of the parts; put each joint into one of "
                f"{', '.join(PARTS)} (a spine or chest into hip, as the built-in layouts do)"
            )
        if twice := _twice([names[j] for pair in self.pairs for j in pair]):
            raise InputError(f"layout {self.name!r}: {twice} is in two left/right pairs; leave it in one")

    def _check_tree(self) -> None:
        parent_of, names = dict(self.bones), self.joint_names
        if self.root in parent_of:
            raise InputError(
                f"layout {self.name!r}: bones give the root {names[self.root]} a parent "
                f"({names[parent_of[self.root]]}); take that bone out"
            )
        if twice := _twice([names[child] for child, _ in self.bones]):
            raise InputError(f"layout {self.name!r}: bones give {twice} two parents; they are [child, parent] each")
        if lone := [name for j, name in enumerate(names) if j not in parent_of and j != self.root]:
            raise InputError(
                f"layout {self.name!r}: {_listed(lone)} without a parent in bones, where each joint but the root "
                f'needs one: ["{lone[0]}", PARENT]'
            )
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

    @cached_property
    def trunk_pairs(self) -> tuple[tuple[int, int], ...]:
        """Left and right of shoulders and hips, which tell where the body faces; in want of them all pairs."""
        trunk = ("left_shoulder", "left_hip")
        return tuple(pair for pair in self.pairs if self.joint_names[pair[0]] in trunk) or self.pairs

    @property
    def level_axes(self) -> tuple[int, ...]:
        """The horizontal axes: two of three dimensions, x first where y or z is up; one of an image."""
        return tuple(axis for axis in range(self.dimension) if axis != self.up)

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
        """The inverse of :meth:`to_dict`; joints by name, in any case, or by index.

        ``where`` names the file in errors.
        """
        fields = ("name", "joint_names", "bones", "root", "parts", "pairs", "dimension", "up")
        if not isinstance(data, dict):
            raise InputError(f"{where}: a layout needs the fields {', '.join(fields)}")
        if unknown := [key for key in data if key not in fields]:
            raise InputError(
                f"{where}: field {unknown[0]!r} is unknown; a layout has {', '.join(fields)} and no others"
            )
        if lacking := [key for key in fields[:-2] if key not in data]:
            raise InputError(f"{where}: field {lacking[0]!r} is missing; a layout needs {', '.join(fields[:-2])}")
        try:
            names = tuple(plain_joint_name(str(n)) for n in data["joint_names"])
            place = {name: j for j, name in enumerate(names)}

            def joint(value: object, of: str) -> int:
                if isinstance(value, int) and not isinstance(value, bool):
                    return value
                if (name := plain_joint_name(str(value))) in place:
                    return place[name]
                near = difflib.get_close_matches(name, names, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise InputError(f"{of}: {value!r} is not one of the joint_names{hint}")

            def pairs(of: str, ends: str) -> tuple[tuple[int, int], ...]:
                for pair in data[of]:
                    if not isinstance(pair, list | tuple) or len(pair) != 2:
                        raise InputError(f"{of} must be pairs of joints, [{ends}] each, not {pair!r}")
                return tuple((joint(first, of), joint(second, of)) for first, second in data[of])

            return cls(
                name=str(data["name"]),
                joint_names=names,
                bones=pairs("bones", "child, parent"),
                root=joint(data["root"], "root"),
                parts={part: tuple(joint(j, f"part {part}") for j in own) for part, own in data["parts"].items()},
                pairs=pairs("pairs", "left, right"),
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


def _twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def _listed(names: Sequence[str]) -> str:
    """Such as ``chest and tail are``."""
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
