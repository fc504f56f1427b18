"""Which clips a step of training sees."""

import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader

from sugar.training.engine.randomness import random_stream, stable_seed


class Clips(Protocol):
    """Clips by position. They must not be random: augmentation is the objective's, from its generator."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@lru_cache(maxsize=4)
def _epoch_order(seed: int, stage: str, epoch: int, clips: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(stable_seed(seed, random_stream(stage), "order", epoch))
    return torch.randperm(clips, generator=generator).numpy()


@dataclass(frozen=True)
class BatchSchedule:
    """Which clips each step of a training sees: a function of the seed, so resuming is starting further on.

    An epoch is divided into steps, and a step into forward passes, of equal size but for one clip: every clip
    is seen once an epoch and no tiny batch is left at its end. Each process takes its share of every forward
    pass, all shares equal (a clip is seen twice where the pass does not divide).
    """

    clips: int
    epochs: int
    batch_size: int
    accumulate: int
    seed: int
    stage: str
    rank: int = 0
    processes: int = 1

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.clips / (self.batch_size * self.accumulate))

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def _bounds(self, step: int) -> tuple[int, int]:
        within = step % self.steps_per_epoch
        return within * self.clips // self.steps_per_epoch, (within + 1) * self.clips // self.steps_per_epoch

    def clips_of(self, step: int) -> int:
        """Clips that ``step`` sees, over all processes."""
        first, last = self._bounds(step)
        return last - first

    def passes(self, step: int) -> list[tuple[list[int], float]]:
        """This process's clips in each forward pass of ``step``, and the pass's share of the step's clips."""
        first, last = self._bounds(step)
        chosen = _epoch_order(self.seed, self.stage, step // self.steps_per_epoch, self.clips)[first:last]
        passes = []
        for part in np.array_split(chosen, math.ceil(len(chosen) / self.batch_size)):
            even = np.resize(part, math.ceil(len(part) / self.processes) * self.processes)
            passes.append((even[self.rank :: self.processes].tolist(), len(part) / len(chosen)))
        return passes


class _Remaining:
    """Batch sampler of a plan from a step on."""

    def __init__(self, plan: BatchSchedule, step: int) -> None:
        self.plan = plan
        self.step = step

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.step, self.plan.steps):
            for indices, _ in self.plan.passes(step):
                yield indices


def loader(
    dataset: Clips, collate: Callable[[list[Any]], Any], plan: BatchSchedule, step: int, workers: int
) -> DataLoader[Any]:
    """Batches of every forward pass from ``step`` to the end of training, one worker pool for all epochs."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # torch names its own class, but asks no more than this
        batch_sampler=_Remaining(plan, step),
        collate_fn=collate,
        num_workers=workers,
        generator=torch.Generator(),  # else the loader would draw from the global generator
        worker_init_fn=_ignore_interrupt,
    )


def _ignore_interrupt(worker: int) -> None:
    # Ctrl-C reaches the whole process group; only the training process shall act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
