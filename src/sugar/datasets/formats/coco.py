"""COCO key point JSON, one file a video: results lists of pose estimators, and annotation files.

Results (AlphaPose, HRNet, MMPose, ViTPose): a list of ``{image_id, keypoints [x, y, score, ...], score, track_id}``;
``image_id`` is the number or the file name of the frame. Annotations: an object with ``images`` and ``annotations``,
whose third number is a visibility (0 not labeled, 1 hidden, 2 visible), here 0, 0.5 and 1. People are followed by
``track_id`` (AlphaPose: ``idx``) where every one has it, otherwise by `person_linking`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.parsing.path_labels import LabelSource, check_pattern, path_values
from sugar.datasets.formats.parsing.person_linking import Track, as_joints, find_tracks, stack_tracks, torso_joints
from sugar.datasets.formats.parsing.pose_json import check_persons, load_json
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, one_each, read_one
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, HALPE26, OPENPOSE18, OPENPOSE25, get_layout

# COCO-WholeBody and Halpe136 begin with the joints of their bodies.
_LAYOUTS = {17: COCO17, 18: OPENPOSE18, 25: OPENPOSE25, 26: HALPE26, 133: COCO17, 136: HALPE26}
_IDS = ("track_id", "idx")
_MAX_GAP = 10


@dataclass(frozen=True)
class CocoKeypointsReader:
    """COCO key point JSON files, one a video."""

    layout: str | None = None
    """Joint layout, for other numbers of joints than COCO's 17 (133), Halpe's 26 (136) or OpenPose's 18 and 25: a
    built-in name or a JSON file."""
    fps: float = 30.0
    """Frames a second of the videos."""
    persons: int = 2
    """Persons kept in a clip at most: those with the most presence times motion."""
    label: LabelSource = "folder"
    """Where a clip's class is said: the folder of its file, or the pattern on its path."""
    pattern: str | None = None
    """A regular expression found in the file's path without its ending, with any of the groups (?P<label>..),
    (?P<subject>..), (?P<camera>..), (?P<setup>..), (?P<trial>..), (?P<id>..)."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file.

        Raises:
            InputError: no JSON file, options that do not fit, or none of the first files holds people.
        """
        check_persons(self.persons)
        check_fps(self.fps)
        check_pattern(self.pattern, needs_label=self.label == "filename")
        items = one_each(files, ".json")
        layout = get_layout(self.layout) if self.layout else _layout_of_files(items)
        if layout.dimension != 2:
            raise InputError(f"layout {layout.name} is in 3-D, but COCO's key points are pixels")
        return Plan(items, layout, None, replace(self, layout=self.layout or layout.name).read)

    def read(self, item: Item) -> Iterator[SkeletonClip]:
        """The clip of one file.

        Raises:
            InputError: not such a JSON, other joints than the layout's, several videos in one file, nobody there.
        """
        (file,) = item.files
        video = _video(file.read())
        layout = get_layout(self.layout) if self.layout else _layout(video)
        frames = [
            np.stack([_points(person, layout, video.scale) for person in people])
            if people
            else np.zeros((0, layout.num_joints, 3))
            for people in video.frames
        ]
        tracks = _given_tracks(video.frames) or find_tracks(frames, torso_joints(layout))
        joints, confidence = as_joints(stack_tracks(frames, tracks, self.persons))
        if not joints.any():
            raise InputError("nobody is in any of its frames")
        values = path_values(file.name, self.label, self.pattern)
        with making_clip(values["clip_id"], values.get("label")):
            clip = SkeletonClip(joints, layout, self.fps, confidence, **values)  # type: ignore[arg-type]  # as float64
        yield clip


def read_clip_file(path: str | Path) -> SkeletonClip:
    """The clip of one file, without a label (for prediction); the layout is told by the number of joints.

    Raises:
        InputError: no such file, or it holds no valid clip; names the file.
    """
    return read_one(path, lambda file: next(CocoKeypointsReader(label="none").read(Item(file.name, (file,)))))


Person = Mapping[str, Any]


@dataclass(frozen=True)
class _Video:
    """The people of each frame, in order, and what the third number of a key point is multiplied by."""

    frames: list[list[Person]]
    scale: float


def _video(content: bytes) -> _Video:
    data = load_json(content)
    if isinstance(data, dict) and isinstance(data.get("images"), list) and isinstance(data.get("annotations"), list):
        return _annotated(data["images"], data["annotations"])
    if isinstance(data, list):
        return _results(data)
    raise InputError("it is neither a list of results with image_id and keypoints, nor has images and annotations")


def _results(results: list[Any]) -> _Video:
    people = _with_keypoints(results)
    if not people:
        raise InputError("it holds nobody")
    numbers = _frame_numbers([person.get("image_id") for person in people])
    first, last = min(numbers), max(numbers)
    if last - first + 1 > max(1000, _MAX_GAP * len(set(numbers))):
        raise InputError(f"{len(set(numbers))} frames are numbered from {first:,} to {last:,}; give one video a file")
    frames: list[list[Person]] = [[] for _ in range(last - first + 1)]
    for number, person in zip(numbers, people, strict=True):
        frames[number - first].append(person)
    return _Video(frames, 1.0)


def _annotated(images: list[Any], annotations: list[Any]) -> _Video:
    if not all(isinstance(image, dict) and type(image.get("id")) in (int, str) for image in images):
        raise InputError("each of images must be an object with an id")
    ids = [image["id"] for image in images]
    if len(set(ids)) != len(ids):
        raise InputError("two of its images have the same id")
    numbers = _frame_numbers([image.get("frame_id", image.get("file_name", image["id"])) for image in images])
    if len(set(numbers)) != len(numbers):
        raise InputError("two of its images are the same frame; one file must be one video")
    place = {ids[i]: t for t, i in enumerate(sorted(range(len(ids)), key=numbers.__getitem__))}
    frames: list[list[Person]] = [[] for _ in ids]
    for person in _with_keypoints(annotations):
        image = person.get("image_id")
        if type(image) not in (int, str) or image not in place:
            raise InputError(f"a person is in image {image!r}, which is not one of its images")
        frames[place[image]].append(person)
    return _Video(frames, 0.5)


def _with_keypoints(people: list[Any]) -> list[Person]:
    if not all(isinstance(person, dict) for person in people):
        raise InputError("each person must be an object with image_id and keypoints")
    return [person for person in people if person.get("keypoints") and person.get("num_keypoints") != 0]


def _frame_numbers(names: list[Any]) -> list[int]:
    """The number of each frame: itself, or the last digits of a file name, which must tell the frames apart."""
    numbers, of_number = [], dict[int, Any]()
    for name in names:
        digits = re.findall(r"[0-9]+", Path(name).stem) if isinstance(name, str) else []
        if type(name) is int and 0 <= name < 2**53:
            number = name
        elif digits and len(digits[-1]) < 16:
            number = int(digits[-1])
        else:
            raise InputError(f"image {str(name)[:60]!r} has no frame number; name frames by their numbers")
        if of_number.setdefault(number, name) != name:
            raise InputError(f"images {of_number[number]!r} and {name!r} are both frame {number}; one video a file")
        numbers.append(number)
    return numbers


def _given_tracks(frames: list[list[Person]]) -> list[Track]:
    """Who is who by the ids of the file; nothing unless every person has one that is his alone in the frame."""
    people = [person for found in frames for person in found]
    key = next((key for key in _IDS if all(type(person.get(key)) in (int, str) for person in people)), None)
    if key is None or any(len({person[key] for person in found}) < len(found) for found in frames):
        return []
    tracks: dict[Any, Track] = {}
    for t, found in enumerate(frames):
        for p, person in enumerate(found):
            tracks.setdefault(person[key], []).append((t, p))
    return list(tracks.values())


def _points(person: Person, layout: JointLayout, scale: float) -> npt.NDArray[np.float64]:
    """``[V, 3]``: x, y, confidence."""
    values = person["keypoints"]
    if not isinstance(values, list) or not all(type(v) in (int, float) and abs(v) < 1e30 for v in values):
        raise InputError("keypoints must be finite numbers x, y, score, joint after joint")
    joints, rest = divmod(len(values), 3)
    if rest or (joints != layout.num_joints and _LAYOUTS.get(joints) != layout):
        raise InputError(
            f"a person has {len(values)} numbers, but layout {layout.name} has {layout.num_joints} joints of three"
        )
    return np.array(values, dtype=np.float64).reshape(-1, 3)[: layout.num_joints] * (1, 1, scale)


def _layout(video: _Video) -> JointLayout:
    for people in video.frames:
        for person in people:
            count = len(person["keypoints"]) if isinstance(person["keypoints"], list) else 0
            if count % 3 or count // 3 not in _LAYOUTS:
                raise InputError(f"a person has {count} numbers, which is no known model; give the layout")
            return _LAYOUTS[count // 3]
    raise InputError("nobody is in any of its frames")


def _layout_of_files(items: Sequence[Item]) -> JointLayout:
    reasons = []
    for item in items[:20]:
        try:
            return _layout(_video(item.files[0].read()))
        except InputError as error:
            reasons.append(f"{item.name}: {error}")
    raise InputError(f"nobody in the first {len(reasons)} files; {reasons[0]}")
