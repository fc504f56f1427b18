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

from sugar.datasets.store.manifest import FORMAT_VERSION, Manifest, Rejected, read_manifest
from sugar.datasets.store.rows import (
    COLUMNS,
    STORE_SCHEMA,
    BatchWriter,
    ListView,
    Row,
    as_column,
    numbers,
    rows_of,
    valid,
)
from sugar.datasets.store.rows import as_row as as_row
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.retarget import retarget


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
        self._file = BatchWriter(self.folder / "clips.arrow", STORE_SCHEMA)

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.__exit__(kind, error, trace)

    def add(self, row: Row) -> None:
        """Write one row.

        Raises:
            InputError: its id is missing or there already, or its label is no class.
        """
        self._take(row)
        self._file.add(row | {"label": self._index[row["label"]]})

    def add_batch(self, batch: pa.RecordBatch) -> list[Rejected]:
        """Write the rows of a batch of `ROWSTORE_SCHEMA`, but those that `add` would refuse; tells which."""
        refused: list[Rejected] = []
        labels: list[int | None] = []
        for row in rows_of(batch):
            try:
                self._take(row)
                labels.append(self._index[row["label"]])
            except InputError as error:
                refused.append(Rejected(row["clip_id"], str(error)))
                labels.append(None)
        column = as_column(labels, pa.int32())
        columns = [column if name == "label" else batch.column(name) for name in STORE_SCHEMA.names]
        numbered = pa.record_batch(columns, schema=STORE_SCHEMA)
        self._file.add_batch(numbered.filter(column.is_valid()) if refused else numbered)
        return refused

    def _take(self, row: Row) -> None:
        clip_id, label = row["clip_id"], row["label"]
        if not clip_id or clip_id in self._seen:
            raise InputError(f"clip {clip_id!r}: every clip in a store needs an id of its own; this one is there twice")
        if label not in self._index:
            raise InputError(f"clip {clip_id!r}: its class {label!r} is not one of the {len(self.classes)} classes")
        self._seen.add(clip_id)
        self.clips += 1
        self.frames += row["frames"]
        _update_digest(self._digest, row, self.layout)

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
        self._columns = {name: self._integers(name) for name in ("label", *COLUMNS, "frames", "persons")}
        for values in self._columns.values():
            values.setflags(write=False)
        self._fps = np.concatenate([np.empty(0), *(numbers(batch.column("fps")) for batch in self._batches)])
        self.clip_ids: tuple[str, ...] = tuple(table.column("clip_id").to_pylist())
        self._index = {clip_id: i for i, clip_id in enumerate(self.clip_ids)}
        self._joints = [ListView(batch.column("joints")) for batch in self._batches]
        self._confidence = [ListView(batch.column("confidence")) for batch in self._batches]
        self._relabeled = False

    def _integers(self, name: str) -> npt.NDArray[np.int64]:
        columns = [batch.column(name) for batch in self._batches]
        return np.concatenate([np.empty(0, np.int64), *(np.where(valid(c), numbers(c), -1) for c in columns)])

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
        if table.schema != STORE_SCHEMA or table.num_rows != manifest.clips:
            raise InputError(
                f"store {path}: clips.arrow does not fit its manifest of {manifest.clips} clips; import the data again"
            )
        store = cls(path, manifest, table)
        if store.labels.max(initial=-1) >= len(store.classes):
            raise InputError(
                f"store {path}: clips.arrow does not fit its manifest of {len(store.classes)} classes; "
                "import the data again"
            )
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the file itself in place of receiving all clips.
        layout = None if self.layout == self._stored_layout else self.layout
        return _open_view, (self.path, self.classes, layout, self.labels if self._relabeled else None)

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

    def relabeled(self, labels: npt.NDArray[np.int64]) -> "Store":
        """The same clips with other labels: ``[N]`` class indices, -1 for none."""
        seen = self.view()
        seen._columns["label"] = labels.copy()
        seen._columns["label"].setflags(write=False)
        seen._relabeled = True
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

    @property
    def num_persons(self) -> npt.NDArray[np.int64]:
        """``[N]`` persons of each clip."""
        return self._columns["persons"]

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


def _open_view(
    path: Path, classes: tuple[str, ...], layout: JointLayout | None, labels: npt.NDArray[np.int64] | None
) -> Store:
    store = Store.open(path).view(classes=classes, layout=layout)
    return store if labels is None else store.relabeled(labels)
