"""PKU-MMD v1: recordings of three to four minutes by three Kinect v2, with a list of actions for each.

Liu et al., "PKU-MMD: A large scale benchmark for continuous multi-modal human action understanding", 2017. A skeleton
file ``0002-L.txt`` (recording, camera L, M or R) has a row of 150 numbers for each frame: x y z in meters of two
persons' 25 joints, zero where there is no second person. A label file of the same name in another folder has rows
``class,start,end,confidence`` with classes from 1; the frames of an action are ``start`` to ``end`` - 1, from 0.

The numbers by which the two protocols split: camera is 1 for L, 2 for M and 3 for R (cross-view trains on M and R and
tests on L); setup is the number of the recording, which decides its people (cross-subject tests on 291 to 334).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.decimals import parse_decimals
from sugar.datasets.formats.parsing.last_number import check_last_number
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, read_one
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

FPS = 30.0
PERSONS = 2
_ROW = PERSONS * NTU25.num_joints * 3
_CAMERAS = {"L": 1, "M": 2, "R": 3}
_NAME = re.compile(r"(\d{4})-([LMR])")
_LABEL = re.compile(r"\s*(\d{1,9})\s*,\s*(-?\d{1,9})\s*,\s*(-?\d{1,9})\s*(?:,.*)?")
_MAX_BYTES = 64 * 1024**2
_MAX_LABEL_BYTES = 64 * 1024  # twenty rows; skeletons of a recording are a hundred times larger


@cache
def _names() -> tuple[str, ...]:
    return class_names("pku_mmd")


@dataclass(frozen=True)
class PkuMmdReader:
    """PKU-MMD v1: a folder or archive that holds skeleton files and, in another folder, their label files.

    A file is a label file if its folder's name says so (``Label...``) or if it is small and has commas. Clips cut by
    labels are named ``0002-L_003`` after the row of the label file, which is also their trial.
    """

    cut: bool = True
    """Cut the recordings into clips by their labels; otherwise each is one long clip without a label."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """An item for each recording: its skeleton file and its label files.

        Raises:
            InputError: there is no file of such a name.
        """
        skeletons: list[SourceFile] = []
        labels: dict[str, list[SourceFile]] = {}
        for file in files:
            if file.suffix == ".txt" and _NAME.fullmatch(file.stem):
                if _is_label(file):
                    labels.setdefault(file.stem, []).append(file)
                else:
                    skeletons.append(file)
        if not skeletons:
            raise InputError("it holds no skeleton file with a name such as 0002-L.txt")
        if not self.cut:
            labels.clear()
        items = [Item(file.name, (file, *labels.get(file.stem, ()))) for file in skeletons]
        alone = sorted(labels.keys() - {file.stem for file in skeletons})
        items += [Item(file.name, (file,)) for stem in alone for file in labels[stem]]
        return Plan(tuple(items), NTU25, _names(), self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        """The clips of a recording, or the whole of it; bad rows of its label file are rejected one by one.

        Raises:
            InputError: a damaged skeleton or label file, none or two label files.
        """
        skeleton, *labels = item.files
        if self.cut and _is_label(skeleton):
            raise InputError("there is no skeleton file of the same name")
        if self.cut and len(labels) != 1:
            raise InputError(f"{len(labels) or 'no'} label files of the same name; one is needed to cut it into clips")
        whole = _recording(skeleton)
        if self.cut:
            yield from _cut(whole, labels[0])
        else:
            yield _present(whole)


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one skeleton file of any name as a whole, without labels.

    Raises:
        InputError: the file is absent, truncated or holds nobody.
    """
    return read_one(path, lambda file: _present(_recording(file)))


def _is_label(file: SourceFile) -> bool:
    if "label" in file.folder.lower():
        return True
    if file.size > _MAX_LABEL_BYTES:
        return False
    try:
        return b"," in file.read(_MAX_LABEL_BYTES)
    except InputError:
        return False  # reading it as a skeleton file will say what is wrong


@dataclass(frozen=True)
class _Recording:
    clip_id: str
    joints: npt.NDArray[np.float32]
    setup: int | None
    camera: int | None


def _recording(file: SourceFile) -> _Recording:
    joints = _read_rows(file.read(_MAX_BYTES)).reshape(-1, PERSONS, NTU25.num_joints, 3)
    match = _NAME.fullmatch(file.stem)
    setup, camera = (int(match[1]), _CAMERAS[match[2]]) if match else (None, None)
    return _Recording(file.stem, joints, setup, camera)


def _present(part: _Recording, label: str | None = None, trial: int | None = None) -> SkeletonClip:
    """As a clip, of the persons that are there in any frame."""
    there = part.joints.any(axis=(0, 2, 3))
    with making_clip(part.clip_id, label):
        return SkeletonClip(
            joints=part.joints[:, there] if there.any() else part.joints,
            layout=NTU25,
            fps=FPS,
            clip_id=part.clip_id,
            label=label,
            camera=part.camera,
            setup=part.setup,
            trial=trial,
        )


def _cut(whole: _Recording, labels: SourceFile) -> Iterator[SkeletonClip | Rejected]:
    try:
        text = labels.read(_MAX_LABEL_BYTES).decode("ascii")
    except UnicodeDecodeError:
        raise InputError(f"its label file {labels.name} is not text") from None
    rows = text.rstrip().splitlines()
    if not rows:
        raise InputError(f"its label file {labels.name} is empty")
    num_frames = len(whole.joints)
    for number, row in enumerate(rows, start=1):
        match = _LABEL.fullmatch(row)
        if not match:
            yield Rejected(labels.name, f"row {number}: {row[:40]!r} is not class,start,end,confidence")
            continue
        action, start, end = (int(value) for value in match.groups())
        if not 1 <= action <= len(_names()):
            yield Rejected(labels.name, f"row {number}: class {action} is not one of 1 to {len(_names())}")
        elif not 0 <= start < end <= num_frames:
            yield Rejected(
                labels.name, f"row {number}: frames {start} to {end} do not lie within the recording's {num_frames}"
            )
        else:
            part = replace(whole, clip_id=f"{whole.clip_id}_{number:03d}", joints=whole.joints[start:end])
            try:
                yield _present(part, _names()[action - 1], trial=number)
            except InputError as error:  # nobody there
                yield Rejected(labels.name, f"row {number}: {error}")


def _read_rows(text: bytes) -> npt.NDArray[np.float32]:
    """``[T, 150]``: the numbers of a skeleton file."""
    text = text.rstrip(b" \t")  # what remains after the last number is a line end, or the file was cut
    blank = np.ones(len(text) + 2, np.bool_)
    chars = np.frombuffer(text, np.uint8)
    np.less_equal(chars, ord(" "), out=blank[1:-1])
    edges = np.flatnonzero(blank[1:] != blank[:-1])
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        raise InputError("it is empty")
    line_ends = np.append(np.flatnonzero(chars == ord("\n")), len(text))
    num_tokens = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    num_rows = int(np.flatnonzero(num_tokens)[-1]) + 1
    for i in np.flatnonzero(num_tokens[:num_rows] != _ROW)[:1]:
        last = " (the last row: the file is truncated)" if i == num_rows - 1 else ""
        raise InputError(f"row {i + 1}: it has {num_tokens[i]} numbers, not {_ROW}{last}")
    values = parse_decimals(text, starts, ends)
    for i in np.flatnonzero(~np.isfinite(values))[:1]:
        token = text[starts[i] : ends[i]][:20].decode("ascii", "replace")
        raise InputError(f"row {i // _ROW + 1}: number {i % _ROW + 1} is {token!r}, not a finite number")
    check_last_number(text, text[starts[-1] :], [text[starts[0] : ends[0]]])
    return values.reshape(-1, _ROW)
