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

from sugar.datasets.formats.parsing.person_linking import link_persons
from sugar.datasets.formats.parsing.pose_json import check_persons, load_json, numbers
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, read_one
from sugar.datasets.store.manifest import check_text
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
    """Pixels of the videos that the shares refer to, down."""
    fps: float = 30.0
    """Frames a second of the videos."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a clip, with its label file where there is one.

        Raises:
            InputError: there is no clip, or a label file that cannot be read.
        """
        check_persons(self.persons)
        check_fps(self.fps)
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
        if own is not None and not isinstance(own, str):
            raise InputError("its label is not a name")
        if label and own and label != own:
            raise InputError(f"its label {own[:200]!r} contradicts the label file ({label!r})")
        joints, confidence = self._people(data["data"])
        folder = PurePosixPath(file.name).parent.name.lower()
        with making_clip(file.stem, label or own):
            return SkeletonClip(
                joints=joints,
                layout=OPENPOSE18,
                fps=self.fps,
                confidence=confidence,
                clip_id=file.stem,
                label=label or own or None,
                setup=1 if "train" in folder else 2 if "val" in folder else None,
            )

    def _people(self, frames: list[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """``[T, M, 18, 2]`` in pixels and ``[T, M, 18]``; a frame that is not listed has nobody in it."""
        listed: dict[int, npt.NDArray[np.float64]] = {}
        for n, frame in enumerate(frames):
            number = frame.get("frame_index") if isinstance(frame, dict) else None
            if type(number) is not int or not 1 <= number <= _MAX_FRAMES or number in listed:
                raise InputError(f"entry {n} of 'data' has no 'frame_index' of its own from 1 to {_MAX_FRAMES:,}")
            listed[number] = self._skeletons(frame.get("skeleton"), number)
        if not listed:
            raise InputError("it has no frames")
        nobody = np.zeros((0, _JOINTS, 3))
        frames_there = [listed.get(number, nobody) for number in range(1, max(listed) + 1)]
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore", invalid="ignore"):
            linked = link_persons(frames_there, OPENPOSE18, persons=max(1, *map(len, frames_there)))
            people = linked.astype(np.float32)
        if not people.any():
            raise InputError("nobody is there in any of its frames")
        return people[..., :2], people[..., 2]

    def _skeletons(self, skeletons: object, number: int) -> npt.NDArray[np.float64]:
        """The surest people of a frame, ``[P, 18, 3]``: x and y in pixels, score."""
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
        surest = sorted(found, key=lambda person: -person[:, 2].sum())[: self.persons]
        return np.array(surest).reshape(-1, _JOINTS, 3)


def read_clip_file(path: str | Path, reader: KineticsReader = KineticsReader()) -> SkeletonClip:
    """Read one JSON clip; its label is the one inside it.

    Raises:
        InputError: the file is absent, truncated, or not a valid clip.
    """
    check_persons(reader.persons)
    return read_one(path, lambda file: reader._clip(file, None))


@lru_cache(maxsize=4)  # a file of 240,000 labels, read once by each process
def _labels_of(file: SourceFile) -> Mapping[str, str]:
    data = load_json(file.read())
    if not isinstance(data, dict):
        raise InputError("it needs an object of clip names")
    labels = {}
    for name, entry in data.items():
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(label, str) or not label:
            raise InputError(f"its entry {name[:200]!r} has no label")
        check_text(label, f"the label of {name[:200]!r}")
        labels[name] = label
    return labels
