"""Generalized zero-shot recognition: how well seen and unseen classes are told in one list of candidates.

The constant of calibrated stacking (`models.scorers.calibrated_stacking`) comes from pseudo-unseen classes of the
training side, never from the unseen ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Generalized:
    """Shares in [0, 1]: mean over classes of the accuracy on seen and on unseen ones, and their harmonic mean."""

    seen: float
    unseen: float
    harmonic: float

    def to_dict(self) -> dict[str, float]:
        """Plain types for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PseudoUnseen:
    """Scores of held-out clips by what was learned without some of the classes.

    Args:
        scores: ``[N, K]``.
        labels: ``[N]``.
        seen: ``[K]`` bool, classes that trained.
    """

    scores: Table
    labels: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]


def harmonic_mean(a: float, b: float) -> float:
    """0 where either is 0."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def generalized_accuracy(scores: Table, labels: npt.NDArray[np.int64], seen: npt.NDArray[np.bool_]) -> Generalized:
    """How well clips of seen and of unseen classes are told among all; either side without clips counts as 0."""
    correct = scores.argmax(axis=1) == labels
    sides = []
    for side in (seen, ~seen):
        present = [k for k in np.flatnonzero(side) if (labels == k).any()]
        sides.append(float(np.mean([correct[labels == k].mean() for k in present])) if present else 0.0)
    return Generalized(sides[0], sides[1], harmonic_mean(*sides))


def choose_constant(draws: Sequence[PseudoUnseen], steps: int = 81, largest: float = 8.0) -> float:
    """The constant of the best harmonic mean, averaged over draws of pseudo-unseen classes; the smallest of equals."""
    constants = np.linspace(-largest / 2, largest, steps)

    def value(constant: float) -> float:
        return float(
            np.mean([generalized_accuracy(d.scores - constant * d.seen, d.labels, d.seen).harmonic for d in draws])
        )

    values = [value(c) for c in constants]
    return float(constants[int(np.argmax(values))])
