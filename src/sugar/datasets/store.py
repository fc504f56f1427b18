"""The store: a data set as one memory-mapped Arrow file with a manifest beside it, in one folder."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sugar.datasets.manifest import FORMAT_VERSION, Manifest, Rejected, read_manifest
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.retarget import retarget

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


_SCHEMA = _schema(pa.int32())  # labels are indices into the manifest's classes, -1 for none
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
        columns = [
            _list_array([row[f.name] for row in self._rows])
            if pa.types.is_list(f.type)
            else pa.array([row[f.name] for row in self._rows], type=f.type)
            for f in self._schema
        ]
        self._rows, self._bytes = [], 0
        self._file.write_batch(pa.record_batch(columns, schema=self._schema))

    def __enter__(self) -> "BatchWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None and self._rows:
            self._flush()
        self._file.close()
        self._sink.close()


def _list_array(arrays: list[npt.NDArray[np.float32] | None]) -> pa.Array:
    lengths = [0 if a is None else len(a) for a in arrays]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.concatenate([a for a in arrays if a is not None] or [np.empty(0, np.float32)])
    missing = pa.array([a is None for a in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=missing)


def _update_digest(digest: Any, row: Row, layout: JointLayout) -> None:
    shape = [row["frames"], row["persons"], layout.num_joints, layout.dimension]
    digest.update(json.dumps([row["clip_id"], row["label"], row["fps"], shape, *(row[c] for c in COLUMNS)]).encode())
    digest.update(row["joints"])
    if row["confidence"] is not None:
        digest.update(row["confidence"])


@dataclass
class StoreWriter:
    """Writes the two files of a store into ``folder``.

    Args:
        folder: an empty folder.
        layout: joint layout of all clips.
        classes: class names in label order.
    """

    folder: Path
    layout: JointLayout
    classes: tuple[str, ...]
    clips: int = 0
    frames: int = 0
    _seen: set[str] = field(default_factory=set)
    _digest: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise InputError("class names must differ from each other")
        self._index: Mapping[str | None, int] = {None: -1} | {name: i for i, name in enumerate(self.classes)}
        self._file = BatchWriter(self.folder / "clips.arrow", _SCHEMA)

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        """Write one row.

        Raises:
            InputError: its id is missing or there already, or its label is no class.
        """
        clip_id, label = row["clip_id"], row["label"]
        if not clip_id or clip_id in self._seen:
            raise InputError(f"clip {clip_id!r}: every clip in a store needs an id of its own; this one is there twice")
        if label not in self._index:
            raise InputError(f"clip {clip_id!r}: its class {label!r} is not one of the {len(self.classes)} classes")
        self._seen.add(clip_id)
        self.clips += 1
        self.frames += row["frames"]
        _update_digest(self._digest, row, self.layout)
        self._file.add(row | {"label": self._index[label]})

    def write_manifest(self, name: str, source: str, rejected: Iterable[Rejected]) -> None:
        """Write what the store says of itself, after its last row."""
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            layout=self.layout,
            classes=self.classes,
            clips=self.clips,
            frames=self.frames,
            source=source,
            hash=self._digest.hexdigest(),
            rejected=tuple(rejected),
        )
        text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False)
        (self.folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


def check_replaceable(path: Path) -> None:
    """Refuse a folder that holds something else: the rename at the end would remove whatever stands there."""
    if path.exists() and not (path / "manifest.json").is_file():
        raise InputError(f"store {path}: something that is not a store is already there; choose another folder")


def write_store(
    path: str | Path,
    clips: Iterable[SkeletonClip | Rejected],
    *,
    name: str,
    classes: Iterable[str],
    layout: JointLayout,
    source: str,
) -> "Store":
    """Write clips as they come into a new store. Memory stays flat; the folder appears only when complete.

    Args:
        path: folder of the store; a store that is already there is replaced.
        clips: valid clips, and rows of rejected files, which go to the manifest.
        name: name of the data set.
        classes: class names in label order.
        layout: joint layout of all clips.
        source: where the data came from, in words.

    Raises:
        InputError: no clip, a clip id twice, an unknown class, another layout, or a folder that is no store.
    """
    path = Path(path)
    check_replaceable(path)
    refused: list[Rejected] = []
    with atomic_folder(path) as folder:
        with StoreWriter(folder, layout, tuple(classes)) as writer:
            for clip in clips:
                if isinstance(clip, Rejected):
                    refused.append(clip)
                    continue
                if clip.layout != layout:
                    raise InputError(
                        f"clip {clip.clip_id!r}: its layout is {clip.layout.name!r}, the store's {layout.name!r}"
                    )
                writer.add(as_row(clip))
        if not writer.clips:
            why = f" (first of {len(refused)} rejected: {refused[0].reason})" if refused else ""
            raise InputError(f"store {path}: {source} holds no valid clip{why}")
        writer.write_manifest(name, source, refused)
    return Store.open(path)


class Store:
    """A data set on disk. ``store[i]`` is clip i, read without touching the others and without a copy."""

    def __init__(self, path: Path, manifest: Manifest, table: pa.Table) -> None:
        self.path = path
        self.manifest = manifest
        self._stored_layout = manifest.layout
        self._batches = table.to_batches()
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        numbers = ("label", *COLUMNS, "frames", "persons")
        self._columns = {n: table.column(n).fill_null(-1).to_numpy().astype(np.int64) for n in numbers}
        for values in self._columns.values():
            values.setflags(write=False)
        self._fps = table.column("fps").to_numpy()
        self.clip_ids: tuple[str, ...] = tuple(table.column("clip_id").to_pylist())
        self._index = {clip_id: i for i, clip_id in enumerate(self.clip_ids)}
        self._joints = [_ListView(batch.column("joints")) for batch in self._batches]
        self._confidence = [_ListView(batch.column("confidence")) for batch in self._batches]

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """Open a store; only the small columns are read.

        Raises:
            InputError: no store there, a newer version, a missing, truncated or inconsistent file.
        """
        path = Path(path)
        manifest = read_manifest(path)
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path / "clips.arrow"))).read_all()
        except FileNotFoundError:
            raise InputError(f"store {path}: clips.arrow is missing; import the data again") from None
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"store {path}: clips.arrow is damaged ({reason}); import the data again") from None
        if table.schema != _SCHEMA or table.num_rows != manifest.clips:
            raise InputError(
                f"store {path}: clips.arrow does not fit its manifest of {manifest.clips} clips; import the data again"
            )
        return cls(path, manifest, table)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the file itself in place of receiving all clips.
        return _open_view, (self.path, self.classes, None if self.layout == self._stored_layout else self.layout)

    def view(self, *, classes: Sequence[str] | None = None, layout: JointLayout | None = None) -> "Store":
        """The same clips with some of the classes only, or in another joint layout.

        Args:
            classes: names in the new label order; clips of other classes have no label.
            layout: every clip is retargeted to it (`sugar.skeleton.retarget`).

        Raises:
            InputError: the store lacks a class.
        """
        seen = object.__new__(Store)  # copy.copy would go by __reduce__ and read the file again
        seen.__dict__.update(self.__dict__)
        classes = self.classes if classes is None else tuple(classes)
        if missing := [name for name in classes if name not in self.classes]:
            raise InputError(f"store {self.path}: it has no class {missing[0]!r}")
        new = np.array([classes.index(name) if name in classes else -1 for name in self.classes] + [-1])
        seen._columns = self._columns | {"label": new[self.labels]}  # label -1 is the last entry
        seen.manifest = replace(self.manifest, classes=classes, layout=layout or self.layout)
        return seen

    def __len__(self) -> int:
        return self.manifest.clips

    def __getitem__(self, i: int) -> SkeletonClip:
        i = range(len(self))[i]
        batch = int(np.searchsorted(self._starts, i, side="right")) - 1
        row = i - int(self._starts[batch])
        columns = {name: int(values[i]) for name, values in self._columns.items()}
        layout = self._stored_layout
        shape = (columns["frames"], columns["persons"], layout.num_joints, layout.dimension)
        joints = self._joints[batch][row]
        if joints is None or joints.size != np.prod(shape):
            raise InputError(f"store {self.path}: clip {self.clip_ids[i]!r} is damaged; import the data again")
        confidence = self._confidence[batch][row]
        label = columns["label"]
        clip = SkeletonClip(
            joints=joints.reshape(shape),
            layout=layout,
            fps=float(self._fps[i]),
            confidence=None if confidence is None else confidence.reshape(shape[:3]),
            clip_id=self.clip_ids[i],
            label=None if label < 0 else self.classes[label],
            **{name: None if columns[name] < 0 else columns[name] for name in COLUMNS},
        )
        return clip if self.layout == layout else retarget(clip, self.layout)

    def __iter__(self) -> Iterator[SkeletonClip]:
        return (self[i] for i in range(len(self)))

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def layout(self) -> JointLayout:
        return self.manifest.layout

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def hash(self) -> str:
        return self.manifest.hash

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """``[N]`` class indices, -1 for none."""
        return self._columns["label"]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """``[N]`` frames of each clip."""
        return self._columns["frames"]

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """``[N]`` values of subject, camera, setup or trial, -1 for none."""
        if name not in COLUMNS:
            raise InputError(f"store {self.path}: no column {name!r}; there are {', '.join(COLUMNS)}")
        return self._columns[name]

    def index(self, clip_id: str) -> int:
        """Position of a clip by its id.

        Raises:
            InputError: no clip has this id.
        """
        try:
            return self._index[clip_id]
        except KeyError:
            raise InputError(f"store {self.path}: it has no clip {clip_id!r}") from None

    def verify(self) -> None:
        """Read everything and compare it with the manifest's hash.

        Raises:
            InputError: some clip is damaged or was changed.
        """
        digest = hashlib.sha256()
        for clip in self:
            _update_digest(digest, as_row(clip), self.layout)
        if digest.hexdigest() != self.hash:
            raise InputError(f"store {self.path}: its clips differ from the hash in its manifest")


def _open_view(path: Path, classes: tuple[str, ...], layout: JointLayout | None) -> Store:
    return Store.open(path).view(classes=classes, layout=layout)


class _ListView:
    """Rows of a list column as NumPy views into the mapped file."""

    def __init__(self, column: pa.ListArray) -> None:
        self._values = column.values.to_numpy(zero_copy_only=True)
        self._offsets = column.offsets.to_numpy()
        self._valid = column.is_valid().to_numpy(zero_copy_only=False)

    def __getitem__(self, row: int) -> npt.NDArray[np.float32] | None:
        return self._values[self._offsets[row] : self._offsets[row + 1]] if self._valid[row] else None
