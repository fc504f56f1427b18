"""Evaluation protocols: which clips train, which validate, which test."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sugar.datasets.store import COLUMNS, Store
from sugar.errors import InputError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """A split by one column of the store.

    Args:
        name: its name on the command line.
        column: subject, camera, setup or trial.
        train: values of the training side.
        test: values of the test side; None is every value that does not train.
    """

    name: str
    column: Literal["subject", "camera", "setup", "trial"]
    train: tuple[int, ...]
    test: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.train or set(self.train) & set(self.test or ()):
            raise InputError(f"protocol {self.name!r}: its training side is empty or shares a value with its test")


NW_UCLA_CROSS_VIEW = Protocol("nw-ucla-cross-view", "camera", train=(1, 2), test=(3,))
"""Train on the first two cameras (1,020 clips), test on the third (464)."""

SYNTHETIC_CROSS_PERSON = Protocol("synthetic-cross-person", "subject", train=tuple(range(1, 9)))
"""Built-in data: eight people train; the others, whom moreover another camera sees, test."""

UTD_MHAD_CROSS_SUBJECT = Protocol("utd-mhad-cross-subject", "subject", train=(1, 3, 5, 7), test=(2, 4, 6, 8))
"""Odd subjects train (431 clips), even ones test (430)."""

PROTOCOLS = (NW_UCLA_CROSS_VIEW, UTD_MHAD_CROSS_SUBJECT, SYNTHETIC_CROSS_PERSON)


def get_protocol(name: str) -> Protocol:
    """A built-in protocol by its name, or one's own as ``COLUMN:TRAIN[/TEST]``, such as ``subject:1,3,5``.

    Raises:
        InputError: there is none of this name, or the form is not kept.
    """
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    column, colon, values = name.partition(":")
    train, slash, test = values.partition("/")
    try:
        if colon and column in COLUMNS:
            sides = [tuple(int(v) for v in side.split(",")) for side in (train, test) if side or side is train]
            return Protocol(name, column, sides[0], sides[1] if slash else None)  # type: ignore[arg-type]
    except (ValueError, IndexError):
        pass
    known = ", ".join(p.name for p in PROTOCOLS)
    raise InputError(f"unknown protocol {name!r}: use {known}, or COLUMN:TRAIN[/TEST] such as subject:1,3,5/2,4")


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


@dataclass(frozen=True, eq=False)
class Split:
    """Clip indices of the three sides, each sorted; no clip is in two."""

    train: Indices
    validation: Indices
    test: Indices


def split(store: Store, protocol: Protocol, validation: ValidationConfig) -> Split:
    """Split the labelled clips of a store; clips without a label and with other values are in no side.

    Raises:
        InputError: the store lacks the column, a side is empty, or the validation values do not train.
    """
    values = store.column(protocol.column)
    labelled = store.labels >= 0
    if (values[labelled] < 0).any():
        missing = store.clip_ids[int(np.flatnonzero(labelled & (values < 0))[0])]
        raise InputError(
            f"store {store.path}: clip {missing!r} has no {protocol.column}, which protocol {protocol.name} needs"
        )
    trains = labelled & np.isin(values, protocol.train)
    tests = labelled & (~np.isin(values, protocol.train) if protocol.test is None else np.isin(values, protocol.test))
    for side, chosen in (("training", trains), ("test", tests)):
        if not chosen.any():
            raise InputError(f"store {store.path}: no clip on the {side} side of protocol {protocol.name}")
    held_out = _validation_mask(store, trains, validation)
    if not (trains & ~held_out).any():
        raise InputError("validation: it would hold out every training clip; hold out less")
    return Split(
        train=np.flatnonzero(trains & ~held_out),
        validation=np.flatnonzero(held_out),
        test=np.flatnonzero(tests),
    )


def _validation_mask(store: Store, trains: npt.NDArray[np.bool_], config: ValidationConfig) -> npt.NDArray[np.bool_]:
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


def _draw_fraction(store: Store, trains: npt.NDArray[np.bool_], config: ValidationConfig) -> npt.NDArray[np.bool_]:
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
