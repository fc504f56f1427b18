"""Training clips that a list names are not trained on, such as those whose labels are doubtful."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sugar.datasets.protocols.protocols import Split
from sugar.datasets.store.store import Store
from sugar.errors import InputError


def exclude(sides: Split, store: Store, path: str | Path) -> tuple[Split, list[str]]:
    """The split without the training and validation clips in a file, and the ids of those; what tests is left alone.

    Args:
        path: ids, one a line; what follows a ``#`` is a comment. In a combined store the name of the data set before
            an id may be left out where one clip alone is meant.

    Raises:
        InputError: no such file, no text, or a clip that the store has not; names the line.
    """
    find = clip_finder(store)
    listed = [find(clip_id, where) for clip_id, where in lines_of(path, "data.exclude")]
    out = np.intersect1d(np.concatenate([sides.train, sides.validation]), listed)
    train, validation = np.setdiff1d(sides.train, out), np.setdiff1d(sides.validation, out)
    return replace(sides, train=train, validation=validation), [store.clip_ids[i] for i in out]


def lines_of(path: str | Path, key: str) -> Iterator[tuple[str, str]]:
    """Each line of a file that says something, without its comment, and where it stands, for messages.

    Args:
        key: the setting that names the file.

    Raises:
        InputError: no such file, or no text.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{key}: {path}: cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        if said := line.partition("#")[0].strip():
            yield said, f"{key}: {path}, line {number}"


def clip_finder(store: Store) -> Callable[[str, str], int]:
    """What finds a clip's row by its id, which in a combined store may lack the name of its data set.

    Its second argument says where the id stands. Raises `InputError` if the store has no such clip.
    """
    without = [clip_id.partition("/")[2] for clip_id in store.clip_ids]
    once = {name for name, count in Counter(without).items() if count == 1} - {"", *store.clip_ids}
    whole = {name: clip_id for name, clip_id in zip(without, store.clip_ids, strict=True) if name in once}

    def find(clip_id: str, where: str) -> int:
        try:
            return store.index(whole.get(clip_id, clip_id))
        except InputError as error:
            raise InputError(f"{where}: {error}; other data need a list of their own, or ''") from None

    return find
