"""One's own data: a folder or archive of NPZ, NPY, JSON, CSV or Parquet files, and a small ``dataset.yaml``.

Without a ``dataset.yaml`` the class of a clip is its ``label`` in the file, or else the folder that it lies in, and
the joint layout is what the files say or the only one that fits. With one, everything can be said::

    layout: coco17        # a built-in layout, or a JSON file lying beside
    fps: 30
    units: pixels         # or m, cm, mm
    label: filename
    pattern: 'P(?P<subject>\\d+)_(?P<label>[a-z]+)'
"""

import difflib
import hashlib
import io
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import yaml

from sugar.config import parse_config
from sugar.datasets.class_names import class_names
from sugar.datasets.formats.clip_files import (
    EXAMPLE,
    SUFFIXES,
    Axis,
    Conventions,
    Record,
    clip_of,
    number_of,
    read_records,
    record_id,
    upright,
)
from sugar.datasets.formats.parsing.clip_tables import read_texts
from sugar.datasets.formats.parsing.path_labels import NUMBERS, check_pattern, match_path
from sugar.datasets.formats.source import Item, Plan, SourceFile, check_fps, one_each
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import get_layout

_TO_METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_ID_COLUMNS = ("clip_id", "clip", "file", "id", "name")
_LABEL_COLUMNS = ("label", "class", "action")
_LOOK_AT = 20
"""Files that are looked at for the layout when nothing says it."""
_LAYOUT_BYTES = 1_000_000
_LAYOUT_FILES = 200
"""JSON files that are looked at to tell layouts from clips."""


@dataclass(frozen=True)
class Description:
    """What ``dataset.yaml`` may say of a data set; every key can be left out."""

    layout: str | None = None
    """Joint layout: a built-in name (coco17, ntu25, ...) or a JSON file lying beside dataset.yaml. Left out: what the
    files say, or the only layout that fits."""
    fps: float = 30.0
    """Frames a second of clips that do not say it themselves."""
    units: Literal["m", "cm", "mm", "pixels"] | None = None
    """Unit of the coordinates. Left out: meters in 3-D, pixels in 2-D."""
    up: Axis | None = None
    """The axis that points up in the files. Left out: y in 3-D, -y (down the image) in 2-D."""
    last_is_confidence: bool = False
    """Whether the last number of each joint is its confidence: x, y, confidence."""
    nan_is_missing: bool = False
    """Whether a NaN among joints means that it was not measured. In tables it always does."""
    label: Literal["folder", "filename", "column", "labels"] | None = None
    """Where a clip's class is said: the folder that it lies in, the pattern on its file name, a key or column `label`
    of the file, or the table `labels`. Left out: the table or the pattern if there is one, then the file, then the
    folder."""
    pattern: str | None = None
    """A regular expression found in the file's path without its ending, with any of the groups (?P<label>..),
    (?P<subject>..), (?P<camera>..), (?P<setup>..), (?P<trial>..), (?P<id>..)."""
    labels: str | None = None
    """A CSV or Parquet file beside dataset.yaml: column clip_id or file, and any of label, subject, camera, setup,
    trial."""
    classes: tuple[str, ...] | str | None = None
    """Class names in their order, or a known list (ntu120); a label that is a number counts in it from 0. Left out:
    the names that occur, sorted."""

    def conventions(self, layout: JointLayout | None) -> Conventions:
        """How the numbers of the files are meant; ``layout``: that which `layout` names."""
        return Conventions(
            layout=layout,
            fps=self.fps,
            to_meters=_TO_METERS.get(self.units or "m", 1.0),
            up=self.up,
            last_is_confidence=self.last_is_confidence,
            nan_is_missing=self.nan_is_missing,
        )


@dataclass(frozen=True)
class CustomReader:
    """One's own NPZ, NPY, JSON, CSV or Parquet files, described by a dataset.yaml."""

    description: str | None = None
    """A dataset.yaml that lies elsewhere, with the files it names beside it. Left out: the one at the top of the
    source, if there is one."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """One item a file.

        Raises:
            InputError: no file of a known form, a faulty dataset.yaml, or a layout that cannot be told.
        """
        about, beside = _description(self.description, files)
        source = _source(about, beside, files)
        special = {_path(beside, name) for name in (about.labels, about.layout) if name and beside}
        clips = [file for file in files if file.name not in special or self.description]
        rigs = _layout_files(clips)
        items = one_each([file for file in clips if file not in rigs], *SUFFIXES)
        layout = source.conventions.layout
        if layout is None or rigs:
            layout = _layout_of_files(items, source, rigs)
            source = replace(source, conventions=replace(source.conventions, layout=layout))
        if about.units is not None and (about.units == "pixels") != (layout.dimension == 2):
            raise InputError(f"dataset.yaml: units {about.units} do not suit the {layout.dimension}-D {layout.name}")
        upright(np.zeros(layout.dimension), about.up, layout)  # an axis that it does not have
        if (labels := source.labels) and (absent := _absent(labels, source.labels_hash, items)):
            source = replace(source, absent=absent)
            items = (Item(labels.name, (labels,)), *items)
        return Plan(items, layout, source.classes, source.read)


@dataclass(frozen=True)
class _Source:
    """A described source: reads its files one at a time."""

    conventions: Conventions
    label: str | None = None
    pattern: str | None = None
    classes: tuple[str, ...] | None = None
    labels: SourceFile | None = None
    labels_hash: str = ""
    absent: tuple[str, ...] = ()
    """Files that the table of labels names and that are not there."""

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        """The clips of one file.

        Raises:
            InputError: the file is not of its form, or its name does not match the pattern.
        """
        (file,) = item.files
        if file == self.labels:
            yield from (
                Rejected(f"{file.name}: {name}", "there is no such file among the clips") for name in self.absent
            )
            return
        records = read_records(file.read(), file.suffix, self.conventions.layout)
        first = list(islice(records, 2))
        several, seen = len(first) > 1, set()
        for number, record in enumerate((*first, *records)):
            name = record_id(_stem(file), number, 1 + several)
            if isinstance(record, Rejected):
                yield Rejected(f"{item.name}: {record.file}".rstrip(": "), record.reason)
                continue
            try:
                clip = self._clip(record, file, name)
                if clip.clip_id in seen:
                    raise InputError(f"the clip {clip.clip_id!r} is in it twice")
            except InputError as error:
                yield Rejected(f"{item.name}: {record.get('clip_id') or name}" if several else item.name, str(error))
            else:
                seen.add(clip.clip_id)
                yield clip

    def _clip(self, record: Record, file: SourceFile, name: str) -> SkeletonClip:
        found = match_path(self.pattern, _stem(file)) if self.pattern else {}
        clip_id = str(record.get("clip_id") or found.pop("id", None) or name).strip()
        row = {} if self.labels is None else self._row(self.labels, clip_id, file)
        said = dict(record)
        said |= {key: value for key, value in {**found, **row}.items() if key in NUMBERS and value not in (None, "")}
        said["clip_id"] = clip_id
        said["label"] = self._class(record.get("label"), found.get("label"), row.get("label"), file)
        return clip_of(said, self.conventions, name)

    def _row(self, labels: SourceFile, clip_id: str, file: SourceFile) -> Mapping[str, str]:
        rows = _label_rows(labels, self.labels_hash)
        for key in (clip_id, *_names(file)):
            if key in rows:
                return rows[key]
        raise InputError(f"the table of labels has no row for {clip_id!r}")

    def _class(self, inside: Any, in_name: str | None, in_table: Any, file: SourceFile) -> str | None:
        folder = posixpath.basename(file.folder)
        where = {"column": inside, "filename": in_name, "labels": in_table, "folder": folder}
        if self.label is None and in_table is not None:  # an empty cell: a clip without a class
            label = in_table or None
        elif self.label is None:
            label = next((v for v in (in_name, inside, folder) if v not in (None, "")), None)
        else:
            label = where[self.label]
            if label in (None, ""):
                raise InputError(f"it has no class, which dataset.yaml says is in its {self.label}")
        return label if label is None else _class_name(label, self.classes)


def _class_name(label: Any, classes: tuple[str, ...] | None) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise InputError(f"label must be a class name or a number, not {label!r}")
    label = label.strip() if isinstance(label, str) else label
    if classes is None or label in classes:
        return str(label)
    number = int(label) if isinstance(label, int) or re.fullmatch("[0-9]{1,9}", label) else -1
    if not 0 <= number < len(classes):
        raise InputError(f"its class {label!r} is not one of the {len(classes)} classes (numbers count from 0)")
    return classes[number]


def _stem(file: SourceFile) -> str:
    """The path without its ending, which is unique where file names are not."""
    return posixpath.splitext(file.name)[0]


def _names(file: SourceFile) -> tuple[str, ...]:
    """What a table may call a file: with or without its folder, with or without its ending."""
    return file.name, _stem(file), posixpath.basename(file.name), file.stem


def _description(elsewhere: str | None, files: Sequence[SourceFile]) -> tuple[Description, SourceFile | None]:
    """The description and its file, if there is one."""
    if elsewhere is not None:
        path = Path(elsewhere)
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; give the path of a dataset.yaml")
        beside: SourceFile | None = SourceFile(path.name, path.parent, path.stat().st_size)
    else:
        found = [file for file in files if posixpath.basename(file.name) in ("dataset.yaml", "dataset.yml")]
        beside = min(found, key=lambda file: (file.name.count("/"), file.name), default=None)
    if beside is None:
        return Description(), None
    try:
        values = yaml.safe_load(io.BytesIO(beside.read(1_000_000)))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{beside.name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{beside.name}: expected settings such as {EXAMPLE}")
    _check_words(values, beside.name)
    about, _ = parse_config(Description, values, where=beside.name)
    return about, beside


def _check_words(values: Mapping[Any, Any], where: str) -> None:
    """Refuse unknown keys, and words other than the few that a key allows."""
    kinds = get_type_hints(Description)
    for key, value in values.items():
        if key not in kinds:
            near = difflib.get_close_matches(str(key), kinds, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{where}: unknown key {str(key)!r}; {hint}known are {', '.join(kinds)}")
        words = [word for kind in get_args(kinds[key]) for word in get_args(kind) if isinstance(word, str)]
        if words and value is not None and value not in words:
            raise InputError(f"{where}: {key} must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}")


def _source(about: Description, beside: SourceFile | None, files: Sequence[SourceFile]) -> _Source:
    conventions = about.conventions(_layout(about.layout, beside, files))
    try:
        check_fps(about.fps)
        check_pattern(about.pattern, needs_label=about.label == "filename")
    except InputError as error:
        raise InputError(f"dataset.yaml: {error}") from None
    if about.label == "labels" and about.labels is None:
        raise InputError("dataset.yaml: label: labels needs the table of labels, such as labels: labels.csv")
    classes = class_names(about.classes) if isinstance(about.classes, str) else about.classes
    if classes is not None and (not classes or len(set(classes)) != len(classes)):
        raise InputError("dataset.yaml: classes must be names that differ from each other")
    source = _Source(conventions, about.label, about.pattern, classes)
    if about.labels is None:
        return source
    labels = _beside(about.labels, beside, files)
    source = replace(source, labels=labels, labels_hash=hashlib.sha256(labels.read()).hexdigest())
    _check_label_column(about, labels, source.labels_hash)  # its faults are told at once
    return source


def _path(beside: SourceFile, name: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(beside.name), name))


def _beside(name: str, beside: SourceFile | None, files: Sequence[SourceFile]) -> SourceFile:
    """The file that dataset.yaml names."""
    path = name if beside is None else _path(beside, name)
    for file in files:
        if file.name == path and (beside is None or file.root == beside.root):
            return file
    if beside is not None and (beside.root / path).is_file() and not path.startswith(("..", "/")):
        return SourceFile(path, beside.root, (beside.root / path).stat().st_size)
    raise InputError(f"dataset.yaml: it names {name!r}, but no such file lies beside it")


def _layout(name: str | None, beside: SourceFile | None, files: Sequence[SourceFile]) -> JointLayout | None:
    if name is None:
        return None
    if not name.endswith(".json"):
        return get_layout(name)
    file = _beside(name, beside, files)
    try:
        return JointLayout.from_dict(json.loads(file.read(10_000_000)), where=f"layout file {name}")
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"layout file {name}: not JSON ({error})") from None


def _layout_files(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """JSON files that are joint layouts; such a file lies beside clips and is none."""
    small = [file for file in files if file.suffix == ".json" and file.size <= _LAYOUT_BYTES]
    found = []
    for file in sorted(small, key=lambda file: (file.name.count("/"), file.name))[:_LAYOUT_FILES]:
        try:
            content = file.read()
            data = json.loads(content) if b'"joint_names"' in content else None
        except (InputError, ValueError, RecursionError):
            continue  # its reading says what is wrong with it
        if isinstance(data, dict) and "joint_names" in data and "joints" not in data:
            found.append(file)
    return tuple(found)


def _layout_of_files(items: Sequence[Item], source: _Source, rigs: Sequence[SourceFile]) -> JointLayout:
    """The layout of the first valid clip."""
    reasons = []
    for item in items[:_LOOK_AT]:
        try:
            for clip in source.read(item):
                if isinstance(clip, SkeletonClip):
                    return clip.layout
                reasons.append(f"{clip.file}: {clip.reason}")
        except InputError as error:
            reasons.append(f"{item.name}: {error}")
    count = len(items[:_LOOK_AT])
    if rigs:
        raise InputError(
            f"no valid clip in the first {count} files, but a layout lies there: write layout: "
            f"{posixpath.basename(rigs[0].name)} in a dataset.yaml beside it ({reasons[0]})"
        )
    raise InputError(f"no valid clip in the first {count} files; {reasons[0]}")


def _absent(labels: SourceFile, labels_hash: str, items: Sequence[Item]) -> tuple[str, ...]:
    """Files that the table of labels names and that are not there; other names than files may be ids of clips."""
    there = {name for item in items for file in item.files for name in _names(file)}
    rows = _label_rows(labels, labels_hash)
    by_file = _id_column(read_texts(labels.read(), labels.suffix)) == "file" and not there.isdisjoint(rows)
    return tuple(name for name in rows if name not in there and (by_file or name.lower().endswith(SUFFIXES)))


def _id_column(columns: Mapping[str, Any]) -> str | None:
    return next((name for name in _ID_COLUMNS if name in columns), None)


def _check_label_column(about: Description, labels: SourceFile, labels_hash: str) -> None:
    """Refuse a table whose column of labels is called otherwise."""
    rows = _label_rows(labels, labels_hash)
    if about.label not in (None, "labels") or not rows or "label" in next(iter(rows.values())):
        return
    columns = read_texts(labels.read(), labels.suffix)
    if about.label == "labels" or set(columns) - {*_ID_COLUMNS, *NUMBERS}:
        hint = "" if about.label == "labels" else "; or say where labels are, such as label: folder"
        raise InputError(f"{labels.name}: it has no column 'label' (it has {', '.join(columns)}){hint}")


@lru_cache(maxsize=1)
def _label_rows(file: SourceFile, _hash: str) -> dict[str, dict[str, str]]:
    """The rows of a table of labels by the clip or file that they are about; each process reads them once."""
    try:
        columns = read_texts(file.read(), file.suffix)
        column = _id_column(columns)
        if column is None:
            raise InputError(f"it needs a column {' or '.join(_ID_COLUMNS)}; it has {', '.join(columns)}")
        kept = {"label": next((columns[name] for name in _LABEL_COLUMNS if name in columns), None)}
        kept |= {name: columns.get(name) for name in NUMBERS}
        rows: dict[str, dict[str, str]] = {}
        for i, clip_id in enumerate(columns[column]):
            row = {key: values[i] for key, values in kept.items() if values is not None}
            for name in NUMBERS:
                number_of(row.get(name), f"row {i + 1}: {name}")
            if rows.setdefault(clip_id, row) != row:
                raise InputError(f"row {i + 1}: {clip_id!r} is there twice and with other values")
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None
    return rows
