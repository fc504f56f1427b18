"""Files of clips in plain forms: NPZ, NPY, JSON, and the tables of `clip_tables`; from their content to clips.

A file is first read as records (a dictionary of `CLIP_KEYS` a clip), then a record with the conventions of its
data set (layout, units, vertical axis) becomes a clip.
"""

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.parsing.clip_tables import table_records
from sugar.datasets.formats.parsing.path_labels import NUMBERS, whole_number
from sugar.datasets.formats.parsing.pose_json import leaf_types
from sugar.datasets.formats.source import MAX_BYTES, making_clip
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import LAYOUTS, get_layout

CLIP_KEYS = ("joints", "layout", "fps", "confidence", "clip_id", "label", *NUMBERS)
SUFFIXES = (".npz", ".npy", ".json", ".jsonl", ".csv", ".parquet")
EXAMPLE = "{layout: coco17, fps: 30, units: pixels, label: folder}"
"""A whole dataset.yaml on one line, for messages."""

Record = Mapping[str, Any]
Axis = Literal["x", "y", "z", "-x", "-y", "-z"]
_ZIP_LIMIT = 16 * 1024**2
_ZIP_RATIO = 500


@dataclass(frozen=True)
class Conventions:
    """How the numbers of a data set's files are meant.

    Args:
        layout: joint layout; None: what a clip says, or the only one that fits its shape.
        fps: frames a second of clips that do not say it.
        to_meters: factor on 3-D coordinates.
        up: the axis of the files that points up; None: they are as the layout has them.
        last_is_confidence: the last coordinate of ``joints`` is a confidence.
        nan_is_missing: a NaN in ``joints`` means not measured; otherwise it is an error.
    """

    layout: JointLayout | None = None
    fps: float = 30.0
    to_meters: float = 1.0
    up: Axis | None = None
    last_is_confidence: bool = False
    nan_is_missing: bool = False


def read_clips(path: str | Path) -> Iterator[SkeletonClip]:
    """The clips of one file that describes itself (for prediction): its layout is a key or follows from its joints.

    Raises:
        InputError: no such file, another form, or anything in it that is not a valid clip; names the file.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: unknown format {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    yield from clips_of(content, path.suffix, str(path))


def clips_of(content: bytes, suffix: str, where: str) -> Iterator[SkeletonClip]:
    """The clips of a file's content; ``where`` names it in errors and in the ids of clips that have none."""
    try:
        records = list(read_records(content, suffix, None))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    for number, record in enumerate(records):
        place = where if len(records) == 1 else f"{where}, clip {number + 1}"
        if isinstance(record, Rejected):
            raise InputError(f"{place}: {record.reason}")
        try:
            yield clip_of(record, Conventions(), record_id(Path(where).stem, number, len(records)))
        except InputError as error:
            raise InputError(f"{place}: {error}") from None


def record_id(stem: str, number: int, count: int) -> str:
    """Id of a clip that has none: its file's name, with a number if it holds several."""
    return stem if count == 1 else f"{stem}-{number + 1}"


def read_records(content: bytes, suffix: str, layout: JointLayout | None) -> Iterator[Record | Rejected]:
    """What a file's content says, clip by clip; a clip of a table that cannot be put together is rejected.

    Args:
        suffix: form of the content, one of `SUFFIXES`.
        layout: joint layout of the data set; tables need one to put columns in order, or guess it by joint names.

    Raises:
        InputError: the content is not of its form.
    """
    if not content:
        raise InputError("it is empty; give joints [T, M, V, C] and layout")
    suffix = suffix.lower()
    if suffix == ".npz":
        yield _npz(content)
    elif suffix == ".npy":
        yield {"joints": npy_array(content)}
    elif suffix in (".csv", ".parquet"):
        yield from table_records(content, suffix, layout)
    else:
        yield from _json(content)


def clip_of(record: Record, conventions: Conventions, default_id: str) -> SkeletonClip:
    """The clip that a record describes.

    Joints are ``[T, V, C]`` (one person) or ``[T, M, V, C]``. A joint with a null, or with confidence 0, was not
    measured and becomes zero.

    Raises:
        InputError: a missing or unknown key, a value that does not belong there, or no valid clip.
    """
    if unknown := [key for key in record if key not in CLIP_KEYS]:
        raise InputError(f"unknown key {unknown[0]!r}; known are {', '.join(CLIP_KEYS)}")
    if record.get("joints") is None:
        raise InputError("key 'joints' is missing; give joints [T, M, V, C] and a layout name")
    joints, missing = _numbers(record["joints"], "joints")
    given = record.get("confidence")
    confidence, unsure = (None, None) if given is None else _numbers(given, "confidence")
    if conventions.last_is_confidence and joints.ndim >= 3:
        if confidence is not None:
            raise InputError("it has both a confidence and, by its dataset.yaml, one as the last coordinate")
        joints, confidence, unsure = joints[..., :-1], joints[..., -1], missing[..., -1]
        missing = missing[..., :-1]
    if conventions.nan_is_missing:
        missing = missing | np.isnan(joints)
    if joints.ndim == 3:  # one person
        joints, missing = joints[:, None], missing[:, None]
        if confidence is not None and unsure is not None and confidence.ndim == 2:
            confidence, unsure = confidence[:, None], unsure[:, None]
    layout = _layout_of(record, conventions, joints.shape)
    if joints.ndim == 4 and joints.shape[2:] == (layout.num_joints, layout.dimension):
        lost = np.asarray(missing.any(axis=-1))
        if confidence is not None and unsure is not None and confidence.shape == joints.shape[:3]:
            confidence = np.where(lost | unsure, 0, confidence)
            lost = lost | (confidence == 0)
        joints = upright(np.where(lost[..., None], 0, joints * conventions.to_meters), conventions.up, layout)
    said = record.get("clip_id")
    clip_id = ("" if said is None else str(said)).strip() or default_id
    label = record.get("label")
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise InputError(f"label must be a class name or a number, not {label!r}")
    label = None if label is None else str(label).strip()
    with making_clip(clip_id, label):
        return SkeletonClip(
            joints=joints,  # type: ignore[arg-type]  # the clip makes it float32 and checks it
            layout=layout,
            fps=_fps(record.get("fps"), conventions.fps),
            confidence=confidence,  # type: ignore[arg-type]
            clip_id=clip_id,
            label=label or None,
            **{name: number_of(record.get(name), name) for name in NUMBERS},
        )


def upright(joints: npt.NDArray[Any], up: Axis | None, layout: JointLayout) -> npt.NDArray[Any]:
    """``joints`` ``[..., C]`` turned (never mirrored, in 3-D) so that the file's axis ``up`` is the layout's.

    In an image y runs down, so that ``-y`` changes nothing there and ``y`` turns the picture the right way up.

    Raises:
        InputError: an axis that the layout does not have.
    """
    if up is None:
        return joints
    axis, sign = "xyz".index(up[-1]), -1 if up.startswith("-") else 1
    if layout.dimension == 2:
        if axis != 1:
            raise InputError(f"up: {up} does not suit {layout.name}, whose points are pixels; leave it out, or use y")
        return joints * np.array([1, -sign]) + 0.0
    turned = joints.copy()
    if axis != layout.up:
        turned[..., layout.up], turned[..., axis] = sign * joints[..., axis], -sign * joints[..., layout.up]
    elif sign < 0:  # half a turn about another axis
        turned[..., [layout.up, (layout.up + 1) % 3]] *= -1
    return turned + 0.0  # no negative zeros


def number_of(value: object, what: str) -> int | None:
    """Subject, camera, setup or trial: a number, or a text with one at its end such as ``P03``; None for none.

    Raises:
        InputError: anything else, below zero, or beyond 32 bits.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        value = str(int(value))
    if not isinstance(value, str):
        raise InputError(f"{what} must be a whole number, not {value!r}")
    return whole_number(value, what)


def _fps(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"fps must be a number, not {value!r}")
    return float(value)


def _layout_of(record: Record, conventions: Conventions, shape: tuple[int, ...]) -> JointLayout:
    said = record.get("layout")
    if conventions.layout is not None:
        if said is not None and str(said) != conventions.layout.name:
            raise InputError(f"its layout is {said!r}, that of the data set {conventions.layout.name!r}")
        return conventions.layout
    if said is not None:
        return get_layout(str(said))
    if len(shape) != 4:
        raise InputError(f"joints must be [T, V, C] or [T, M, V, C] (a person axis), not of shape {shape}")
    # Three numbers a joint may also be two coordinates and a confidence, which no rule can tell apart.
    fitting = [one for one in LAYOUTS if one.num_joints == shape[2] and one.dimension in (shape[3], shape[3] - 1)]
    if len(fitting) == 1 and fitting[0].dimension == shape[3]:
        return fitting[0]
    names = " or ".join(one.name for one in fitting) or "none that is built in"
    raise InputError(
        f"the layout of {shape[2]} joints with {shape[3]} numbers each is not known ({names} would fit): say it under "
        f"the key 'layout', or for all files in a dataset.yaml such as {EXAMPLE}"
    )


def _numbers(values: object, what: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """As float64, and where there was a null."""
    fault = InputError(f"{what} are not a regular array of numbers")
    try:
        raw = np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise fault from None
    if raw.dtype.kind != "O":
        if raw.dtype.kind not in "fiu" or (isinstance(values, list) and bool in leaf_types(values, raw.ndim)):
            raise fault
        with np.errstate(over="ignore", invalid="ignore"):
            return raw.astype(np.float64), np.zeros(raw.shape, bool)
    plain = raw.ravel().tolist()
    if not all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in plain):
        raise fault
    try:
        filled = np.array([0.0 if v is None else float(v) for v in plain]).reshape(raw.shape)
    except OverflowError:
        raise InputError(f"{what} hold a number beyond all floating point") from None
    return filled, np.array([v is None for v in plain], dtype=bool).reshape(raw.shape)


def _json(content: bytes) -> Iterator[Record]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot be read as text ({error})") from None
    if not text.strip():
        raise InputError("it is empty; give a JSON object with joints [T, M, V, C] and layout")
    try:
        data = json.loads(text)
        objects = data if isinstance(data, list) else [data]
    except RecursionError:
        raise InputError("its lists are nested too deeply") from None
    except ValueError as whole:
        try:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise InputError(f"truncated or not JSON ({whole})") from None
    if not objects:
        raise InputError("its list holds no clip")
    for item in objects:
        if not isinstance(item, dict):
            raise InputError(f"expected an object with joints and layout, not {type(item).__name__}")
        if "joint_names" in item and "joints" not in item:
            raise InputError("it is a joint layout, not a clip; dataset.yaml names it, under the key 'layout'")
        yield item


def _npz(content: bytes) -> Record:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > min(
                max(_ZIP_LIMIT, _ZIP_RATIO * len(content)), 4 * MAX_BYTES
            ):
                raise InputError("it would unpack to a size out of all proportion; it is not read")
            arrays = {m.filename.removesuffix(".npy"): npy_array(archive.read(m)) for m in members}
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"not a readable .npz of plain arrays ({error})") from None
    if list(arrays) == ["arr_0"]:  # np.savez without a name
        arrays = {"joints": arrays["arr_0"]}
    return {key: value.item() if value.ndim == 0 else value for key, value in arrays.items()}


def npy_array(content: bytes) -> npt.NDArray[Any]:
    """The array of a ``.npy`` file's content; nothing is allocated that is not there, and nothing is unpickled.

    Raises:
        InputError: not a plain array, or its header claims another size than it has.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise InputError(f"a .npy of version {version} is not read; save the array again")
        shape, fortran, dtype = read_header[version](stream)
    # The header is a Python literal, whose parser has errors of many kinds.
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError, OverflowError) as error:
        raise InputError(f"not a readable .npy array ({' '.join(str(error).split())})") from None
    if dtype.kind not in "fiubSU":
        raise InputError(f"an array of type {dtype} is not read; give plain numbers")
    body = content[stream.tell() :]
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(body):
        raise InputError(f"truncated: its header claims shape {shape} of {dtype}, but {len(body):,} bytes follow")
    if not body:
        return np.empty(shape, dtype) if max(shape, default=0) < 2**31 else np.empty(0, dtype)
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
