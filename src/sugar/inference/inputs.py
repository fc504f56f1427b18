"""From whatever the user has to clips: files of the known formats, stores, JSON on standard input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from sugar.datasets import bvh, clip_files, coco_keypoints, nw_ucla, openpose
from sugar.datasets.store import Store
from sugar.errors import InputError
from sugar.files import write_text
from sugar.skeleton.clip import SkeletonClip

KNOWN = (
    "a store, clips as .json, .jsonl, .npz, .npy, .csv or .parquet with joints [T, M, V, C] and layout, an NW-UCLA or "
    "COCO key point .json, a folder of OpenPose .json, a .bvh, or -"
)


def read_clips(source: str, standard_input: TextIO) -> Iterator[SkeletonClip]:
    """The clips of one input: a path, or ``-`` for JSON (one object, a list, or one object a line).

    Raises:
        InputError: nothing there, an unknown format, or a clip that is not valid.
    """
    if source == "-":
        try:
            content = standard_input.read().encode(errors="surrogateescape")
        except UnicodeDecodeError as error:
            raise InputError(f"standard input: cannot be read as text ({error})") from None
        yield from clip_files.clips_of(content, ".json", "standard input")
        return
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir() and next(path.rglob("*_keypoints.json"), None):
        yield from openpose.read_clips(path)
    elif path.is_dir():
        yield from Store.open(path)
    elif not path.is_file():
        raise InputError(f"{source}: no such file or store; give {KNOWN}")
    elif suffix == ".json" and _mentions(path, b'"skeletons"'):
        yield nw_ucla.read_clip_file(path)
    elif suffix == ".json" and _mentions(path, b'"keypoints"'):
        yield coco_keypoints.read_clip_file(path)
    elif suffix in clip_files.SUFFIXES:
        yield from clip_files.read_clips(path)
    elif suffix == ".bvh":
        yield bvh.read_clip_file(path)
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


def _mentions(path: Path, key: bytes) -> bool:
    """Whether a key stands near the beginning or the end of a file."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(path.stat().st_size - 4096, 0))
            return key in head or key in file.read()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
