"""Kinetics-skeleton: JSON clips of 18 OpenPose joints, with label files beside the folders.

Yan et al., "Spatial temporal graph convolutional networks for skeleton-based action recognition", AAAI 2018. A clip is
``data``, a list of ``frame_index`` (from 1) and ``skeleton``, a list of ``pose`` (x and y in turn, as shares of the
image) and ``score``. ``kinetics_train_label.json`` says the labels of the files in ``kinetics_train``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.parsing.pose_json import check_persons, link_people, load_json, numbers
from sugar.datasets.reading import Item, Plan, SourceFile, single_file
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import OPENPOSE18

_LABELS = "_label.json"
_MAX_FRAMES = 36_000
"""Largest frame number: 20 minutes. The clips have 300 frames; a number does not make us reserve any memory."""
_JOINTS = OPENPOSE18.num_joints


@dataclass(frozen=True)
class KineticsReader:
    """Kinetics-skeleton: a folder or archive of ``kinetics_train/*.json``, ``kinetics_val/*.json`` and labels.

    The setup of a clip is 1 where its folder's name says ``train``, 2 where it says ``val``: protocol ``setup:1/2``.
    """

    persons: int = 2
    """How many people of a frame to keep, those of the highest scores. There are no track ids: they are linked
    from frame to frame by where they are."""
    width: int = 340
    """Pixels of the videos that the shares refer to, across."""
    height: int = 256
    """And down."""
    fps: float = 30.0
    """Frames a second of the videos."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a clip, with its label file where there is one.

        Raises:
            InputError: there is no clip, or a label file that cannot be read.
        """
        check_persons(self.persons)
        if self.width < 1 or self.height < 1:
            raise InputError(f"width and height must be pixels above zero, not {self.width} and {self.height}")
        labels = {file.name: file for file in files if file.name.endswith(_LABELS)}
        _labels_of.cache_clear()  # the files may have changed since an earlier plan
        for file in labels.values():
            try:
                _labels_of(file)
            except InputError as error:
                raise InputError(f"{file.name}: {error}") from None
        items = []
        for file in files:
            if file.suffix == ".json" and file.name not in labels:
                beside = labels.get(f"{file.folder}{_LABELS}")
                items.append(Item(file.name, (file,) if beside is None else (file, beside)))
        if not items:
            raise InputError("it holds no .json file of a clip")
        return Plan(tuple(items), OPENPOSE18, None, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file."""
        file, *beside = item.files
        labels = _labels_of(beside[0]) if beside else None
        if labels is not None and file.stem not in labels:
            raise InputError(f"{beside[0].name} has no entry {file.stem!r}")
        yield self._clip(file, labels[file.stem] if labels else None)

    def _clip(self, file: SourceFile, label: str | None) -> SkeletonClip:
        data = load_json(file.read())
        if not isinstance(data, dict) or not isinstance(data.get("data"), list):
            raise InputError("it needs an object with a list 'data' of frames")
        own = data.get("label")
        if own is not None and not (isinstance(own, str) and own.isprintable()):
            raise InputError("its label is not a printable name")
        if label and own and label != own:
            raise InputError(f"its label {own!r} contradicts the label file ({label!r})")
        joints, confidence = self._people(data["data"])
        folder = PurePosixPath(file.name).parent.name.lower()
        try:
            return SkeletonClip(
                joints=joints,
                layout=OPENPOSE18,
                fps=self.fps,
                confidence=confidence,
                clip_id=file.stem,
                label=label or own or None,
                setup=1 if "train" in folder else 2 if "val" in folder else None,
            )
        except InputError as error:
            raise InputError(str(error).removeprefix(f"clip {file.stem!r}: ")) from None

    def _people(self, frames: list[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """``[T, M, 18, 2]`` in pixels and ``[T, M, 18]``; a frame that is not listed has nobody in it."""
        listed: dict[int, list[npt.NDArray[np.float64]]] = {}
        for n, frame in enumerate(frames):
            number = frame.get("frame_index") if isinstance(frame, dict) else None
            if type(number) is not int or not 1 <= number <= _MAX_FRAMES or number in listed:
                raise InputError(f"entry {n} of 'data' has no 'frame_index' of its own from 1 to {_MAX_FRAMES:,}")
            listed[number] = self._skeletons(frame.get("skeleton"), number)
        order = sorted(listed)
        linked = link_people([[found[:, :2] for found in listed[number]] for number in order])
        frames_there, most = max(order, default=0), max([1, *map(len, listed.values())])
        people = np.zeros((frames_there, most, _JOINTS, 3), dtype=np.float32)
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore", invalid="ignore"):
            for number, persons in zip(order, linked, strict=True):
                for found, person in zip(listed[number], persons, strict=True):
                    people[number - 1, person] = found
        return people[..., :2], people[..., 2]

    def _skeletons(self, skeletons: object, number: int) -> list[npt.NDArray[np.float64]]:
        """The surest people of a frame, each ``[18, 3]``: x and y in pixels, score."""
        if not isinstance(skeletons, list) or not all(isinstance(person, dict) for person in skeletons):
            raise InputError(f"'skeleton' of frame {number} is not a list of people")
        found = []
        for person in skeletons:
            pose = numbers(person.get("pose"), 2 * _JOINTS, f"a pose of frame {number}").reshape(_JOINTS, 2)
            score = numbers(person.get("score"), _JOINTS, f"a score of frame {number}")
            there = score > 0
            if not np.isfinite(score).all():
                raise InputError(f"a score of frame {number} is not a finite number")
            joints = np.where(there[:, None], pose * [self.width, self.height], 0.0)
            found.append(np.column_stack([joints, np.where(there, score, 0.0)]))
        return sorted(found, key=lambda person: -person[:, 2].sum())[: self.persons]


def read_clip_file(path: str | Path, reader: KineticsReader = KineticsReader()) -> SkeletonClip:
    """Read one JSON clip; its label is the one inside it.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    check_persons(reader.persons)
    (file,) = single_file(path).files
    try:
        return reader._clip(file, None)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@lru_cache(maxsize=4)  # a file of 240,000 labels, read once by each process
def _labels_of(file: SourceFile) -> Mapping[str, str]:
    data = load_json(file.read())
    if not isinstance(data, dict):
        raise InputError("it needs an object of clip names")
    labels = {}
    for name, entry in data.items():
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(label, str) or not label or not label.isprintable():
            raise InputError(f"its entry {name!r} has no printable label")
        labels[name] = label
    return labels
