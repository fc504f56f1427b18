"""The training and validation clips of a run: labels fixed, store split, listed clips excluded."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sugar.datasets.protocols.protocols import Protocol, Split, get_protocol, split
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.training.config import DataConfig


class PreparedSplit(NamedTuple):
    """A divided store.

    Args:
        store: with `DataConfig.relabel`'s labels.
        protocol: what divided it.
        split: without the training clips of `DataConfig.exclude`.
        excluded, relabeled: ids of the clips that those two concern.
    """

    store: Store
    protocol: Protocol
    split: Split
    excluded: list[str]
    relabeled: list[str]


def prepare_split(data: DataConfig) -> PreparedSplit:
    """Open the store, fix its labels, divide it, leave out what is listed.

    Raises:
        InputError: the store, the protocol or a list is not as it must be; or a fixed label puts a clip on the
            training side that is tested under the data set's own.
    """
    store, protocol = Store.open(data.store), get_protocol(data.protocol)
    excluded: list[str] = []
    fixed, relabeled = relabel(store, data.relabel) if data.relabel else (store, [])
    sides = split(fixed, protocol, data.validation)
    if relabeled:
        tested = split(store, protocol, data.validation).test
        both = np.intersect1d(np.concatenate([sides.train, sides.validation]), tested)
        if both.size:
            raise InputError(
                f"data.relabel: {data.relabel}: clip {store.clip_ids[both[0]]!r} would train, but is tested under the "
                "data set's own label; take its line out"
            )
    if data.exclude:
        sides, excluded = exclude(sides, fixed, data.exclude)
    return PreparedSplit(fixed, protocol, sides, excluded, relabeled)


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


def relabel(store: Store, path: str | Path) -> tuple[Store, list[str]]:
    """The store with the labels that a file gives, and the ids of the clips whose label it changes.

    Args:
        path: ``ID: CLASS`` a line, otherwise as in `exclude`.

    Raises:
        InputError: no such file, no text, a line of another form, or a clip or class that the store has not; names
            the line.
    """
    find, labels, changed = clip_finder(store), store.labels.copy(), []
    for line, where in lines_of(path, "data.relabel"):
        clip_id, colon, name = line.rpartition(": ")
        if not colon:
            raise InputError(f"{where}: {line!r}: write a clip's id and its class, ID: CLASS")
        row = find(clip_id.strip(), where)
        if name.strip() not in store.classes:
            raise InputError(f"{where}: store {store.path} has no class {name.strip()!r}; give one of its names")
        label = store.classes.index(name.strip())
        if labels[row] != label:
            labels[row] = label
            changed.append(store.clip_ids[row])
    return store.relabeled(labels), changed
