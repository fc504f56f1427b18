"""Training clips that a list names are not trained on, such as those whose labels are doubtful."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from sugar.datasets.protocols import Split
from sugar.datasets.store import Store
from sugar.errors import InputError


def leave_out(sides: Split, store: Store, path: str | Path) -> tuple[Split, list[str]]:
    """The split without the training and validation clips in a file, and the ids of those; what tests is left alone.

    Args:
        path: ids, one a line; what follows a ``#`` is a comment. In a combined store the name of the data set before
            an id may be left out where one clip alone is meant.

    Raises:
        InputError: no such file, no text, or a clip that the store has not; names the line.
    """
    out = np.intersect1d(np.concatenate([sides.train, sides.validation]), _listed(store, path))
    train, validation = np.setdiff1d(sides.train, out), np.setdiff1d(sides.validation, out)
    return replace(sides, train=train, validation=validation), [store.clip_ids[i] for i in out]


def _listed(store: Store, path: str | Path) -> list[int]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.leave_out: {path}: cannot be read ({error})") from None
    found = []
    whole = _whole_ids(store)
    for number, line in enumerate(lines, start=1):
        if clip_id := line.partition("#")[0].strip():
            try:
                found.append(store.index(whole.get(clip_id, clip_id)))
            except InputError as error:
                raise InputError(
                    f"data.leave_out: {path}, line {number}: {error}; other data need a list of their own, or ''"
                ) from None
    return found


def _whole_ids(store: Store) -> dict[str, str]:
    """Ids of a combined store by what follows the data set's name, where only one clip has it and none is called so."""
    without = [clip_id.partition("/")[2] for clip_id in store.clip_ids]
    once = {name for name, count in Counter(without).items() if count == 1} - {"", *store.clip_ids}
    return {name: clip_id for name, clip_id in zip(without, store.clip_ids, strict=True) if name in once}
