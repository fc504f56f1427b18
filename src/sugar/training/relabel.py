"""Labels that a data set has wrong, fixed before a run divides its clips."""

from pathlib import Path

from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.training.exclude import clip_finder, lines_of


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
