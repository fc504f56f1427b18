"""Which labels a model that was not shown the clips does not support: confident learning, recording by recording.

Confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR
2021) counts an example as one of another class if a model that was trained without it is as sure of that class as it
is, on average, of the examples that have its label. So it doubts one clip here and there of classes that look alike;
who labels recordings, however, mixes up whole ones. Doubted are therefore the clips of one recording (one person before
one camera) and class, if more than half of them count as clips of the same other class.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Doubt:
    """Clips of one recording and one class that are most likely of another class.

    Args:
        clips: rows of the probabilities.
        label: their class.
        taken_for: the class that they seem to be.
        own, other: mean probability of either.
    """

    clips: tuple[int, ...]
    label: int
    taken_for: int
    own: float
    other: float


def label_issues(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], recordings: Sequence[Hashable]
) -> list[Doubt]:
    """Doubted groups of clips, in order of their recordings' first clips and classes.

    Where one class's clips are taken for another's, those of the other class in the same recording are doubted as soon
    as they seem rather to be of the first: two names that were exchanged.

    Args:
        probabilities: ``[N, K]`` by models that were trained without the clip.
        labels: ``[N]``.
        recordings: N, which clips belong together, such as those of a person before a camera.
    """
    groups: dict[tuple[Hashable, int], list[int]] = {}
    for row, (recording, label) in enumerate(zip(recordings, labels.tolist(), strict=True)):
        groups.setdefault((recording, label), []).append(row)
    means = {key: probabilities[rows].mean(axis=0) for key, rows in groups.items()}
    counts_as = confident_classes(probabilities, labels)
    taken: dict[tuple[Hashable, int], int] = {}
    for (recording, label), rows in groups.items():
        votes = np.bincount(counts_as[rows] + 1, minlength=probabilities.shape[1] + 1)[1:]  # -1 votes for none
        other = int(votes.argmax())
        if other != label and votes[other] > len(rows) / 2:
            taken[recording, label] = other
    for (recording, label), other in list(taken.items()):
        partner = means.get((recording, other))
        if partner is not None and partner[label] > partner[other]:
            taken.setdefault((recording, other), label)
    return [
        Doubt(tuple(rows), key[1], taken[key], float(means[key][key[1]]), float(means[key][taken[key]]))
        for key, rows in groups.items()
        if key in taken
    ]


def confident_classes(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """``[N]`` the class as which each example counts (Northcutt et al., eq. 1), -1 where none is sure enough."""
    there = [labels == k for k in range(probabilities.shape[1])]
    sure = np.array(
        [probabilities[of_class, k].mean() if of_class.any() else np.inf for k, of_class in enumerate(there)]
    )
    confident = np.where(probabilities >= sure, probabilities, -1.0)
    return np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
