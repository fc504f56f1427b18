"""Which clips of the training side are held out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sugar.datasets.store.store import Store
from sugar.errors import InputError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ValidationConfig:
    """Which clips of the training side are held out to choose epochs, weights and thresholds."""

    by: Literal["none", "subject", "camera", "fraction"] = "fraction"
    """``subject`` or ``camera`` hold out whole people or views; ``fraction`` a share of each class."""
    values: tuple[int, ...] = ()
    """The subjects or cameras to hold out."""
    fraction: float = 0.1
    """Share of each class to hold out; views of one performance stay together."""
    seed: int = 0
    """Seed of the drawing by fraction."""

    def __post_init__(self) -> None:
        if self.by in ("subject", "camera") and not self.values:
            raise InputError(f"validation.values: name at least one {self.by} to hold out")
        if self.by == "fraction" and not 0 < self.fraction < 1:
            raise InputError(f"validation.fraction must lie between 0 and 1, not {self.fraction}")


def held_out_clips(store: Store, trains: Mask, config: ValidationConfig) -> Mask:
    """``[N]``: the clips among ``trains`` ``[N]`` that validate.

    Raises:
        InputError: a value that no training clip has.
    """
    if config.by == "none":
        return np.zeros_like(trains)
    if config.by == "fraction":
        return _draw_fraction(store, trains, config)
    values = store.column(config.by)
    held_out = trains & np.isin(values, config.values)
    for value in config.values:
        if not (held_out & (values == value)).any():
            raise InputError(f"validation.values: {config.by} {value} has no clip on the training side")
    return held_out


def _draw_fraction(store: Store, trains: Mask, config: ValidationConfig) -> Mask:
    """Whole performances of each class at random until the share is reached; never all of a class.

    A performance (setup, subject, trial, class) is what several cameras see at once; a view of it on the
    other side would be nearly the same clip. Without a trial number each clip is a performance.
    """
    rng = np.random.default_rng(config.seed)
    keys = np.stack([store.column(name) for name in ("setup", "subject", "trial")], axis=1)
    held_out = np.zeros_like(trains)
    for label in np.unique(store.labels[trains]):
        members = np.flatnonzero(trains & (store.labels == label))
        alone = np.where(keys[members, 2] < 0, members, -1)
        _, group = np.unique(np.column_stack([keys[members], alone]), axis=0, return_inverse=True)
        group = group.reshape(-1)
        sizes = np.bincount(group)
        order = rng.permutation(len(sizes))[:-1]  # the last one stays in training
        before = np.cumsum(sizes[order]) - sizes[order]
        taken = order[before + sizes[order] / 2 <= max(config.fraction * len(members), 1)]
        held_out[members[np.isin(group, taken)]] = True
    return held_out
