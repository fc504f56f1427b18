"""BVH motion capture (Biovision hierarchy): a tree of joints with offsets, and rotations frame by frame.

Positions follow by forward kinematics: a joint lies at its OFFSET in its parent's axes, which are turned by the
parent's rotation channels in the order in which the file names them. Position channels are added to the OFFSET of the
root, and stand in for the OFFSET of any other joint, as the usual exporters mean them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.clip_files import upright
from sugar.datasets.formats.parsing.bvh_names import Weights, as_layout, body_joints
from sugar.datasets.formats.parsing.last_number import check_last_number
from sugar.datasets.formats.parsing.path_labels import LabelSource, check_pattern, path_values
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, one_each, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import LAYOUTS, get_layout
from sugar.skeleton.retarget import retarget

_CHANNELS = {
    f"{axis.lower()}{kind}": (kind, "xyz".index(axis.lower())) for axis in "XYZ" for kind in ("position", "rotation")
}
_MAX_JOINTS = 1000
_MAX_FRAMES = 1_000_000
_CHUNK = 4096
"""Frames computed at a time, so that rotations of all joints and frames are never in memory at once."""


@dataclass(frozen=True)
class BvhReader:
    """BVH motion capture files, one clip a file."""

    layout: str = "kinect20"
    """Joint layout of the clips: a built-in one in 3-D, for which joints are known by the usual names and others
    estimated (`sugar.skeleton.retarget`), or a JSON file whose joints have the names of the rig's."""
    scale: float = 0.01
    """Meters in one unit of the files: 0.01 for centimeters, 0.0564 for the CMU library."""
    up: Literal["y", "z"] = "y"
    """The vertical axis of the files."""
    fps: float | None = None
    """Frames a second; left out: the file's Frame Time."""
    label: LabelSource = "folder"
    """Where a clip's class is said: the folder of its file, or the pattern on its path."""
    pattern: str | None = None
    """A regular expression found in the file's path without its ending, with any of the groups (?P<label>..),
    (?P<subject>..), (?P<camera>..), (?P<setup>..), (?P<trial>..), (?P<id>..)."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file.

        Raises:
            InputError: no BVH file, or options that do not fit.
        """
        check_pattern(self.pattern, needs_label=self.label == "filename")
        check_fps(self.fps)
        if not 0 < self.scale < math.inf:
            raise InputError(f"scale must be above zero, not {self.scale}")
        layout = get_layout(self.layout)
        if layout.dimension != 3:
            raise InputError(f"layout {layout.name} is in pixels, but motion capture is in 3-D")
        return Plan(one_each(files, ".bvh"), layout, None, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file.

        Raises:
            InputError: not such a file, or the layout's joints are not in it.
        """
        (file,) = item.files
        rig, motion, fps = parse_bvh(file.read())
        layout = get_layout(self.layout)
        found = body_joints(rig.names, rig.parents, np.array(rig.offsets), layout)
        points = _points(rig, motion, list(found.values())) * self.scale
        points = upright(points, self.up, layout)
        # All zero means "not measured", but here it is where a rig that walks on the spot has its hips.
        points[..., 0] += np.where(points.any(axis=-1), 0, 1e-6)
        values = path_values(file.name, self.label, self.pattern)
        measured = as_layout(found) if layout in LAYOUTS else layout
        with making_clip(values["clip_id"], values.get("label")):
            clip = SkeletonClip(points[:, None], measured, self.fps or fps, **values)  # type: ignore[arg-type]
            clip = retarget(clip, layout)
        yield clip


def read_clip_file(path: str | Path) -> SkeletonClip:
    """The clip of one file as kinect20, without a label (for prediction); centimeters, y up.

    Raises:
        InputError: no such file, or it holds no valid clip; names the file.
    """
    return read_one(path, lambda file: next(BvhReader(label="none").read(Item(file.name, (file,)))))


@dataclass
class Rig:
    """The hierarchy: joints with their parents before them.

    Args:
        names: an End Site has its parent's name and ``_end``.
        parents: -1 for the root.
        offsets: x, y, z from the parent.
        channels: by joint, in order: kind, axis and column of the motion.
    """

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[tuple[str, int, int]]] = field(default_factory=list)
    width: int = 0


def parse_bvh(content: bytes) -> tuple[Rig, npt.NDArray[np.float64], float]:
    """The hierarchy, the motion ``[T, channels]`` (file's units, degrees) and frames a second.

    Raises:
        InputError: says which line or frame is not as the format has it.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"it is not text in UTF-8 ({error.reason} at byte {error.start})") from None
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if not lines or not lines[0].strip().upper().startswith("HIERARCHY") or start is None:
        raise InputError("it is not a BVH file: it needs a HIERARCHY and a MOTION")
    rig = _hierarchy(lines[1:start])
    rest = [line for line in lines[start + 1 :] if line.strip()]
    frames = _after(rest[:1], "Frames:")
    seconds = _after(rest[1:2], "Frame Time:")
    rows = rest[2:]
    if not frames.is_integer() or not 0 < frames <= _MAX_FRAMES or len(rows) != frames:
        raise InputError(f"it says {frames:g} frames, but {len(rows):,} lines of motion follow")
    if not 1e-4 <= seconds <= 10:
        raise InputError(f"Frame Time must be seconds between 0.0001 and 10, not {seconds:g}")
    fps = 1 / seconds
    # Frame times are written with few digits: 0.008333 is 120 frames a second.
    fps = float(round(fps)) if abs(fps - round(fps)) < 0.002 * fps and round(fps) else fps
    motion = _motion(rows, rig.width)
    *others, last = rows[-1].encode().split()
    check_last_number(content, last, others)
    return rig, motion, fps


def _after(line: list[str], key: str) -> float:
    words = line[0].split(":", 1) if line else []
    if len(words) != 2 or " ".join(words[0].split()).lower() != key[:-1].lower():
        raise InputError(f"after MOTION there is no line '{key}'")
    return _number(words[1].strip(), key)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e30 or "_" in text or not text.isascii():
        raise InputError(f"{where} {text[:40]!r} is not a number")
    return value


def _motion(rows: list[str], width: int) -> npt.NDArray[np.float64]:
    motion = np.empty((len(rows), width))
    for t, row in enumerate(rows):
        values = row.split()
        if len(values) != width:
            raise InputError(f"frame {t} has {len(values)} numbers, but the joints have {width} channels")
        try:
            motion[t] = np.array(values, dtype=np.float64)
        except ValueError:
            motion[t] = np.nan
        if not np.abs(motion[t]).max() < 1e30 or "_" in row or not row.isascii():
            wrong = next(v for v in values if not _is_number(v))
            raise InputError(f"frame {t}: {wrong[:40]!r} is not a number")
    return motion


def _is_number(text: str) -> bool:
    try:
        _number(text, "")
    except InputError:
        return False
    return True


def _hierarchy(lines: list[str]) -> Rig:
    rig = Rig()
    open_: list[int] = []  # joints whose block is not closed
    pending = False  # a joint is named, its block not open yet
    for number, line in enumerate(lines, 2):
        for words in _statements(line):
            where, key = f"line {number}:", words[0].upper()
            if key in ("ROOT", "JOINT", "END") and not pending:
                if (key == "ROOT") != (not rig.names) or (key != "ROOT" and not open_):
                    raise InputError(f"{where} {words[0]} is out of place; a file with one ROOT is read")
                if len(rig.names) == _MAX_JOINTS:
                    raise InputError(f"{where} more than {_MAX_JOINTS} joints")
                parent = open_[-1] if open_ else -1
                name = f"{rig.names[parent]}_end" if key == "END" else " ".join(words[1:])
                while key == "END" and name in rig.names:  # a joint with several of them
                    name += "_"
                rig.names.append(name)
                rig.parents.append(parent)
                rig.offsets.append([])
                rig.channels.append([])
                pending = True
            elif key == "{" and pending:
                open_.append(len(rig.names) - 1)
                pending = False
            elif key == "}" and open_ and not pending:
                if not rig.offsets[open_[-1]]:
                    raise InputError(f"{where} {rig.names[open_[-1]]} has no OFFSET")
                open_.pop()
            elif key == "OFFSET" and open_ and not pending and len(words) == 4 and not rig.offsets[open_[-1]]:
                rig.offsets[open_[-1]] = [_number(word, f"{where} OFFSET") for word in words[1:]]
            elif key == "CHANNELS" and open_ and not pending and not rig.channels[open_[-1]]:
                rig.channels[open_[-1]] = _channels(words, where, rig.width)
                rig.width += len(rig.channels[open_[-1]])
            else:
                raise InputError(f"{where} {line.strip()[:60]!r} is out of place")
    if open_ or pending or not rig.names:
        raise InputError("its HIERARCHY is cut short: a block is not closed")
    if not rig.width:
        raise InputError("its joints have no CHANNELS")
    if len(set(rig.names)) != len(rig.names):
        twice = next(name for name in rig.names if rig.names.count(name) > 1)
        raise InputError(f"joint {twice!r} is there twice")
    return rig


def _statements(line: str) -> Iterator[list[str]]:
    """The words of a line, braces by themselves."""
    words: list[str] = []
    for word in line.replace("{", " { ").replace("}", " } ").split():
        if word in "{}":
            if words:
                yield words
            yield [word]
            words = []
        else:
            words.append(word)
    if words:
        yield words


def _channels(words: list[str], where: str, column: int) -> list[tuple[str, int, int]]:
    names = [word.lower() for word in words[2:]]
    if words[1:2] != [str(len(names))] or len(set(names)) != len(names) or not set(names) <= set(_CHANNELS):
        raise InputError(f"{where} CHANNELS must be their number and as many of Xposition, ..., Zrotation")
    return [(*_CHANNELS[name], column + i) for i, name in enumerate(names)]


def _points(rig: Rig, motion: npt.NDArray[np.float64], wanted: list[Weights]) -> npt.NDArray[np.float64]:
    """``[T, V, 3]``: weighted means of joints, in the file's units and axes."""
    needed: set[int] = set()
    for joint in {j for weights in wanted for j in weights}:
        while joint not in needed and joint >= 0:
            needed.add(joint)
            joint = rig.parents[joint]
    points = np.zeros((len(motion), len(wanted), 3))
    for begin in range(0, len(motion), _CHUNK):
        places = joint_positions(rig, motion[begin : begin + _CHUNK], sorted(needed))
        for v, weights in enumerate(wanted):
            points[begin : begin + _CHUNK, v] = sum(weight * places[j] for j, weight in weights.items())
    return points


def joint_positions(
    rig: Rig, motion: npt.NDArray[np.float64], joints: Sequence[int]
) -> Mapping[int, npt.NDArray[np.float64]]:
    """Forward kinematics: ``[T, 3]`` for each of ``joints``, which come with all their ancestors, parents first."""
    axes: dict[int, npt.NDArray[np.float64]] = {-1: np.eye(3)[None]}
    places: dict[int, npt.NDArray[np.float64]] = {-1: np.zeros((len(motion), 3))}
    for joint in joints:
        parent = rig.parents[joint]
        offset = np.tile(rig.offsets[joint], (len(motion), 1))
        turn = axes[parent]
        for kind, axis, column in rig.channels[joint]:
            if kind == "rotation":
                turn = turn @ _rotations(np.radians(motion[:, column]), axis)
            else:
                offset[:, axis] = motion[:, column] + (offset[:, axis] if parent < 0 else 0)
        places[joint] = places[parent] + (axes[parent] @ offset[..., None])[..., 0]
        axes[joint] = turn
    return places


def _rotations(angles: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """``[T, 3, 3]`` by angles in radians about one axis."""
    after, last = (axis + 1) % 3, (axis + 2) % 3
    turns = np.zeros((len(angles), 3, 3))
    turns[:, axis, axis] = 1
    turns[:, after, after] = turns[:, last, last] = np.cos(angles)
    turns[:, last, after] = np.sin(angles)
    turns[:, after, last] = -turns[:, last, after]
    return turns
