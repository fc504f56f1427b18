"""The store: a data set as one memory-mapped Arrow file with a manifest beside it, in one folder."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout

FORMAT_VERSION = 1
COLUMNS = ("subject", "camera", "setup", "trial")
_BATCH_CLIPS = 64
_BATCH_BYTES = 8_000_000

_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("label", pa.int32()),  # index into the manifest's classes, -1 for none
        *((name, pa.int32()) for name in COLUMNS),
        ("fps", pa.float64()),
        ("frames", pa.int32()),
        ("persons", pa.int32()),
        ("joints", pa.list_(pa.float32())),
        ("confidence", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Rejected:
    """A file that holds no valid clip, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself; ``manifest.json``.

    Args:
        format_version: version of this format; a newer one cannot be read.
        name: name of the data set.
        layout: joint layout of every clip.
        classes: class names; labels are indices into them.
        clips, frames: how many there are.
        source: where the data came from.
        hash: SHA-256 over ids, labels and joints in order.
        rejected: files that held no valid clip.
    """

    format_version: int
    name: str
    layout: JointLayout
    classes: tuple[str, ...]
    clips: int
    frames: int
    source: str
    hash: str
    rejected: tuple[Rejected, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The manifest as plain JSON data."""
        rejected = [{"file": r.file, "reason": r.reason} for r in self.rejected]
        return vars(self) | {
            "layout": self.layout.to_dict(),
            "classes": list(self.classes),
            "rejected": rejected,
        }


@dataclass
class _Writer:
    """Gathers rows and lets them go batch by batch, so that memory does not grow with the data set."""

    layout: JointLayout
    classes: tuple[str, ...]
    seen: set[str] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes: int = 0
    frames: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, clip: SkeletonClip) -> None:
        where = f"clip {clip.clip_id!r}"
        if not clip.clip_id or clip.clip_id in self.seen:
            raise InputError(f"{where}: every clip in a store needs an id of its own; this one is there twice")
        if clip.layout != self.layout:
            raise InputError(f"{where}: its layout is {clip.layout.name!r}, the store's {self.layout.name!r}")
        if clip.label is not None and clip.label not in self.classes:
            raise InputError(f"{where}: its class {clip.label!r} is not one of the {len(self.classes)} classes")
        self.seen.add(clip.clip_id)
        joints = np.ascontiguousarray(clip.joints)
        confidence = None if clip.confidence is None else np.ascontiguousarray(clip.confidence)
        self.rows.append(
            {
                "clip_id": clip.clip_id,
                "label": -1 if clip.label is None else self.classes.index(clip.label),
                **{name: getattr(clip, name) for name in COLUMNS},
                "fps": float(clip.fps),
                "frames": clip.num_frames,
                "persons": clip.num_persons,
                "joints": joints.reshape(-1),
                "confidence": None if confidence is None else confidence.reshape(-1),
            }
        )
        self.frames += clip.num_frames
        self.bytes += joints.nbytes
        _update_digest(self.digest, clip)

    @property
    def full(self) -> bool:
        return len(self.rows) >= _BATCH_CLIPS or self.bytes >= _BATCH_BYTES

    def take_batch(self) -> pa.RecordBatch:
        columns = [
            _list_array([row[f.name] for row in self.rows])
            if pa.types.is_list(f.type)
            else pa.array([row[f.name] for row in self.rows], type=f.type)
            for f in _SCHEMA
        ]
        self.rows, self.bytes = [], 0
        return pa.record_batch(columns, schema=_SCHEMA)


def _list_array(arrays: list[npt.NDArray[np.float32] | None]) -> pa.Array:
    lengths = [0 if a is None else len(a) for a in arrays]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.concatenate([a for a in arrays if a is not None] or [np.empty(0, np.float32)])
    missing = pa.array([a is None for a in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=missing)


def _update_digest(digest: Any, clip: SkeletonClip) -> None:
    head = [clip.clip_id, clip.label, clip.fps, clip.joints.shape, *(getattr(clip, c) for c in COLUMNS)]
    digest.update(json.dumps(head).encode())
    digest.update(np.ascontiguousarray(clip.joints))
    if clip.confidence is not None:
        digest.update(np.ascontiguousarray(clip.confidence))


def write_store(
    path: str | Path,
    clips: Iterable[SkeletonClip | Rejected],
    *,
    name: str,
    classes: Iterable[str],
    layout: JointLayout,
    source: str,
    rejected: Iterable[Rejected] = (),
) -> "Store":
    """Write clips as they come into a new store. Memory stays flat; the folder appears only when complete.

    Args:
        path: folder of the store; a store that is already there is replaced.
        clips: valid clips, and rows of rejected files, which go to the manifest.
        name: name of the data set.
        classes: class names in label order.
        layout: joint layout of all clips.
        source: where the data came from, in words.
        rejected: further rejected files, read after ``clips`` has ended.

    Raises:
        InputError: no clip, a clip id twice, an unknown class, another layout, or a folder that is no store.
    """
    path, classes = Path(path), tuple(classes)
    if len(set(classes)) != len(classes):
        raise InputError(f"store {path}: class names must differ from each other")
    # The rename at the end would remove whatever stands there, so only a store may be replaced.
    if path.exists() and not (path / "manifest.json").is_file():
        raise InputError(f"store {path}: something that is not a store is already there; choose another folder")
    writer, refused = _Writer(layout, classes), []
    with atomic_folder(path) as folder:
        with (
            pa.OSFile(str(folder / "clips.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, _SCHEMA) as file,
        ):
            for clip in clips:
                if isinstance(clip, Rejected):
                    refused.append(clip)
                    continue
                writer.add(clip)
                if writer.full:
                    file.write_batch(writer.take_batch())
            if writer.rows:
                file.write_batch(writer.take_batch())
        refused += rejected
        if not writer.seen:
            why = f" (first of {len(refused)} rejected: {refused[0].reason})" if refused else ""
            raise InputError(f"store {path}: {source} holds no valid clip{why}")
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            layout=layout,
            classes=classes,
            clips=len(writer.seen),
            frames=writer.frames,
            source=source,
            hash=writer.digest.hexdigest(),
            rejected=tuple(refused),
        )
        text = json.dumps(manifest.to_dict(), indent=1, ensure_ascii=False)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return Store.open(path)


class Store:
    """A data set on disk. ``store[i]`` is clip i, read without touching the others and without a copy."""

    def __init__(self, path: Path, manifest: Manifest, table: pa.Table) -> None:
        self.path = path
        self.manifest = manifest
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
        manifest = _read_manifest(path)
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
        return Store.open, (self.path,)

    def __len__(self) -> int:
        return self.manifest.clips

    def __getitem__(self, i: int) -> SkeletonClip:
        i = range(len(self))[i]
        batch = int(np.searchsorted(self._starts, i, side="right")) - 1
        row = i - int(self._starts[batch])
        columns = {name: int(values[i]) for name, values in self._columns.items()}
        shape = (columns["frames"], columns["persons"], self.layout.num_joints, self.layout.dimension)
        joints = self._joints[batch][row]
        if joints is None or joints.size != np.prod(shape):
            raise InputError(f"store {self.path}: clip {self.clip_ids[i]!r} is damaged; import the data again")
        confidence = self._confidence[batch][row]
        label = columns["label"]
        return SkeletonClip(
            joints=joints.reshape(shape),
            layout=self.layout,
            fps=float(self._fps[i]),
            confidence=None if confidence is None else confidence.reshape(shape[:3]),
            clip_id=self.clip_ids[i],
            label=None if label < 0 else self.classes[label],
            **{name: None if columns[name] < 0 else columns[name] for name in COLUMNS},
        )

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
            _update_digest(digest, clip)
        if digest.hexdigest() != self.hash:
            raise InputError(f"store {self.path}: its clips differ from the hash in its manifest")


class _ListView:
    """Rows of a list column as NumPy views into the mapped file."""

    def __init__(self, column: pa.ListArray) -> None:
        self._values = column.values.to_numpy(zero_copy_only=True)
        self._offsets = column.offsets.to_numpy()
        self._valid = column.is_valid().to_numpy(zero_copy_only=False)

    def __getitem__(self, row: int) -> npt.NDArray[np.float32] | None:
        return self._values[self._offsets[row] : self._offsets[row + 1]] if self._valid[row] else None


def _read_manifest(path: Path) -> Manifest:
    file = path / "manifest.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"store {path}: there is no store ({file.name} is missing)") from None
    except (OSError, ValueError) as error:
        raise InputError(f"store {path}: {file.name} cannot be read ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("format_version"), int):
        raise InputError(f"store {path}: {file.name} is not the manifest of a store")
    if data["format_version"] > FORMAT_VERSION:
        raise InputError(
            f"store {path}: its format version {data['format_version']} is newer than {FORMAT_VERSION}, "
            "the newest this sugar reads; update sugar"
        )
    try:
        return Manifest(
            format_version=data["format_version"],
            name=str(data["name"]),
            layout=JointLayout.from_dict(data["layout"], where=f"store {path}"),
            classes=tuple(str(c) for c in data["classes"]),
            clips=int(data["clips"]),
            frames=int(data["frames"]),
            source=str(data["source"]),
            hash=str(data["hash"]),
            rejected=tuple(Rejected(str(r["file"]), str(r["reason"])) for r in data["rejected"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"store {path}: {file.name} lacks or garbles a field ({error})") from None
