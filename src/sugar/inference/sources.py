"""From whatever the user has to clips: files of the known formats, stores, JSON on standard input."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from sugar.config import parse_config, read_yaml
from sugar.datasets.formats import bvh, clip_files, coco, openpose, pyskl
from sugar.datasets.formats.benchmarks import (
    kinetics,
    msr_action3d,
    ntu,
    nw_ucla,
    pku_mmd,
    smarthome,
    uav_human,
    utd_mhad,
)
from sugar.datasets.formats.clip_files import Conventions
from sugar.datasets.formats.custom import Description
from sugar.datasets.formats.parsing.clip_tables import read_texts
from sugar.datasets.formats.source import check_fps
from sugar.datasets.store.manifest import Rejected
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.files import write_text
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import LAYOUTS, NTU25, get_layout

KNOWN = (
    "a store; clips as .json, .jsonl, .npz, .npy, .csv or .parquet with joints [T, M, V, C] and layout, or a folder of "
    "them with a dataset.yaml; a file of NTU RGB+D (.skeleton), NW-UCLA, Toyota Smarthome, Kinetics-skeleton or COCO "
    "key points (.json), MSR Action3D, PKU-MMD or UAV-Human (.txt), UTD-MHAD (.mat), PYSKL (.pkl); a .bvh; a folder "
    "of OpenPose .json; or -"
)

Read = Callable[[Path], SkeletonClip]

# By the key that each form has, which stands at the beginning or the end of a file however long.
_JSON: tuple[tuple[bytes, str, Read], ...] = (
    (b'"skeletons"', "nw-ucla", nw_ucla.read_clip_file),
    (b'"keypoints"', "coco", coco.read_clip_file),
    (b'"pose2d"', "smarthome", smarthome.read_clip_file),
    (b'"pose3d"', "smarthome", smarthome.read_clip_file),
    (b'"njts"', "smarthome", smarthome.read_clip_file),
    (b'"frame_index"', "kinetics-skeleton", kinetics.read_clip_file),
)
_TEXT: dict[str, tuple[str, Read]] = {
    r"a\d+_s\d+_e\d+_skeleton3D": ("msr-action3d", msr_action3d.read_clip_file),
    r"\d{4}-[LMR]": ("pku-mmd", pku_mmd.read_clip_file),
    r"P\d+S\d+G\d+B\d+H\d+UC\d+LC\d+A\d+R\d+_\d+": ("uav-human", uav_human.read_clip_file),
}
_BY_SUFFIX: dict[str, tuple[str, Read]] = {
    ".bvh": ("bvh", bvh.read_clip_file),
    ".mat": ("utd-mhad", utd_mhad.read_clip_file),
    ".skeleton": ("ntu120", ntu.read_clip_file),
}
_PICKLES = (".pkl", ".pickle")
_ARCHIVES = (".zip", ".tar", ".tgz", ".txz", ".gz", ".xz", ".bz2")
_OPENPOSE = "_keypoints.json"
_TABLES = (".csv", ".parquet")
_DESCRIPTIONS = ("dataset.yaml", "dataset.yml")
_ABOVE = 3
"""Folders above a file's own in which its dataset.yaml may lie: those of its class, its subject, its session."""
_LOOK_AT = 2000
"""Files of a folder that are looked at to say of which format it is."""


def read_clips(source: str, standard_input: TextIO | None, layout: JointLayout | None = None) -> Iterator[SkeletonClip]:
    """The clips of one input: a path, or ``-`` for JSON (one object, a list, or one object a line).

    What a ``dataset.yaml`` beside plain files says of their layout, units, axes and fps holds here too.

    Args:
        layout: the model's; if it is a user's own, clips that name it or that name none and have its joints are of it.

    Raises:
        InputError: nothing there, an unknown format, or a clip that is not valid.
    """
    if source == "-":
        if standard_input is None:
            raise InputError("standard input: it is closed; give a file, or pipe JSON into the command")
        try:
            content = standard_input.read().encode(errors="surrogateescape")
        except UnicodeDecodeError as error:
            raise InputError(f"standard input: cannot be read as text ({error})") from None
        yield from _clips_of(content, ".json", "standard input", Conventions(), layout)
        return
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _folder_clips(path, layout)
    elif not path.is_file():
        raise InputError(f"{source}: no such file or store; give {KNOWN}")
    elif suffix in _PICKLES:
        yield from pyskl.read_clips(path)
    elif suffix in _ARCHIVES:
        raise InputError(f"{source}: an archive is imported first: sugar data import FORMAT {source} NEW_STORE")
    elif path.name.endswith(_OPENPOSE):
        raise InputError(f"{source}: this is one frame of OpenPose; give the folder with all frames of the clip")
    elif found := _one_clip(path):
        yield found[1](path)
    elif suffix in clip_files.SUFFIXES:
        about = _beside(path)
        yield from _file_clips(path, Conventions() if about is None else _conventions(about), layout)
    else:
        raise InputError(f"{source}: unknown format {path.suffix!r}; give {KNOWN}")


def not_a_store(folder: Path) -> str:
    """What to do with a folder that is no store."""
    found = _format_of(folder)
    if found is None:
        return f"{folder}: it is no store, and holds no file of a known format; give {KNOWN}"
    return f"{folder}: it is no store; import it first: sugar data import {found} {folder} NEW_STORE"


def write_clip(clip: SkeletonClip, path: Path) -> None:
    """Write a clip as the JSON that `read_clips` reads; coordinates to a tenth of a millimeter."""
    values = {
        "clip_id": clip.clip_id,
        "layout": clip.layout.name,
        "fps": clip.fps,
        "joints": np.round(clip.joints.astype(np.float64), 4).tolist(),
    }
    write_text(path, json.dumps(values | ({} if clip.label is None else {"label": clip.label})) + "\n")


def _folder_clips(folder: Path, layout: JointLayout | None) -> Iterator[SkeletonClip]:
    if (folder / "manifest.json").is_file():
        yield from Store.open(folder)
    elif about := description_of(folder):
        conventions = _conventions(about)
        names = _describe(about)
        own = {folder / name for name in (names.labels, names.layout) if name}
        found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in clip_files.SUFFIXES]
        clips = [path for path in found if path.is_file() and path not in own and not _hidden(path, folder)]
        if not clips:
            raise InputError(f"{folder}: it holds no file of a clip ({', '.join(clip_files.SUFFIXES)})")
        for path in clips:
            yield from _file_clips(path, conventions, layout, path.relative_to(folder).with_suffix("").as_posix())
    elif _format_of(folder) == "openpose":
        yield from openpose.read_clips(folder)
    else:
        raise InputError(not_a_store(folder))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _beside(path: Path) -> Path | None:
    """The dataset.yaml that is about a file: the nearest one in its folder or a few above."""
    folders = path.absolute().parents[: 1 + _ABOVE]
    return next(filter(None, map(description_of, folders)), None)


def description_of(folder: Path) -> Path | None:
    """The dataset.yaml of a folder, if it has one."""
    return next((folder / name for name in _DESCRIPTIONS if (folder / name).is_file()), None)


def _describe(path: Path) -> Description:
    return parse_config(Description, read_yaml(path), where=str(path))[0]


def _conventions(path: Path) -> Conventions:
    """What a dataset.yaml says of numbers; what it says of labels and people does not matter here."""
    about = _describe(path)
    layout = None
    try:
        if about.layout is not None:
            own = about.layout.endswith(".json")
            layout = JointLayout.from_json(path.parent / about.layout) if own else get_layout(about.layout)
        check_fps(about.fps)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return about.conventions(layout)


def _file_clips(
    path: Path, conventions: Conventions, layout: JointLayout | None, name: str | None = None
) -> Iterator[SkeletonClip]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    yield from _clips_of(content, path.suffix.lower(), str(path), conventions, layout, name or path.stem)


def _clips_of(
    content: bytes,
    suffix: str,
    where: str,
    conventions: Conventions,
    layout: JointLayout | None,
    name: str | None = None,
) -> Iterator[SkeletonClip]:
    """The clips of a file's content; ``where`` names it in errors, ``name`` its clips that have no id."""
    try:
        records = _records(content, suffix, conventions.layout, layout)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    for number, record in enumerate(records):
        place = where if len(records) == 1 else f"{where}, clip {number + 1}"
        if isinstance(record, Rejected):
            raise InputError(f"{place}: {record.reason}")
        meant = conventions
        if conventions.layout is None and layout is not None and _is_of(record, layout, conventions):
            meant = replace(conventions, layout=layout)
        try:
            yield clip_files.clip_of(record, meant, clip_files.record_id(name or where, number, len(records)))
        except InputError as error:
            raise InputError(f"{place}: {error}") from None


def _records(
    content: bytes, suffix: str, described: JointLayout | None, layout: JointLayout | None
) -> list[clip_files.Record | Rejected]:
    try:
        return list(clip_files.read_records(content, suffix, described))
    except InputError as error:
        # Joints of no built-in layout, maybe: those of the model, unless the table says that they are others.
        if described is not None or layout is None or layout in LAYOUTS or suffix not in _TABLES:
            raise
        if {*read_texts(content, suffix).get("layout", [])} - {"", layout.name}:
            raise
        first = error
    try:
        return list(clip_files.read_records(content, suffix, layout))
    except InputError as error:
        raise first if str(error) == str(first) else InputError(f"{first}; read as {layout.name}: {error}") from None


def _is_of(record: clip_files.Record, layout: JointLayout, conventions: Conventions) -> bool:
    """Whether a record names a user's own layout, or names none and has its joints."""
    if (said := record.get("layout")) is not None:
        return str(said) == layout.name
    if layout in LAYOUTS:  # two of these may fit the same numbers
        return False
    sizes: list[int] = []
    inner = record.get("joints")
    while isinstance(inner, list | np.ndarray) and len(inner):
        sizes.append(len(inner))
        inner = inner[0]
    return sizes[-2:] == [layout.num_joints, layout.dimension + conventions.last_is_confidence]


def _format_of(folder: Path) -> str | None:
    """The format of `sugar data import` that most files of a folder seem to have; None: none that is known."""
    counts: Counter[str] = Counter()
    for path in islice((path for path in folder.rglob("*") if path.is_file()), _LOOK_AT):
        if path.name.endswith(_OPENPOSE):
            counts["openpose"] += 1
        elif path.suffix.lower() in _PICKLES:
            counts["pyskl"] += 1
        elif path.suffix.lower() in (*_BY_SUFFIX, *clip_files.SUFFIXES, ".txt"):
            found = _one_clip(path, complain=False)
            counts.update([found[0]] if found else ["files"] if path.suffix.lower() in clip_files.SUFFIXES else [])
    return counts.most_common(1)[0][0] if counts else None


def _one_clip(path: Path, *, complain: bool = True) -> tuple[str, Read] | None:
    """The format of a file that is one clip, and its reader; None: it is of another kind."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        start, end = _ends(path)
        keys = ((text, form) for text in (start, end) for form in _JSON if b'"joints"' not in start)
        return next(((name, read) for text, (key, name, read) in keys if key in text), None)
    if suffix == ".txt":
        found = next((form for name, form in _TEXT.items() if re.fullmatch(name, path.stem)), _by_lines(path))
        if found is None and complain:
            raise InputError(
                f"{path}: this text is neither of MSR Action3D (lines of 4 numbers), of PKU-MMD (lines of 150), nor "
                "of UAV-Human or NTU RGB+D (first a line with the number of frames)"
            )
        return found
    return _BY_SUFFIX.get(suffix)


def _by_lines(path: Path) -> tuple[str, Read] | None:
    """A text by the numbers in its lines, whatever its name."""
    lines = [line.split() for line in _ends(path)[0].splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines[0]) == 4:
        return "msr-action3d", msr_action3d.read_clip_file
    if len(lines[0]) > 100:
        return "pku-mmd", pku_mmd.read_clip_file
    body = next((i for i, line in enumerate(lines) if len(line) > 1), 0)
    if body < 2 or not all(word.isdigit() for line in lines[:body] for word in line):
        return None
    # After the line of the first body comes the number of its joints.
    if lines[body + 1 : body + 2] == [[b"%d" % NTU25.num_joints]]:
        return "ntu120", ntu.read_clip_file
    return "uav-human", uav_human.read_clip_file


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(path.stat().st_size - 4096, 0))
            return head, file.read()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
