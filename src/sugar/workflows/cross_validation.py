"""The training side in parts, each asked of a model that was trained on the others. No test clip is looked at."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from sugar.datasets.protocols.protocols import ValidationConfig
from sugar.datasets.store.store import COLUMNS, Store
from sugar.errors import InputError
from sugar.evaluation.score_clips import Indices
from sugar.files import write_text
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig, StageName
from sugar.training.context import check_named
from sugar.training.prepare_split import prepare_split
from sugar.training.run import train


@dataclass(frozen=True)
class Parts:
    """The N training clips of a config's protocol, in parts.

    Args:
        classes: trained classes, in label order.
        clips: ``[N]`` rows of the store.
        ids: their N ids.
        labels: ``[N]`` indices into ``classes``.
        values: ``[N]`` of the column ``by``, one value a part.
    """

    config: RunConfig
    store: Store
    classes: tuple[str, ...]
    clips: Indices
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    by: str
    values: npt.NDArray[np.int64]

    @classmethod
    def of(cls, config: RunConfig, by: str) -> "Parts":
        """One part for each value of the column ``by`` on the training side.

        Raises:
            InputError: no such column, fewer than two values on the training side, or the config is not as it must be.
        """
        check_named(config)
        store, _, side, _, _ = prepare_split(replace(config.data, validation=ValidationConfig(by="none")))
        if by not in COLUMNS:
            raise InputError(f"--by {by}: give a column of the store, one of {', '.join(COLUMNS)}")
        values = store.column(by)[side.train]
        if (values < 0).any() or len(np.unique(values)) < 2:
            raise InputError(f"store {store.path}: the training clips need a {by} each, and two of them or more")
        labels = store.view(classes=side.seen).labels[side.train]
        ids = tuple(store.clip_ids[i] for i in side.train)
        return cls(config, store, tuple(side.seen), side.train, ids, labels, by, values)

    def __iter__(self) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        """The name of each part and which of the N clips are in it."""
        for value in np.unique(self.values).tolist():
            yield f"{self.by}-{value}", np.flatnonzero(self.values == value)

    def train_without(
        self, part: npt.NDArray[np.int64], folder: Path, stages: tuple[StageName, ...], but: Collection[str] = ()
    ) -> Sugar:
        """The run in ``folder`` of all clips outside a part ``but`` some; goes on where it stopped.

        Raises:
            InputError: a class has no clip outside the part.
            Interrupted: a signal came; call again to go on.
        """
        asked = [self.ids[row] for row in part]
        without = {*but, *asked}
        clips = [clip for clip in self.ids if clip not in without]
        protocol = folder.with_suffix(".yaml")
        described = {"train_clips": clips, "test_clips": asked, "classes": list(self.classes)}
        write_text(protocol, yaml.safe_dump(described))
        data = replace(self.config.data, protocol=str(protocol), validation=ValidationConfig(by="none"), exclude="")
        config = replace(self.config, data=data, stages=stages, fusion="")
        return train(config, folder, resume=folder.exists())
