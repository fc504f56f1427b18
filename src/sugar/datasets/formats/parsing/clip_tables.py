"""Clips in tables (CSV, Parquet): one row a joint (long form), or one row a person and frame (wide form).

Long: columns ``frame``, ``joint`` (name or number), ``x``, ``y``, ``z``, ``confidence``. Wide: ``frame`` and for each
joint ``left_wrist_x``, ``left_wrist_y``, ... ``left_wrist_confidence``. Both may have ``person``, ``clip_id``
(several clips in a file) and, the same in all rows of a clip, ``label``, ``fps``, ``subject``, ``camera``, ``setup``,
``trial``. Frames are counted from the first one that occurs; absent rows and empty cells were not measured.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from sugar.datasets.formats.parsing.last_number import check_last_number
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout, plain_joint_name
from sugar.skeleton.layouts import LAYOUTS, get_layout

_ALIASES = {
    "frame": ("frame", "frame_id", "frame_index", "frame_number"),
    "person": ("person", "person_id", "track_id"),
    "clip_id": ("clip_id", "clip"),
    "confidence": ("confidence", "score"),
    "joint": ("joint", "joint_name", "keypoint"),
}
_ONCE = ("label", "layout", "subject", "camera", "setup", "trial", "fps")
"""Columns that hold one value a clip."""
_TEXTS = ("clip_id", "person", "joint", "label", "layout", "subject", "camera", "setup", "trial")
_MAX_VALUES = 50_000_000
_MAX_GAP = 10
_MAX_EMPTY = 50
_LAST_ROWS = 100

Rows = npt.NDArray[np.int64]


def table_records(content: bytes, suffix: str, layout: JointLayout | None) -> Iterator[dict[str, Any] | Rejected]:
    """The clips of a table's content as records; a clip whose rows contradict each other is rejected.

    Args:
        suffix: ``.csv`` (separated by comma, semicolon or tab) or ``.parquet``.
        layout: joint layout; None: that of column ``layout``, or the one whose joints the table names.

    Raises:
        InputError: not such a table, a column is missing or holds words for numbers, joints of no layout.
    """
    columns = _read_csv(content) if suffix == ".csv" else _read_parquet(content)
    if columns.rows == 0:
        raise InputError("it has no rows")
    layout = layout or _layout_of(columns)
    points = _long_points(columns, layout) if columns.has("joint") else _wide_points(columns, layout)
    frames = _frames(columns)
    people = _people(columns.texts("person")) if columns.has("person") else np.zeros(columns.rows, np.int64)
    ids = columns.texts("clip_id") if columns.has("clip_id") else np.full(columns.rows, "", dtype=object)
    names = list(dict.fromkeys(ids))
    clips = _places(ids, names)
    once = {key: columns.texts(key) for key in _ONCE if key != "fps" and columns.has(key)}
    fps = columns.numbers("fps") if columns.has("fps") else None
    order = np.argsort(clips, kind="stable")
    for name, rows in zip(names, np.split(order, np.flatnonzero(np.diff(clips[order])) + 1), strict=True):
        try:
            record: dict[str, Any] = {key: _same(values[rows], key) for key, values in once.items()}
            record["fps"] = None if fps is None else _same(fps[rows], "fps")
            record |= _place(points, rows, frames[rows], people[rows], layout)
        except InputError as error:
            yield Rejected(name, str(error))
        else:
            yield record | {"clip_id": name or None, "layout": layout.name}


def read_texts(content: bytes, suffix: str) -> dict[str, list[str]]:
    """All columns of a CSV or Parquet table as texts, by their plain names; empty where a cell is empty.

    Raises:
        InputError: not such a table.
    """
    if suffix not in (".csv", ".parquet"):
        raise InputError("it must be a .csv or a .parquet file")
    columns = _read_csv(content, texts_only=True) if suffix == ".csv" else _read_parquet(content)
    return {name: columns.texts(name).tolist() for name in columns.names}


class _Columns:
    """The columns of a table by their plain names: lower case, underscores, aliases resolved."""

    def __init__(self, table: pa.Table) -> None:
        self.rows: int = table.num_rows
        self._columns: dict[str, pa.ChunkedArray] = {}
        for title, column in zip(table.column_names, table.columns, strict=True):
            name = _plain(title)
            if name in self._columns:
                raise InputError(f"its column {title!r} is there twice")
            self._columns[name] = column

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._columns)

    def has(self, name: str) -> bool:
        return name in self._columns

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as float64; NaN where it is empty."""
        column = self._get(name)
        kind = column.type
        if pa.types.is_null(kind):
            return np.full(self.rows, np.nan)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            texts = (str(value) for value in column.to_pylist() if value is not None)
            raise InputError(f"its column {name!r} holds {_no_number(texts)}")
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)

    def texts(self, name: str) -> npt.NDArray[np.object_]:
        """A column as texts without spaces around them; empty where it is empty."""
        column = self._get(name)
        try:
            values = column.cast(pa.string()).to_pylist()
        except (pa.ArrowException, UnicodeDecodeError):
            raise InputError(f"its column {name!r} cannot be read as text") from None
        return np.array([(value or "").strip() for value in values], dtype=object)

    def _get(self, name: str) -> pa.ChunkedArray:
        if name not in self._columns:
            few = ", ".join(self.names[:8])
            raise InputError(f"it has no column {name!r} (it has {few}{', ...' if len(self.names) > 8 else ''})")
        return self._columns[name]


def _plain(title: str) -> str:
    name = plain_joint_name(title)
    return next((key for key, aliases in _ALIASES.items() if name in aliases), name)


def _no_number(texts: Iterator[str]) -> str:
    for text in texts:
        try:
            float(text)
        except ValueError:
            comma = re.fullmatch(r"\s*[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?\s*", text)
            hint = f"; write decimals with a point, {text.strip().replace(',', '.')}" if comma else ""
            return f"{text[:40]!r}, which is not a number{hint}"
    return "a value that is not a number"


def _read_csv(content: bytes, texts_only: bool = False) -> _Columns:
    try:
        first = content[:1_000_000].split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"it is not text in UTF-8 ({error.reason} at byte {error.start})") from None
    delimiter = max(",;\t", key=first.count)
    try:
        titles = next(csv.reader(io.StringIO(first), delimiter=delimiter), [])
    except csv.Error as error:
        raise InputError(f"its first line has no titles of columns ({error})") from None
    # Left to itself, Arrow would read the clip 007 as the number 7.
    texts = {title: pa.string() for title in titles if texts_only or _plain(title) in _TEXTS}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(column_types=texts),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"truncated or not a CSV table ({' '.join(str(error).split())})") from None
    *before, last = [line.rpartition(delimiter.encode())[2] for line in content.rsplit(b"\n", _LAST_ROWS)]
    check_last_number(content, last, before[1:])
    return _Columns(table)


def _read_parquet(content: bytes) -> _Columns:
    try:
        file = pa_parquet.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows * file.metadata.num_columns > _MAX_VALUES:
            raise InputError(f"more than {_MAX_VALUES:,} values in one file; split it into several")
        return _Columns(file.read(use_threads=False))
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        raise InputError(f"truncated or not a Parquet table ({' '.join(str(error).split())})") from None


def _layout_of(columns: _Columns) -> JointLayout:
    if columns.has("layout"):
        return get_layout(str(_same(columns.texts("layout"), "layout")))
    if columns.has("joint"):
        named = {plain_joint_name(name) for name in columns.texts("joint")}
        dimension = 3 if columns.has("z") else 2
    else:
        named = {name.removesuffix("_x") for name in columns.names if name.endswith("_x")}
        dimension = 3 if any(name.endswith("_z") for name in columns.names) else 2
    fitting = [one for one in LAYOUTS if set(one.joint_names) == named and one.dimension == dimension]
    if len(fitting) != 1:
        few = ", ".join(sorted(named)[:4])
        raise InputError(
            f"its joints ({len(named)}: {few}, ...) in {dimension}-D are those of no built-in layout: say the layout "
            "in a column 'layout', or for all files in a dataset.yaml such as "
            "{layout: coco17, fps: 30, units: pixels, label: column}"
        )
    return fitting[0]


@dataclass(frozen=True)
class _Points:
    """What the rows hold, before they are put in their places.

    Args:
        values: ``[rows, joints, C]``; a row of the long form has one joint; zero where not measured.
        confidence: ``[rows, joints]`` or None.
        joint: ``[rows]`` which joint a row of the long form is about; None in the wide form.
    """

    values: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64] | None
    joint: Rows | None


def _points(values: npt.NDArray[np.float64], confidence: npt.NDArray[np.float64] | None, joint: Rows | None) -> _Points:
    lost = np.asarray(np.isnan(values).any(axis=-1))
    if confidence is not None:
        lost |= np.isnan(confidence)
        confidence = np.where(lost, 0, confidence)
    return _Points(np.where(lost[..., None], 0, values), confidence, joint)


def _wide_points(columns: _Columns, layout: JointLayout) -> _Points:
    axes, joints = "xyz"[: layout.dimension], [plain_joint_name(name) for name in layout.joint_names]
    values = np.stack([np.stack([columns.numbers(f"{joint}_{axis}") for axis in axes], -1) for joint in joints], 1)
    endings = [end for end in _ALIASES["confidence"] if any(n.endswith(f"_{end}") for n in columns.names)]
    if not endings:
        return _points(values, None, None)
    return _points(values, np.stack([columns.numbers(f"{j}_{endings[0]}") for j in joints], 1), None)


def _long_points(columns: _Columns, layout: JointLayout) -> _Points:
    values = np.stack([columns.numbers(axis) for axis in "xyz"[: layout.dimension]], -1)[:, None]
    number = {plain_joint_name(name): i for i, name in enumerate(layout.joint_names)}
    number |= {str(i): i for i in range(layout.num_joints)}
    joint = np.array([number.get(plain_joint_name(name), -1) for name in columns.texts("joint")])
    if (joint < 0).any():
        row = int(np.argmin(joint))
        raise InputError(
            f"row {row + 1}: {columns.texts('joint')[row]!r} is no joint of layout {layout.name}, which has "
            f"{', '.join(layout.joint_names)}"
        )
    confidence = columns.numbers("confidence")[:, None] if columns.has("confidence") else None
    return _points(values, confidence, joint)


def _frames(columns: _Columns) -> Rows:
    values = columns.numbers("frame")
    # A NaN compares false; beyond 2**53 float64 no longer tells whole numbers apart.
    wrong = ~((np.abs(values) < 2**53) & (values == np.round(values)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"row {row + 1}: frame must be a whole number, not {values[row]}")
    return values.astype(np.int64)


def _people(texts: npt.NDArray[np.object_]) -> Rows:
    """A number for each person, in the order of their names, or of their numbers if they have such."""
    distinct = set(texts)
    as_numbers = all(text.isdecimal() and len(text) < 19 for text in distinct)
    return _places(texts, sorted(distinct, key=(lambda text: (int(text), text)) if as_numbers else None))


def _places(texts: npt.NDArray[np.object_], names: list[str]) -> Rows:
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.int64)


def _same(values: npt.NDArray[Any], key: str) -> Any:
    distinct = {value for value in values.tolist() if value == value and value != ""}
    if len(distinct) > 1:
        raise InputError(f"its {key} differs from row to row ({' and '.join(sorted(map(str, distinct))[:2])})")
    return distinct.pop() if distinct else None


def _place(points: _Points, rows: Rows, frames: Rows, people: Rows, layout: JointLayout) -> dict[str, Any]:
    """Joints ``[T, M, V, C]`` and confidence ``[T, M, V]`` of one clip from its rows."""
    distinct = np.unique(frames)
    # Every second or third frame of a video: its own numbers are the frames.
    step = max(int(np.gcd.reduce(np.diff(distinct))) if len(distinct) > 1 else 1, 1)
    time = (frames - distinct[0]) // step
    _, person = np.unique(people, return_inverse=True)
    num_frames, persons, joints = int(time.max()) + 1, int(person.max()) + 1, layout.num_joints
    if num_frames > _MAX_GAP * len(distinct):
        raise InputError(f"{len(distinct)} frames have numbers up to {int(frames.max()):,}; number them without gaps")
    if num_frames * persons * joints > max(1_000_000, _MAX_EMPTY * len(rows) * points.values.shape[1]):
        raise InputError(f"{persons:,} persons in {num_frames:,} frames, nearly all empty; number them clip by clip")
    cell = time * persons + person
    if points.joint is not None:
        cell = cell * joints + points.joint[rows]
    counts = np.bincount(cell)
    if counts.max() > 1:
        row = int(np.flatnonzero(counts[cell] > 1)[0])
        joint = "" if points.joint is None else f" for {layout.joint_names[points.joint[rows[row]]]}"
        raise InputError(
            f"frame {frames[row]} is there twice{joint}; a column that tells clips or persons apart is missing"
        )
    shape = (num_frames, persons, joints, layout.dimension)
    placed = np.zeros((num_frames * persons * joints // points.values.shape[1], *points.values.shape[1:]))
    placed[cell] = points.values[rows]
    if points.confidence is None:
        return {"joints": placed.reshape(shape)}
    sure = np.zeros(placed.shape[:2])
    sure[cell] = points.confidence[rows]
    return {"joints": placed.reshape(shape), "confidence": sure.reshape(shape[:3])}


def column_names(layout: JointLayout, confidence: bool) -> Sequence[str]:
    """The columns of the wide form for one layout, joint by joint."""
    ends = [*"xyz"[: layout.dimension], *(["confidence"] if confidence else [])]
    return [f"{joint}_{end}" for joint in layout.joint_names for end in ends]
