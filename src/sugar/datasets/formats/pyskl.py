"""Pickles of PYSKL and MMAction2 (``ntu60_3danno.pkl``, ``ntu60_hrnet.pkl``, ...), in and out.

Duan et al., "PYSKL: towards good practices for skeleton action recognition", ACM Multimedia 2022. A dict of
``split`` (name to clip ids) and ``annotations``, each with ``frame_dir``, ``total_frames``, ``label``, ``keypoint``
[M, T, V, C] and, of images, ``keypoint_score`` [M, T, V]. They are read without running them (`load_plain`).
"""

import mmap
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.plain_pickle import Array, load_plain
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, making_clip, one_each, single_file
from sugar.datasets.store.store import Rejected, Store
from sugar.errors import InputError
from sugar.files import atomic_write
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, NTU25, get_layout

MAX_BYTES = 16 * 1024**3

_LAYOUTS = {(17, 2): COCO17, (25, 3): NTU25}
_NTU_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})")


@dataclass(frozen=True)
class PysklReader:
    """Pickles of PYSKL or MMAction2: one file, or a folder of them.

    Names of NTU RGB+D's form give subject, camera, setup and trial. The lists of ``split`` are not kept.
    Kinetics-400 of PYSKL keeps its joints in other files (``raw_file``) and is not read.
    """

    classes: str = ""
    """What the labels mean: a known data set such as ``ntu120`` (or ``ntu60``, its first 60), or a text file of
    names, one a line."""
    layout: str = ""
    """Joint layout; without it 17 joints in 2-D are ``coco17`` and 25 in 3-D ``ntu25``."""
    fps: float = 30.0
    """Frames a second."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file; the layout is that of the first.

        Raises:
            InputError: no pickle, one without key points, a layout or classes that are unknown.
        """
        check_fps(self.fps)
        items = one_each(files, ".pkl", ".pickle")
        if self.layout:
            layout = get_layout(self.layout)
        else:
            with _content(items[0].files[0]) as content:
                first = load_plain(content, until_axes=4)
                if not isinstance(first, Array) or first.values is None:
                    raise InputError(f"{items[0].name}: {_no_key_points(first)}")
                layout = self._layout_of(first.values.shape)
        return Plan(items, layout, self._names() or None, self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        """The clips of one file, one after another."""
        yield from self._clips(item, self._names())

    def _clips(self, item: Item, names: tuple[str, ...] | None) -> Iterator[SkeletonClip | Rejected]:
        (file,) = item.files
        with _content(file) as content:
            data = load_plain(content)
            annotations = data.get("annotations") if isinstance(data, dict) else data
            if not isinstance(annotations, list) or not annotations:
                raise InputError("it needs a dict with a list 'annotations'")
            del data
            for number, annotation in enumerate(annotations):
                name, keypoint = _field(annotation, "frame_dir"), _field(annotation, "keypoint")
                if not isinstance(name, str) or not name:
                    raise InputError(f"annotation {number} has no name 'frame_dir'")
                if not isinstance(keypoint, Array) or keypoint.values is None:
                    raise InputError(f"annotation {number}: {_no_key_points(annotation)}")
                try:
                    yield self._clip(name, keypoint.values, annotation, names)
                except InputError as error:
                    yield Rejected(f"{item.name}: {name}", str(error))
                keypoint.values = None  # neither kept in memory nor, if the file is malicious, used again

    def _names(self) -> tuple[str, ...]:
        if self.classes == "ntu60":
            return class_names("ntu120")[:60]
        return class_names(self.classes) if self.classes else ()

    def _layout_of(self, shape: tuple[int, ...]) -> JointLayout:
        if self.layout:
            return get_layout(self.layout)
        if layout := _LAYOUTS.get((shape[2], shape[3])):
            return layout
        raise InputError(
            f"{shape[2]} joints in {shape[3]}-D could be several layouts: say which with the option layout"
        )

    def _clip(
        self, name: str, points: npt.NDArray[Any], annotation: object, names: tuple[str, ...] | None
    ) -> SkeletonClip:
        score, frames = _field(annotation, "keypoint_score"), _field(annotation, "total_frames")
        if points.ndim != 4:
            raise InputError(f"'keypoint' must be [persons, frames, joints, coordinates], not of shape {points.shape}")
        if frames is not None and frames != points.shape[1]:
            raise InputError(f"'total_frames' is {_brief(frames)}, but 'keypoint' has {points.shape[1]}")
        # What is too large for float32 becomes infinite here; the clip then says where it stands.
        with np.errstate(over="ignore"):
            joints = points.astype(np.float32).transpose(1, 0, 2, 3)
        confidence = None
        if isinstance(score, Array) and score.values is not None:
            if score.values.shape != points.shape[:3]:
                raise InputError(f"'keypoint_score' must be of shape {points.shape[:3]}, not {score.values.shape}")
            confidence = score.values.astype(np.float32).transpose(1, 0, 2)
            joints = np.where(confidence[..., None] == 0, np.float32(0), joints)
        setup, camera, subject, trial = None, None, None, None
        if match := _NTU_NAME.match(name):
            setup, camera, subject, trial, _ = (int(number) for number in match.groups())
        label = _label(_field(annotation, "label"), names)
        with making_clip(name, label):
            return SkeletonClip(
                joints=np.ascontiguousarray(joints),
                layout=self._layout_of(points.shape),
                fps=self.fps,
                confidence=None if confidence is None else np.ascontiguousarray(confidence),
                clip_id=name,
                label=label,
                subject=subject,
                camera=camera,
                setup=setup,
                trial=trial,
            )


def read_clip_file(path: str | Path, reader: PysklReader = PysklReader()) -> SkeletonClip:
    """Read a pickle of a single clip.

    Raises:
        InputError: the file is absent, damaged, or holds several clips.
    """
    item = single_file(path)
    try:
        clips = reader.read(item)
        clip = next(clips)
        if isinstance(clip, Rejected):
            raise InputError(clip.reason)
        if next(clips, None) is not None:
            raise InputError("it holds several clips: import it as a data set")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return clip


def read_clips(path: str | Path) -> Iterator[SkeletonClip]:
    """All clips of a pickle, without labels where these are numbers (for prediction).

    Raises:
        InputError: the file is absent or damaged, or a clip is not valid.
    """
    item = single_file(path)
    try:
        for found in PysklReader()._clips(item, None):
            if isinstance(found, Rejected):
                raise InputError(f"{found.file.removeprefix(f'{path}: ')}: {found.reason}")
            yield found
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_pyskl(
    store: Store,
    path: str | Path,
    splits: Mapping[str, Sequence[str]] | None = None,
    image_size: tuple[int, int] | None = None,
) -> None:
    """Write a store as a pickle that PYSKL and MMAction2 read, under any version of NumPy.

    ``label`` is the index in ``store.classes`` (-1: none); all clips are in memory once.

    Args:
        splits: name to clip ids, such as ``{"xsub_train": [...], "xsub_val": [...]}``.
        image_size: height and width in pixels of all videos of a 2-D store, written as ``img_shape``.

    Raises:
        InputError: a split names a clip that the store lacks.
    """
    splits = {name: list(ids) for name, ids in (splits or {}).items()}
    known = set(store.clip_ids)
    for name, ids in splits.items():
        if missing := sorted(set(ids) - known):
            raise InputError(f"split {name!r}: the store has no clip {missing[0]!r}")
    annotations = []
    for clip, label in zip(store, store.labels.tolist(), strict=True):
        annotation: dict[str, Any] = {
            "frame_dir": clip.clip_id,
            "total_frames": clip.num_frames,
            "label": label,
            "keypoint": np.ascontiguousarray(clip.joints.transpose(1, 0, 2, 3)),
        }
        if clip.confidence is not None:
            annotation["keypoint_score"] = np.ascontiguousarray(clip.confidence.transpose(1, 0, 2))
        if image_size is not None:
            annotation |= {"img_shape": image_size, "original_shape": image_size}
        annotations.append(annotation)
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        _Pickler(file, protocol=4).dump({"split": splits, "annotations": annotations})


class _Pickler(pickle.Pickler):
    """Arrays by names that NumPy 1 and 2 share; what NumPy 2 writes by itself, older ones cannot read."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is np.ndarray:
            return np.ndarray, (obj.shape, obj.dtype, bytearray(obj.tobytes()))
        return NotImplemented


@contextmanager
def _content(file: SourceFile) -> Iterator[bytes | memoryview]:
    """The bytes of a file, without loading them where it lies on disk by itself."""
    path = file.root / file.name if file.root.is_dir() else file.root
    if path.name != Path(file.name).name or not 0 < file.size <= MAX_BYTES:
        yield file.read(MAX_BYTES)
        return
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})") from None
    with opened:
        # Arrays may still be views of it when we are done: it is closed with the last of them.
        yield memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def _field(annotation: object, name: str) -> Any:
    return annotation.get(name) if isinstance(annotation, dict) else None


def _no_key_points(value: object) -> str:
    if _field(value, "raw_file") is not None:
        return "it keeps its joints in other files ('raw_file', as PYSKL's Kinetics-400 does), which is not read"
    return "it has no array 'keypoint' of [persons, frames, joints, coordinates]"


def _brief(value: object) -> str:
    """A value for an error line; what is nested or huge is not spelled out."""
    return str(value) if type(value) is int and abs(value) < 2**63 else f"of type {type(value).__name__}"


def _label(label: object, names: tuple[str, ...] | None) -> str | None:
    """``names``: what the numbers mean; None: they do not matter."""
    if isinstance(label, str):
        return label or None
    if label is None or label == -1:
        return None
    if type(label) is not int:
        raise InputError(f"its label is {_brief(label)}, neither a number nor a name")
    if names is None:
        return None
    if not names:
        raise InputError("its label is a number: say what the labels mean with the option classes")
    if not 0 <= label < len(names):
        raise InputError(f"its label {_brief(label)} is not one of the {len(names)} classes")
    return names[label]
