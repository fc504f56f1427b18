"""OpenPose's JSON: a file a frame, ``NAME_000000000012_keypoints.json``, as ``--write_json`` writes them.

Cao et al., "OpenPose: realtime multi-person 2D pose estimation using part affinity fields", 2019. Each file holds
``people`` with ``pose_keypoints_2d``: x, y, confidence joint after joint, in pixels. People have no identity over
frames; see `person_linking`.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.parsing.path_labels import check_pattern, path_values
from sugar.datasets.formats.parsing.person_linking import as_joints, link_persons
from sugar.datasets.formats.parsing.pose_json import check_persons, load_json
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, opened
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, OPENPOSE18, OPENPOSE25, get_layout

_NAME = re.compile(r"(?:(?P<name>.*)_)?(?P<frame>[0-9]{1,18})_keypoints\.json", re.DOTALL)
_LAYOUTS = {layout.num_joints: layout for layout in (OPENPOSE25, OPENPOSE18, COCO17)}
_MAX_GAP = 10
_FRAME_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class OpenPoseReader:
    """Folders of OpenPose JSON, one clip for each NAME in a folder."""

    layout: str | None = None
    """Joint layout, for models with other joints than BODY_25, COCO's 18 or 17: a built-in name or a JSON file."""
    fps: float = 30.0
    """Frames a second of the videos."""
    persons: int = 2
    """Persons kept in a clip at most: those with the most presence times motion."""
    label: Literal["folder", "parent", "filename", "none"] | None = None
    """Where a clip's class is said: the folder of its files, the parent of that folder, or the pattern on NAME's
    path. Left out: the parent if every folder holds the files of one clip, else the folder."""
    pattern: str | None = None
    """A regular expression found in a clip's path (folder/NAME), with any of the groups (?P<label>..),
    (?P<subject>..), (?P<camera>..), (?P<setup>..), (?P<trial>..), (?P<id>..)."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a clip, its files in the order of their frame numbers.

        Raises:
            InputError: no file of such a name, options that do not fit, or nobody in any file.
        """
        check_persons(self.persons)
        check_fps(self.fps)
        check_pattern(self.pattern, needs_label=self.label == "filename")
        clips: dict[str, list[SourceFile]] = {}
        for file in files:
            if match := _NAME.fullmatch(posixpath.basename(file.name)):
                clips.setdefault(posixpath.join(file.folder, match["name"] or ""), []).append(file)
        if not clips:
            raise InputError("it holds no file NAME_000000000000_keypoints.json")
        items = tuple(
            Item(name.rstrip("/") or files[0].root.stem, tuple(sorted(found, key=_frame)))
            for name, found in sorted(clips.items())
        )
        folders = {item.files[0].folder for item in items}
        alone = len(folders) == len(items) and all("/" in folder for folder in folders)
        label = self.label or ("filename" if _has_label(self.pattern) else "parent" if alone else "folder")
        layout = get_layout(self.layout) if self.layout else _layout_of(items)
        if layout.dimension != 2:
            raise InputError(f"layout {layout.name} is in 3-D, but OpenPose's points are pixels")
        return Plan(items, layout, None, replace(self, label=label, layout=self.layout or layout.name).read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one item.

        Raises:
            InputError: a file that is not such a JSON, other joints than the layout's, a frame twice, nobody there.
        """
        layout = get_layout(self.layout) if self.layout else _layout_of([item])
        numbers = [_frame(file) for file in item.files]
        if twice := [a for a, b in pairwise(numbers) if a == b]:
            raise InputError(f"frame {twice[0]} is there twice")
        length = numbers[-1] - numbers[0] + 1
        if length > max(1000, _MAX_GAP * len(numbers)):
            raise InputError(
                f"{len(numbers)} files are numbered from {numbers[0]:,} to {numbers[-1]:,}; files are missing"
            )
        frames = [np.zeros((0, layout.num_joints, 3))] * length
        for number, file in zip(numbers, item.files, strict=True):
            frames[number - numbers[0]] = _people(file, layout)
        joints, confidence = as_joints(link_persons(frames, layout, self.persons))
        if not joints.any():
            raise InputError("nobody is in any of its frames")
        values = self._path_values(item)
        with making_clip(values["clip_id"], values.get("label")):
            clip = SkeletonClip(joints, layout, self.fps, confidence, **values)  # type: ignore[arg-type]  # as float64
        yield clip

    def _path_values(self, item: Item) -> dict[str, Any]:
        by_name = self.label == "filename"
        values = path_values(f"{item.name}.json", "filename" if by_name else "none", self.pattern)
        if self.label in ("folder", "parent"):
            folder = item.files[0].folder
            values["label"] = (
                posixpath.basename(folder if self.label == "folder" else posixpath.dirname(folder)) or None
            )
        return values


def read_clips(folder: str | Path) -> Iterator[SkeletonClip]:
    """The clips of a folder of OpenPose JSON, without labels (for prediction).

    Raises:
        InputError: no such files, or files that hold no valid clip; names the folder.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: there is no such folder")
    with opened(folder, Path(folder)) as files:
        try:
            plan = OpenPoseReader(label="none").plan(files)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
        for item in plan.items:
            try:
                yield from plan.read(item)  # type: ignore[misc]  # this reader rejects whole items only
            except InputError as error:
                raise InputError(f"{folder}, {item.name}: {error}") from None


def _has_label(pattern: str | None) -> bool:
    return pattern is not None and "label" in re.compile(pattern).groupindex


def _frame(file: SourceFile) -> int:
    match = _NAME.fullmatch(posixpath.basename(file.name))
    if match is None:
        raise InputError(f"{file.name}: its name has no frame number")
    return int(match["frame"])


def _layout_of(items: Sequence[Item]) -> JointLayout:
    """By the joints of the first person."""
    reason = "nobody is in any of its files"
    for item in items[:20]:
        for file in item.files:
            try:
                for values in _numbers(file):
                    if len(values) % 3 or len(values) // 3 not in _LAYOUTS:
                        raise InputError(
                            f"{file.name}: a person with {len(values)} numbers is of no known model; give the layout"
                        )
                    return _LAYOUTS[len(values) // 3]
            except InputError as error:
                reason = str(error)
                break
    raise InputError(reason)


def _people(file: SourceFile, layout: JointLayout) -> npt.NDArray[np.float64]:
    """``[P, V, 3]``: x, y, confidence of the people in one frame."""
    people = _numbers(file)
    for values in people:
        if len(values) != 3 * layout.num_joints:
            told = f"{layout.name} has {layout.num_joints} joints of three"
            raise InputError(f"{file.name}: a person with {len(values)} numbers, but layout {told}")
    return np.array(people, dtype=np.float64).reshape(len(people), layout.num_joints, 3)


def _numbers(file: SourceFile) -> list[list[float]]:
    """``pose_keypoints_2d`` of each person in one frame; people without are passed over."""
    try:
        data = load_json(file.read(_FRAME_BYTES))
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise InputError(f"{file.name}: it needs an object with a list 'people'")
    found = []
    for person in people:
        values = person.get("pose_keypoints_2d", person.get("pose_keypoints", []))
        if not isinstance(values, list) or not all(type(v) in (int, float) and abs(v) < 1e30 for v in values):
            raise InputError(f"{file.name}: pose_keypoints_2d must be finite numbers")
        if values:
            found.append(values)
    return found
