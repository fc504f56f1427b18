"""What a run trains on: the store under the labels that it takes, divided as its protocol says."""

from typing import NamedTuple

import numpy as np

from sugar.datasets.protocols import Protocol, Split, get_protocol, split
from sugar.datasets.store import Store
from sugar.errors import InputError
from sugar.training.config import DataConfig
from sugar.training.left_out import leave_out
from sugar.training.relabel import relabel


class Sides(NamedTuple):
    """A divided store.

    Args:
        store: with `DataConfig.relabel`'s labels.
        protocol: what divided it.
        split: without the training clips of `DataConfig.leave_out`.
        left_out, relabelled: ids of the clips that those two concern.
    """

    store: Store
    protocol: Protocol
    split: Split
    left_out: list[str]
    relabelled: list[str]


def divide(data: DataConfig) -> Sides:
    """Open the store, mend its labels, divide it, leave out what is listed.

    Raises:
        InputError: the store, the protocol or a list is not as it must be; or a mended label puts a clip on the
            training side that is tested under the data set's own.
    """
    store, protocol = Store.open(data.store), get_protocol(data.protocol)
    left_out: list[str] = []
    mended, relabelled = relabel(store, data.relabel) if data.relabel else (store, [])
    sides = split(mended, protocol, data.validation)
    if relabelled:
        tested = split(store, protocol, data.validation).test
        both = np.intersect1d(np.concatenate([sides.train, sides.validation]), tested)
        if both.size:
            raise InputError(
                f"data.relabel: {data.relabel}: clip {store.clip_ids[both[0]]!r} would train, but is tested under the "
                "data set's own label; take its line out"
            )
    if data.leave_out:
        sides, left_out = leave_out(sides, mended, data.leave_out)
    return Sides(mended, protocol, sides, left_out, relabelled)
