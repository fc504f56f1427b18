"""What a table of class probabilities is worth: accuracy, calibration, and how sure we are of both."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sugar.errors import InputError

NUM_BINS = 15
NUM_RESAMPLES = 2000
SUM_TOLERANCE = 1e-3
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Metrics:
    """The figures of one scorer on one set of clips; shares in [0, 1], intervals cover 95 %."""

    n: int
    top1: float
    top5: float
    mean_class: float
    ece: float
    top1_interval: tuple[float, float]
    mean_class_interval: tuple[float, float]

    def to_dict(self) -> dict[str, object]:
        """Plain types for JSON; intervals become lists of two."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class ReliabilityBin:
    """Clips whose top-1 probability lies in (lower, upper]; both means are None in an empty bin."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class PairedComparison:
    """Scorer a against scorer b on the same clips.

    ``difference`` is top-1 of a minus top-1 of b, ``interval`` its 95 % interval, ``only_a`` and ``only_b``
    count the clips that just one of them has right, ``p_value`` is McNemar's exact two-sided test.
    """

    n: int
    difference: float
    interval: tuple[float, float]
    only_a: int
    only_b: int
    p_value: float

    def to_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def check_labels(labels: ArrayLike, num_clips: int, num_classes: int) -> NDArray[np.int64]:
    """Labels as int64 [N].

    Raises:
        InputError: wrong length, not integers, or outside 0..num_classes-1 (so also -1, "no label").
    """
    array = np.asarray(labels)
    if array.shape != (num_clips,):
        raise InputError(f"labels have shape {array.shape}: give one label for each of the {num_clips} clips")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"labels are {array.dtype}: give class indices as integers")
    outside = np.flatnonzero((array < 0) | (array >= num_classes))
    if outside.size:
        row = int(outside[0])
        raise InputError(
            f"label {int(array[row])} of clip {row} is outside 0..{num_classes - 1}: "
            "evaluate labeled clips of the listed classes only"
        )
    return array.astype(np.int64)


def check_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probabilities as float64 [N, K], each row summing to exactly one.

    Raises:
        InputError: wrong shape, no clips, NaN, infinite or negative values, a row sum off one by over 1e-3.
    """
    array = np.asarray(probabilities, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"probabilities have shape {array.shape}: give [clips, classes], at least one of each")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(
            f"probabilities of clip {int(np.argmin(finite))} are not finite: check the scorer that made them"
        )
    sums = array.sum(axis=1)
    wrong = (array < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"probabilities of clip {row} are no distribution (sum {sums[row]:.4g}, "
            f"least {array[row].min():.4g}): give softmax outputs, not logits"
        )
    return array / sums[:, None]


def ranks(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank [N] of each true class, 0 the best. Ties go to the lower class index, as argmax breaks them."""
    truth = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1])[None, :] < labels[:, None]
    return ((probabilities > truth) | ((probabilities == truth) & before)).sum(axis=1)


def top_k_accuracy(probabilities: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Share of clips whose true class is among the k most probable (all classes, if fewer than k)."""
    array = check_probabilities(probabilities)
    return float((ranks(array, check_labels(labels, *array.shape)) < k).mean())


def confusion_matrix(predictions: ArrayLike, labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Counts [K, K]: rows are true classes, columns predicted ones."""
    truth = np.asarray(labels)
    truth = check_labels(truth, len(truth), num_classes)
    predicted = check_labels(predictions, len(truth), num_classes)
    return np.bincount(truth * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Recall [K] of each class; NaN for classes without clips."""
    counts = confusion.sum(axis=1)
    return np.divide(np.diag(confusion), counts, out=np.full(len(counts), np.nan), where=counts > 0)


def reliability(probabilities: ArrayLike, labels: ArrayLike, num_bins: int = NUM_BINS) -> list[ReliabilityBin]:
    """Top-1 confidence against accuracy in bins of equal width (Guo et al. 2017, "On calibration")."""
    array = check_probabilities(probabilities)
    truth = check_labels(labels, *array.shape)
    confidence = array.max(axis=1)
    correct = array.argmax(axis=1) == truth
    edges = np.linspace(0, 1, num_bins + 1)
    # Bins are open below and closed above, so that a confidence of exactly one falls in the last.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    table = []
    for i in range(num_bins):
        inside = place == i
        count = int(inside.sum())
        table.append(
            ReliabilityBin(
                lower=float(edges[i]),
                upper=float(edges[i + 1]),
                count=count,
                confidence=float(confidence[inside].mean()) if count else None,
                accuracy=float(correct[inside].mean()) if count else None,
            )
        )
    return table


def expected_calibration_error(table: list[ReliabilityBin]) -> float:
    """Mean over clips of |accuracy - confidence| of their bin."""
    total = sum(b.count for b in table)
    gaps = (
        b.count * abs(b.accuracy - b.confidence) for b in table if b.accuracy is not None and b.confidence is not None
    )
    return float(sum(gaps) / total)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): sound near 0 and 1, where the normal one leaves [0, 1]."""
    share, z2 = successes / n, NORMAL_95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def mean_class_interval(confusion: NDArray[np.int64], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap of mean per-class accuracy, resampling within each class.

    Resampling n clips of which a share p is right gives a binomial count, so the counts are drawn directly.
    Where every clip is right the bootstrap knows of no doubt and the interval is a point.
    """
    counts = confusion.sum(axis=1)
    present = counts > 0
    n, right = counts[present], np.diag(confusion)[present]
    draws = np.random.default_rng(seed).binomial(n, right / n, size=(NUM_RESAMPLES, len(n)))
    low, high = np.quantile((draws / n).mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def compute_metrics(probabilities: ArrayLike, labels: ArrayLike, *, seed: int = 0) -> Metrics:
    """All figures of one scorer.

    Args:
        probabilities: [N, K], rows summing to one within 1e-3.
        labels: [N] integers in 0..K-1. Mean per-class accuracy is over the classes that occur here.
        seed: of the bootstrap.

    Raises:
        InputError: see `check_probabilities` and `check_labels`.
    """
    array = check_probabilities(probabilities)
    truth = check_labels(labels, *array.shape)
    place = ranks(array, truth)
    confusion = confusion_matrix(array.argmax(axis=1), truth, array.shape[1])
    return Metrics(
        n=len(truth),
        top1=float((place < 1).mean()),
        top5=float((place < 5).mean()),
        mean_class=float(np.nanmean(class_accuracy(confusion))),
        ece=expected_calibration_error(reliability(array, truth)),
        top1_interval=wilson_interval(int((place < 1).sum()), len(truth)),
        mean_class_interval=mean_class_interval(confusion, seed=seed),
    )


def compare_paired(prob_a: ArrayLike, prob_b: ArrayLike, labels: ArrayLike, *, seed: int = 0) -> PairedComparison:
    """Top-1 of a against b on the same clips: paired bootstrap interval and McNemar's exact test.

    Resampling clips gives multinomial counts of (only a right, only b right, the rest), drawn directly.

    Raises:
        InputError: the two tables differ in shape, or are no probabilities.
    """
    a, b = check_probabilities(prob_a), check_probabilities(prob_b)
    if a.shape != b.shape:
        raise InputError(f"paired scores have shapes {a.shape} and {b.shape}: compare the same clips and classes")
    truth = check_labels(labels, *a.shape)
    right_a, right_b = a.argmax(axis=1) == truth, b.argmax(axis=1) == truth
    n, only_a, only_b = len(truth), int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    shares = np.array([only_a, only_b, n - only_a - only_b]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=NUM_RESAMPLES)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return PairedComparison(
        n=n,
        difference=(only_a - only_b) / n,
        interval=(float(low), float(high)),
        only_a=only_a,
        only_b=only_b,
        p_value=sign_test(only_a, only_b),
    )


def sign_test(a: int, b: int) -> float:
    """Two-sided exact probability of a split at least as uneven as a : b under a fair coin."""
    n = a + b
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(min(a, b) + 1)
    )
    return min(1.0, 2 * sum(math.exp(x) for x in logs))
