"""A store as plain files that other tools read and `custom` reads back, equal to the last bit."""

import json
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import yaml

from sugar.datasets.formats.parsing.clip_tables import column_names
from sugar.datasets.formats.parsing.path_labels import NUMBERS
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import LAYOUTS

_CLIPS_A_TABLE = 100


def write_files(store: Store, folder: str | Path, form: Literal["npz", "json", "csv", "parquet"]) -> None:
    """Write a store's clips into a new folder: files of one form, ``labels.csv`` and ``dataset.yaml``.

    NPZ and JSON hold one clip a file, the tables a hundred in their wide form (see `clip_tables`).

    Raises:
        InputError: something is there already.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder}: it is already there; give the name of a new folder")
    with atomic_folder(folder) as path:
        (path / "clips").mkdir()
        if form in ("npz", "json"):
            for number, clip in enumerate(store):
                _write_clip(clip, path / "clips" / f"{number:06d}.{form}")
        else:
            for number, clips in enumerate(_batches(store)):
                _write_table(clips, path / "clips" / f"{number:06d}.{form}")
        pa_csv.write_csv(_labels(store), path / "labels.csv")
        layout = store.layout
        if layout not in LAYOUTS:
            layout.to_json(path / "layout.json")
        about = {
            "layout": layout.name if layout in LAYOUTS else "layout.json",
            "units": "pixels" if layout.dimension == 2 else "m",
            "labels": "labels.csv",
            "classes": list(store.classes),
        }
        text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
        (path / "dataset.yaml").write_text(text, encoding="utf-8")


def _labels(store: Store) -> pa.Table:
    labels = [None if label < 0 else store.classes[label] for label in store.labels]
    numbers = {name: [None if n < 0 else str(n) for n in store.column(name)] for name in NUMBERS}
    texts = {"clip_id": list(store.clip_ids), "label": labels, **numbers}
    return pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})


def _batches(store: Store) -> Iterator[list[SkeletonClip]]:
    """Neighbors that all have a confidence or all have none, few enough for one table."""
    for _, clips in groupby(store, key=lambda clip: clip.confidence is None):
        while batch := list(islice(clips, _CLIPS_A_TABLE)):
            yield batch


def _write_clip(clip: SkeletonClip, path: Path) -> None:
    values: dict[str, Any] = {"clip_id": clip.clip_id, "fps": clip.fps, "joints": clip.joints}
    if clip.confidence is not None:
        values["confidence"] = clip.confidence
    if path.suffix == ".npz":
        np.savez_compressed(path, **values)
        return
    plain = {key: _decimal(value).tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}
    path.write_text(json.dumps(plain, separators=(",", ":")) + "\n", encoding="utf-8")


def _write_table(clips: list[SkeletonClip], path: Path) -> None:
    """The wide form: one row a frame and person, absent persons too, so that the shape comes back."""
    tables = []
    for clip in clips:
        frames, persons = clip.joints.shape[:2]
        values = clip.joints
        if clip.confidence is not None:
            values = np.concatenate([values, clip.confidence[..., None]], axis=-1)
        rows = (
            _decimal(values.reshape(frames * persons, -1))
            if path.suffix == ".csv"
            else values.reshape(frames * persons, -1)
        )
        columns = {
            "clip_id": pa.array([clip.clip_id] * len(rows), pa.string()),
            "fps": np.full(len(rows), clip.fps),
            "frame": np.repeat(np.arange(frames), persons),
            "person": np.tile(np.arange(persons), frames),
        }
        titles = column_names(clip.layout, clip.confidence is not None)
        columns |= {title: np.ascontiguousarray(rows[:, i]) for i, title in enumerate(titles)}
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pa_parquet.write_table(table, path, compression="zstd")


def _decimal(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """float64 that print with few digits and round to the same float32."""
    short = values.astype("U").astype(np.float64)
    # Rounding twice may, very rarely, end in the neighbor; then all digits are needed.
    return np.where(short.astype(np.float32) == values, short, values.astype(np.float64))
