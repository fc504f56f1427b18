"""Generalised zero-shot recognition: seen and unseen classes in one list of candidates.

A model trusts the classes that it has trained on too much. *Calibrated stacking* takes a constant from the scores of
the seen ones (Chao et al., "An empirical study and analysis of generalized zero-shot learning", ECCV 2016). The
constant comes from pseudo-unseen classes of the training side, never from the unseen ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from sugar.models.fusion import log_softmax

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Generalised:
    """Shares in [0, 1]: mean over classes of the accuracy on seen and on unseen ones, and their harmonic mean."""

    seen: float
    unseen: float
    harmonic: float

    def to_dict(self) -> dict[str, float]:
        """Plain types for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PseudoUnseen:
    """Scores of held-out clips by a model that was trained without some of its classes.

    Args:
        log_probabilities: ``[N, K]``.
        labels: ``[N]``.
        seen: ``[K]`` bool, classes that trained.
    """

    log_probabilities: Table
    labels: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]


def harmonic_mean(a: float, b: float) -> float:
    """0 where either is 0."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def stack(log_probabilities: Table, seen: npt.NDArray[np.bool_], constant: float) -> Table:
    """Log-probabilities ``[N, K]`` after ``constant`` is taken from those of the seen classes ``[K]``."""
    return log_softmax(log_probabilities - constant * seen)


def generalised_accuracy(
    log_probabilities: Table, labels: npt.NDArray[np.int64], seen: npt.NDArray[np.bool_]
) -> Generalised:
    """How well clips of seen and of unseen classes are told among all; either side without clips counts as 0."""
    correct = log_probabilities.argmax(axis=1) == labels
    sides = []
    for side in (seen, ~seen):
        present = [k for k in np.flatnonzero(side) if (labels == k).any()]
        sides.append(float(np.mean([correct[labels == k].mean() for k in present])) if present else 0.0)
    return Generalised(sides[0], sides[1], harmonic_mean(*sides))


def choose_constant(draws: Sequence[PseudoUnseen], steps: int = 81, largest: float = 8.0) -> float:
    """The constant of the best harmonic mean, averaged over draws of pseudo-unseen classes; the smallest of equals."""
    constants = np.linspace(-largest / 2, largest, steps)

    def value(constant: float) -> float:
        return float(
            np.mean(
                [
                    generalised_accuracy(stack(d.log_probabilities, d.seen, constant), d.labels, d.seen).harmonic
                    for d in draws
                ]
            )
        )

    values = [value(c) for c in constants]
    return float(constants[int(np.argmax(values))])
