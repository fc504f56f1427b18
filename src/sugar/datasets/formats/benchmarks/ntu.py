"""NTU RGB+D 60 and 120: ``SsssCcccPpppRrrrAaaa.skeleton``, text files of 25 Kinect v2 joints in meters.

Shahroudy et al., "NTU RGB+D: A large scale dataset for 3D human activity analysis", CVPR 2016; Liu et al., "NTU RGB+D
120", TPAMI 2020. The form of the files is described in `sugar.datasets.formats.parsing.skeleton_text`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.ntu_cleaning import Cleaning, persons, tracks_by_id
from sugar.datasets.formats.parsing.skeleton_text import Sightings, parse_skeleton_texts
from sugar.datasets.formats.source import Item, Plan, SourceFile, making_clip, read_one, some_each
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError, caught
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

FPS = 30.0
_MAX_BYTES = 64 * 1024**2
_BYTES_AT_ONCE = 1024**2  # so that what is done once for each array takes no time, and all arrays fit in a cache
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_FIRST_ID = 72057594037931101  # Kinect numbers bodies from somewhere up here
_UNKNOWN = " 0 0 0 0 0 0 0 0 "  # both images' coordinates and the orientation, which a clip does not hold


@cache
def _names() -> tuple[str, ...]:
    return class_names("ntu120")


class _Name(NamedTuple):
    """What the name of a file says of its clip."""

    clip_id: str
    label: str | None = None
    subject: int | None = None
    camera: int | None = None
    setup: int | None = None
    trial: int | None = None


@dataclass(frozen=True)
class Ntu120Reader:
    """NTU RGB+D 120 (which holds NTU RGB+D 60): a folder or archive of ``.skeleton`` files.

    The defaults clean as the field does. Confidence is 1 for tracked, 0.5 for inferred and 0 for untracked joints;
    of the latter Kinect knows nothing, so they are set to zero.
    """

    short_track: int = 11
    """Drop a body seen in this many frames or fewer (0: none)."""
    wide_share: float = 0.69754
    """Drop a body whose share of frames wider than 0.8 of its height is this or more (2: none)."""
    max_persons: int = 2
    """Keep this many persons, those with most motion (0: all)."""
    raw: bool = False
    """Keep every body as it is: no cleaning."""

    num_actions: ClassVar[int] = 120
    num_setups: ClassVar[int] = 32

    def __post_init__(self) -> None:
        if self.short_track < 0 or self.max_persons < 0 or not self.wide_share >= 0:
            raise InputError("NTU: short_track, max_persons and wide_share must not be negative")

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """Each ``.skeleton`` file is a clip.

        Raises:
            InputError: there is none.
        """
        items = some_each(files, ".skeleton", num_bytes=_BYTES_AT_ONCE)
        return Plan(items, NTU25, _names()[: self.num_actions], self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        """The clips of some files; rejected are those with a name of another form, an action or setup that the data
        set has not, which are not read, or with damaged text."""
        names = [caught(self._name, file, True) for file in item.files]
        named = [file for file, name in zip(item.files, names, strict=True) if not isinstance(name, InputError)]
        found = iter(_sightings(named))
        for file, name in zip(item.files, names, strict=True):
            clip = name if isinstance(name, InputError) else caught(self._clip, name, next(found))
            yield Rejected(file.name, str(clip)) if isinstance(clip, InputError) else clip

    def clip(self, file: SourceFile) -> SkeletonClip:
        """The clip of one file of any name.

        Raises:
            InputError: damaged text, or a name that tells of an action or setup that the data set has not.
        """
        name = self._name(file, False)
        (found,) = _sightings([file])
        return self._clip(name, found)

    def _name(self, file: SourceFile, required: bool) -> _Name:
        """What the name of a file says; ``required``: it must have the data set's form."""
        match = _NAME.fullmatch(file.stem)
        if not match:
            if required:
                raise InputError("the file name is not of the form SsssCcccPpppRrrrAaaa.skeleton")
            return _Name(file.stem)
        setup, camera, subject, trial, action = (int(number) for number in match.groups())
        if not 1 <= action <= self.num_actions:
            raise InputError(f"action {action} is not one of NTU RGB+D {self.num_actions}'s {self.num_actions}")
        if not 1 <= setup <= self.num_setups:
            raise InputError(f"setup {setup} is not one of NTU RGB+D {self.num_actions}'s {self.num_setups}")
        return _Name(file.stem, _names()[action - 1], subject, camera, setup, trial)

    def _clip(self, name: _Name, found: Sightings | InputError) -> SkeletonClip:
        """The clip of what was found in a file."""
        if isinstance(found, InputError):
            raise found
        joints, states = persons(found, tracks_by_id(found), self._cleaning)
        joints[states == 0] = 0
        with making_clip(name.clip_id, name.label):
            return SkeletonClip(
                joints=joints, layout=NTU25, fps=FPS, confidence=states * np.float32(0.5), **name._asdict()
            )

    @property
    def _cleaning(self) -> Cleaning:
        if self.raw:
            return Cleaning(short_track=0, wide_share=np.inf, max_persons=None)
        return Cleaning(self.short_track, self.wide_share, self.max_persons or None)


@dataclass(frozen=True)
class Ntu60Reader(Ntu120Reader):
    """NTU RGB+D 60: its 60 actions and 17 setups; files of the other 60 actions are rejected."""

    num_actions: ClassVar[int] = 60
    num_setups: ClassVar[int] = 17


def read_clip_file(path: str | Path) -> SkeletonClip:
    """Read one ``.skeleton`` file of any name, cleaned as by default.

    Raises:
        InputError: the file is absent, truncated or holds no valid clip.
    """
    return read_one(path, Ntu120Reader().clip)


def _sightings(files: Sequence[SourceFile]) -> list[Sightings | InputError]:
    """What each file holds, or what is wrong with it."""
    texts = [caught(file.read, _MAX_BYTES) for file in files]
    found = iter(parse_skeleton_texts([text for text in texts if isinstance(text, bytes)], NTU25.num_joints))
    return [next(found) if isinstance(text, bytes) else text for text in texts]


def to_skeleton_text(clip: SkeletonClip) -> bytes:
    """The clip as a ``.skeleton`` file, whose coordinates are read back equal to the last bit.

    Image coordinates and orientations, which a clip does not hold, are written as 0; so is the tracking state of a
    joint of confidence 0, while 1 stands for one below 0.75. Persons without a measured joint in a frame are left out.

    Raises:
        InputError: a clip of another layout.
    """
    if clip.layout != NTU25:
        raise InputError(f"clip {clip.clip_id!r}: its layout is {clip.layout.name}; only {NTU25.name} can be written")
    confidence = np.ones(clip.joints.shape[:3]) if clip.confidence is None else clip.confidence
    states = np.where(confidence >= 0.75, 2, np.where(confidence > 0, 1, 0))
    lines = [str(clip.num_frames)]
    for frame, states_now, present in zip(clip.joints, states, clip.present, strict=True):
        lines.append(str(int(present.sum())))
        for m in np.flatnonzero(present).tolist():
            lines += [f"{_FIRST_ID + m} 0 0 0 0 0 0 0 0 2", str(NTU25.num_joints)]
            for joint, state in zip(frame[m], states_now[m].tolist(), strict=True):
                lines.append(" ".join(map(str, joint)) + _UNKNOWN + str(state))
    return "\r\n".join([*lines, ""]).encode("ascii")
