"""What a run trains on: the store under the labels that it takes, divided as its protocol says."""

from typing import NamedTuple

import numpy as np

from sugar.datasets.protocols.protocols import Protocol, Split, get_protocol, split
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.training.config import DataConfig
from sugar.training.exclude import exclude
from sugar.training.relabel import relabel


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
