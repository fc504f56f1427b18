"""Several stores as one, with the protocol that keeps each clip on its side: one model over several data sets."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from sugar.datasets.protocols.protocols import Protocol, ValidationConfig, split
from sugar.datasets.store.store import Store, StoreWriter, as_row, check_replaceable
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.retarget import retarget

PROTOCOL_FILE = "protocol.yaml"


def combine_stores(parts: Sequence[tuple[Store, Protocol]], path: str | Path, layout: JointLayout) -> Store:
    """Write the clips of several stores into one, in a common joint layout.

    Classes of the same name become one. Clip ids begin with their store's name. Only clips that their protocol
    puts on a side are taken; which side that is, and which classes each store has, stands in ``protocol.yaml`` in the
    new store's folder.

    Raises:
        InputError: two stores of one name, a layout that clips cannot be brought to, or a folder that is no store
            or one of those to combine.
    """
    path = Path(path)
    check_replaceable(path)
    if any(path.resolve() == store.path.resolve() for store, _ in parts):
        raise InputError(f"store {path}: it is one of the stores to combine; choose another folder for the new one")
    names = [store.name for store, _ in parts]
    if len(set(names)) != len(names):
        raise InputError(f"stores to combine must have names that differ, not {', '.join(names)}")
    classes = tuple(dict.fromkeys(name for store, _ in parts for name in store.classes))
    sides = {"train": [], "test": []}  # type: dict[str, list[str]]
    with atomic_folder(path) as folder:
        with StoreWriter(folder, layout, classes) as writer:
            for store, protocol in parts:
                for side, clip in _sided(store, protocol):
                    row = as_row(retarget(clip, layout)) | {"clip_id": f"{store.name}/{clip.clip_id}"}
                    writer.add(row)
                    sides[side].append(row["clip_id"])
        rules = [f"{store.name} ({store.hash[:12]}) by {protocol.name}" for store, protocol in parts]
        writer.write_manifest("+".join(names), "; ".join(rules), [])
        described = {
            "source": "; ".join(rules),
            "lists": {store.name: list(store.classes) for store, _ in parts},
            "train_clips": sides["train"],
            "test_clips": sides["test"],
        }
        (folder / PROTOCOL_FILE).write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return Store.open(path)


def _sided(store: Store, protocol: Protocol) -> Iterator[tuple[str, SkeletonClip]]:
    sides = split(store, protocol, ValidationConfig(by="none"))
    for side, indices in (("train", sides.train), ("test", sides.test)):
        for i in indices:
            yield side, store[int(i)]
