"""Paired statistics over clips: what a difference of two scorers on the same clips is worth."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from sugar.evaluation.metrics import sign_test

NUM_RESAMPLES = 2000
NUM_FLIPS = 20000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PairedDifference:
    """Mean of one figure on either side, their difference, its 95 % interval and how likely chance alone makes it.

    ``deviation`` is that of the difference over the training seeds, None unless both sides have the same ones.
    """

    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    p_value: float | None
    deviation: float | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def paired_difference(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    groups: NDArray[np.int64] | None = None,
    *,
    same_seeds: bool = True,
    seed: int = 0,
) -> PairedDifference:
    """Side a less side b.

    Args:
        a, b: ``[S, N]`` and ``[S', N]`` a figure of every clip by training seed (1 where it is right). Averaged over
            the seeds first: a clip is drawn with all that every seed made of it.
        groups: ``[N]`` class of each clip: the mean is then that of the classes' means, and clips are drawn within
            their class; None: the mean over clips.
        same_seeds: row s of both is of the same seed.
        seed: of the resampling.
    """
    clips = a.mean(axis=0) - b.mean(axis=0)
    numbers = np.zeros(len(clips), dtype=np.int64) if groups is None else groups
    return PairedDifference(
        a=_mean(a.mean(axis=0), numbers),
        b=_mean(b.mean(axis=0), numbers),
        difference=_mean(clips, numbers),
        interval=_interval(clips, numbers, seed),
        p_value=sign_flip_test(clips, seed=seed) if groups is None else None,
        deviation=_deviation(a, b, numbers) if same_seeds and len(a) == len(b) > 1 else None,
    )


def sign_flip_test(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """Two-sided p-value of a mean of zero, if either side was as likely to be ahead on every clip.

    Exact for values of one size (McNemar's test: one seed, right or wrong), else by 20,000 random flips, itself
    counted as one.
    """
    sizes, counts = np.unique(np.abs(differences).round(9), return_counts=True)
    sizes, counts = sizes[sizes > 0], counts[sizes > 0]
    total = abs(float(differences.sum())) - _ROUNDING
    if total <= 0:
        return 1.0
    if len(sizes) == 1:
        return sign_test(int((differences > 0).sum()), int((differences < 0).sum()))
    # Of the clips of one size so many come out positive: a binomial count, drawn directly.
    rng = np.random.default_rng(seed)
    sums = sum(
        size * (2 * rng.binomial(count, 0.5, NUM_FLIPS) - count) for size, count in zip(sizes, counts, strict=True)
    )
    return float((1 + (np.abs(sums) >= total).sum()) / (1 + NUM_FLIPS))


def _mean(clips: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Mean over the groups that occur of their means."""
    return float(np.mean([clips[groups == group].mean() for group in np.unique(groups)]))


def _interval(clips: NDArray[np.float64], groups: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap of `_mean`, clips drawn within their group.

    Few different values occur (right or wrong, over few seeds), so how often each is drawn is drawn directly.
    """
    rng = np.random.default_rng(seed)
    means = []
    for group in np.unique(groups):
        values, counts = np.unique(clips[groups == group], return_counts=True)
        n = int(counts.sum())
        means.append(rng.multinomial(n, counts / n, size=NUM_RESAMPLES) @ values / n)
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    return float(low), float(high)


def _deviation(a: NDArray[np.float64], b: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    return float(np.std([_mean(one - other, groups) for one, other in zip(a, b, strict=True)], ddof=1))
