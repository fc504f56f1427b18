"""Preprocessed clips of a store, as a training loop reads them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from sugar.datasets.store.store import Store
from sugar.skeleton.layout import JointLayout
from sugar.transforms.batches import Item, PreprocessConfig, preprocess


class ClipDataset(Dataset[Item]):
    """Preprocessed clips of some indices of a store.

    Args:
        store: the store.
        indices: positions in the store, e.g. one side of a split.
        preprocess: what every clip goes through.
        cache: keep each clip in memory after its first use; off for data sets larger than the memory.
    """

    def __init__(
        self,
        store: Store,
        indices: npt.NDArray[np.int64] | Sequence[int],
        preprocess: PreprocessConfig,
        cache: bool = True,
    ) -> None:
        self.store = store
        self.indices = np.asarray(indices, dtype=np.int64)
        self.preprocess = preprocess
        self._cache: dict[int, npt.NDArray[np.float32]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Item:
        index = int(self.indices[i])
        joints = None if self._cache is None else self._cache.get(index)
        if joints is None:
            joints = preprocess(self.store[index], self.preprocess)
            if self._cache is not None:
                self._cache[index] = joints
        return Item(joints, int(self.store.labels[index]), index)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """``[N]`` class indices of the chosen clips."""
        return self.store.labels[self.indices]

    @property
    def layout(self) -> JointLayout:
        return self.store.layout
