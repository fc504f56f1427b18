"""Clips as rows of Arrow batches: the columns of a store's file, and of the parts that it is made of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sugar.skeleton.clip import SkeletonClip

COLUMNS = ("subject", "camera", "setup", "trial")
_BATCH_CLIPS = 64
_BATCH_BYTES = 8_000_000


def _schema(label: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            ("clip_id", pa.string()),
            ("label", label),
            *((name, pa.int32()) for name in COLUMNS),
            ("fps", pa.float64()),
            ("frames", pa.int32()),
            ("persons", pa.int32()),
            ("joints", pa.list_(pa.float32())),
            ("confidence", pa.list_(pa.float32())),
        ]
    )


STORE_SCHEMA = _schema(pa.int32())
"""Rows of a store: labels are indices into the manifest's classes, -1 for none."""
ROW_SCHEMA = _schema(pa.string())
"""Rows before the classes are known: labels by name."""

Row = dict[str, Any]
"""One clip as the columns of `ROW_SCHEMA`; joints and confidence are flat float32 arrays."""


def as_row(clip: SkeletonClip) -> Row:
    """The clip as one row."""
    confidence = None if clip.confidence is None else np.ascontiguousarray(clip.confidence).reshape(-1)
    return {
        "clip_id": clip.clip_id,
        "label": clip.label,
        **{name: getattr(clip, name) for name in COLUMNS},
        "fps": float(clip.fps),
        "frames": clip.num_frames,
        "persons": clip.num_persons,
        "joints": np.ascontiguousarray(clip.joints).reshape(-1),
        "confidence": confidence,
    }


class BatchWriter:
    """Gathers rows and lets them go batch by batch, so that memory does not grow with the data set."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._sink = pa.OSFile(str(path), "wb")
        self._file = pa.ipc.new_file(self._sink, schema)
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row) -> None:
        """Take one row."""
        self._rows.append(row)
        self._bytes += row["joints"].nbytes
        if len(self._rows) >= _BATCH_CLIPS or self._bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        columns = [as_column([row[f.name] for row in self._rows], f.type) for f in self._schema]
        self._rows, self._bytes = [], 0
        self._file.write_batch(pa.record_batch(columns, schema=self._schema))

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch of the same schema."""
        if self._rows:
            self._flush()
        self._file.write_batch(batch)

    def __enter__(self) -> "BatchWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None and self._rows:
            self._flush()
        self._file.close()
        self._sink.close()


def as_column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Numbers, strings or flat arrays of numbers, or None where there is none, as an Arrow array.

    Built of buffers: `pyarrow.array` imports pandas wherever that is installed, which takes a reading process longer
    than to read hundreds of clips.
    """
    there = [value is not None for value in values]
    valid = None if all(there) else pa.py_buffer(np.packbits(there, bitorder="little"))
    if not pa.types.is_list(kind) and not pa.types.is_string(kind):
        numbers = np.array([0 if value is None else value for value in values], kind.to_pandas_dtype())
        return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(numbers)])
    parts = [value for value in values if value is not None]
    if pa.types.is_string(kind):
        parts = [text.encode() for text in parts]
    lengths = np.zeros(len(values), np.int64)
    lengths[there] = [len(part) for part in parts]
    offsets = pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    if pa.types.is_string(kind):
        return pa.Array.from_buffers(kind, len(values), [valid, offsets, pa.py_buffer(b"".join(parts))])
    numbers = np.concatenate(parts or [np.empty(0)], dtype=kind.value_type.to_pandas_dtype())
    children = [pa.Array.from_buffers(kind.value_type, len(numbers), [None, pa.py_buffer(numbers)])]
    return pa.Array.from_buffers(kind, len(values), [valid, offsets], children=children)


def rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a batch of `ROW_SCHEMA`; joints and confidence are views into it."""
    names = batch.schema.names
    columns = [ListView(column) if pa.types.is_list(column.type) else column.to_pylist() for column in batch.columns]
    return (dict(zip(names, (column[i] for column in columns), strict=True)) for i in range(batch.num_rows))


class ListView:
    """Rows of a list column as NumPy views into the mapped file."""

    def __init__(self, column: pa.ListArray) -> None:
        self._values = numbers(column.values)
        self._offsets = numbers(column.offsets)
        self._valid = valid(column)

    def __getitem__(self, row: int) -> npt.NDArray[np.float32] | None:
        return self._values[self._offsets[row] : self._offsets[row + 1]] if self._valid[row] else None


def numbers(column: pa.Array) -> npt.NDArray[Any]:
    """A view of a column of numbers; anything where one is missing. Like `as_column` it does without pandas."""
    content = column.buffers()[1]
    if content is None:
        return np.empty(0, column.type.to_pandas_dtype())
    return np.frombuffer(content, column.type.to_pandas_dtype())[column.offset : column.offset + len(column)]


def valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows of a column are there."""
    bits = column.buffers()[0]
    if bits is None:
        return np.ones(len(column), np.bool_)
    each = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return each[column.offset : column.offset + len(column)].view(np.bool_)
