"""From whatever the user has to clips: files of the known formats, stores, JSON on standard input."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile

import numpy as np

from sugar.datasets.nw_ucla import read_clip_file
from sugar.datasets.store import Store
from sugar.errors import InputError
from sugar.files import write_text
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import get_layout

KNOWN = "a store, an NW-UCLA .json, a clip as .json, .jsonl or .npz with joints [T, M, V, C] and layout, or -"
CLIP_KEYS = ("joints", "layout", "fps", "confidence", "clip_id", "label")


def read_clips(source: str, standard_input: TextIO) -> Iterator[SkeletonClip]:
    """The clips of one input: a path, or ``-`` for JSON (one object, a list, or one object a line).

    Raises:
        InputError: nothing there, an unknown format, or a clip that is not valid.
    """
    if source == "-":
        yield from _from_json_text(standard_input.read(), "standard input")
        return
    path = Path(source)
    if path.is_dir():
        yield from Store.open(path)
    elif not path.is_file():
        raise InputError(f"{source}: no such file or store; give {KNOWN}")
    elif path.suffix == ".npz":
        yield _from_npz(path)
    elif path.suffix in (".json", ".jsonl"):
        yield from _from_json_file(path)
    else:
        raise InputError(f"{source}: unknown format {path.suffix!r}; give {KNOWN}")


def write_clip(clip: SkeletonClip, path: Path) -> None:
    """Write a clip as the JSON that `read_clips` reads; coordinates to a tenth of a millimetre."""
    values = {
        "clip_id": clip.clip_id,
        "layout": clip.layout.name,
        "fps": clip.fps,
        "joints": np.round(clip.joints.astype(np.float64), 4).tolist(),
    }
    write_text(path, json.dumps(values | ({} if clip.label is None else {"label": clip.label})) + "\n")


def _from_json_file(path: Path) -> Iterator[SkeletonClip]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from None
    if '"skeletons"' in text[:4096] or '"skeletons"' in text[-4096:]:
        yield read_clip_file(path)
    else:
        yield from _from_json_text(text, str(path))


def _from_json_text(text: str, where: str) -> Iterator[SkeletonClip]:
    if not text.strip():
        raise InputError(f"{where}: it is empty; give a JSON object with joints [T, M, V, C] and layout")
    try:
        data = json.loads(text)
        objects = data if isinstance(data, list) else [data]
    except ValueError as whole:
        try:
            objects = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise InputError(f"{where}: truncated or not JSON ({whole})") from None
    for number, item in enumerate(objects):
        place = where if len(objects) == 1 else f"{where}, clip {number + 1}"
        if not isinstance(item, dict):
            raise InputError(f"{place}: expected an object with joints and layout, not {type(item).__name__}")
        yield _clip(
            item,
            place,
            default_id=f"{Path(where).stem}-{number + 1}" if len(objects) > 1 else Path(where).stem,
        )


def _from_npz(path: Path) -> SkeletonClip:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise InputError(f"{path}: not a readable .npz of plain arrays ({error})") from None
    plain = {key: value.item() if value.ndim == 0 else value for key, value in data.items()}
    return _clip(plain, str(path), default_id=path.stem)


def _clip(data: Mapping[str, Any], where: str, *, default_id: str) -> SkeletonClip:
    unknown = [key for key in data if key not in CLIP_KEYS]
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(CLIP_KEYS)}")
    for key in ("joints", "layout"):
        if key not in data:
            raise InputError(f"{where}: key {key!r} is missing; give joints [T, M, V, C] and a layout name")
    try:
        joints = np.asarray(data["joints"], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: joints are not a regular array of numbers") from None
    if joints.ndim == 3:  # one person
        joints = joints[:, None]
    fps = data.get("fps", 30.0)
    if not isinstance(fps, int | float):
        raise InputError(f"{where}: fps must be a number, not {fps!r}")
    try:
        return SkeletonClip(
            joints=joints,  # type: ignore[arg-type]  # the clip makes it float32 and checks it
            layout=get_layout(str(data["layout"])),
            fps=float(fps),
            confidence=data.get("confidence"),
            clip_id=str(data.get("clip_id", default_id)),
            label=data.get("label"),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
