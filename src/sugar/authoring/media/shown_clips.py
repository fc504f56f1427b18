"""Select the clips of each class that a model is shown: videos in folders, or training clips of a store."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sugar.authoring.client.request import Media
from sugar.authoring.config import VisualTexts
from sugar.authoring.media.frame_features import load_frame_features
from sugar.authoring.media.frames import select_frames, whole_video
from sugar.authoring.tasks.quoting import quoted
from sugar.authoring.tasks.visual_knowledge import Source
from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
Draw = Callable[[SkeletonClip, VisualTexts], list[Media]]
"""Draws the skeleton of a clip as images or a video; passed in by the caller."""


@dataclass(frozen=True)
class ShownClip:
    """A clip of a class; ``media`` makes its images or its video when they are needed."""

    class_: str
    clip_id: str
    source: Source
    media: Callable[[], list[Media]]


def shown_clips(config: VisualTexts, names: Sequence[str], cache: Path, draw: Draw | None) -> list[ShownClip]:
    """Select the clips to be shown, class by class in the order of ``names``.

    Args:
        cache: folder for the frames of videos.
        draw: required for drawn skeletons.

    Raises:
        InputError: a folder or store that is not there, or a class without any clip.
    """
    if config.source == "none":
        return []
    if config.source == "drawn":
        if draw is None:
            raise ValueError("shown_clips: drawn skeletons need something that draws")
        clips = list(_drawn(config, names, draw))
    else:
        clips = list(_videos(config, names, cache))
    chosen = []
    for name in names:
        own = [clip for clip in clips if clip.class_ == name]
        if not own:
            raise InputError(f"knowledge build: no clip of class {name!r} in {config.videos or config.store}; add some")
        count = min(config.clips or len(own), len(own))
        chosen += [own[int(i)] for i in np.linspace(0, len(own) - 1, count).round()]
    return chosen


def training_clips(store: str, protocol: str) -> tuple[Store, list[int]]:
    """Open a store and list the training clips of a protocol.

    Raises:
        InputError: no such store or protocol.
    """
    opened = Store.open(store)
    return opened, split(opened, get_protocol(protocol), ValidationConfig(by="none")).train.tolist()


def _drawn(config: VisualTexts, names: Sequence[str], draw: Draw) -> Iterator[ShownClip]:
    store, indices = training_clips(config.store, config.protocol)

    def media(index: int) -> Callable[[], list[Media]]:
        return lambda: draw(store[index], config)

    for index in indices:
        name = store.classes[store.labels[index]]
        if name in names:
            yield ShownClip(name, store.clip_ids[index], "drawn skeleton", media(index))


def _videos(config: VisualTexts, names: Sequence[str], cache: Path) -> Iterator[ShownClip]:
    folder = Path(config.videos)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of videos")
    features = load_frame_features(config.features)

    def media(path: Path) -> Callable[[], list[Media]]:
        if config.send == "video":
            return lambda: [whole_video(path, config.video, cache)]
        return lambda: select_frames(path, config.frames, features, cache)

    for name, path in _of_store(config, folder) if config.store else _of_folders(folder, names):
        if name in names:
            quoted(path.stem, "file name")  # refused before any request
            yield ShownClip(name, path.relative_to(folder).as_posix(), "video", media(path))


def _of_folders(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Videos in a folder for each class, whatever case, ``_`` and ``-`` its name has."""
    by_key = {_key(name): name for name in names}
    for path in _video_files(folder):
        name = by_key.get(_key(path.relative_to(folder).parts[0]))
        if name is not None and path.parent != folder:
            yield name, path


def _of_store(config: VisualTexts, folder: Path) -> Iterator[tuple[str, Path]]:
    """Videos named like training clips, with or without a suffix: ``S001C001P001R001A001_rgb.avi``."""
    store, indices = training_clips(config.store, config.protocol)
    by_id = {store.clip_ids[i]: store.classes[store.labels[i]] for i in indices}
    for path in _video_files(folder):
        for stem in (path.stem, path.stem.rpartition("_")[0]):
            if stem in by_id:
                yield by_id[stem], path
                break


def _video_files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())


def _key(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.casefold().replace("_", " ")))
