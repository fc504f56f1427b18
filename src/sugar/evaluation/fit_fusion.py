"""Choosing the fusion's temperatures and weights on validation clips, never on those that are reported.

They minimize the negative log-likelihood, which is smooth where accuracy is not, plus a weak prior worth
about one clip that holds temperatures near 1 and weights near equal. T, the temperature of the whole, is
below 1 where scorers err independently: together they deserve more confidence than their mean.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sugar.errors import InputError
from sugar.evaluation.metrics import check_labels
from sugar.models.scorers.fusion import Fusion, check_scores, log_softmax

TEMPERATURES = (0.02, 50.0)
MAX_SCORERS = 4


def fit_fusion(scores: Mapping[str, ArrayLike], labels: ArrayLike) -> Fusion:
    """Choose temperatures and weights on validation clips; never give it clips that are reported on.

    Args:
        scores: log-probabilities [N, K] by scorer, one to four of them.
        labels: [N] class indices.

    Raises:
        InputError: no scorer or more than four, shapes that differ, NaN, labels outside the classes.
    """
    if not 1 <= len(scores) <= MAX_SCORERS:
        raise InputError(f"{len(scores)} scorers given to fuse: give 1 to {MAX_SCORERS}")
    tables = check_scores(scores)
    names = list(tables)
    truth = check_labels(labels, *tables[names[0]].shape)
    temperatures = {n: _best_temperature(tables[n], truth) for n in names}
    # Half the memory traffic in single precision: large validation sets are searched in seconds.
    calibrated = np.stack([log_softmax(tables[n] / temperatures[n]) for n in names]).astype(np.float32)

    # Calibrated scorers need a joint sharpening between 1 (all say the same) and S (all independent).
    pool_temperatures = 1 / np.geomspace(1, len(names), 5) if len(names) > 1 else np.ones(1)
    best, best_loss = _simplex(len(names))[0], math.inf
    for weights in _simplex(len(names)):
        pooled = np.tensordot(weights.astype(np.float32), calibrated, axes=1)
        unequal = float(sum(w * math.log(w * len(names)) for w in weights if w > 0)) / len(truth)
        for temperature in pool_temperatures:
            loss = _loss(pooled, truth, float(temperature)) + unequal
            # Ties, up to rounding, go to the earlier point: the grid starts at the most equal weights.
            if loss < best_loss - 1e-6:
                best, best_loss = weights, loss
    chosen = np.tensordot(best, calibrated.astype(np.float64), axes=1)
    return Fusion(
        weights={n: float(w) for n, w in zip(names, best, strict=True)},
        temperatures=temperatures,
        temperature=_best_temperature(chosen, truth) if len(names) > 1 else 1.0,
    )


def _simplex(size: int) -> list[NDArray[np.float64]]:
    """Weights that sum to one in steps of 1/20 (1/12 for four), most equal first, exactly equal included."""
    steps = 12 if size == MAX_SCORERS else 20
    points = [np.full(size, 1 / size)]
    for cuts in itertools.combinations(range(steps + size - 1), size - 1):
        edges = (-1, *cuts, steps + size - 1)
        points.append(np.array([b - a - 1 for a, b in itertools.pairwise(edges)]) / steps)
    return sorted(points, key=lambda w: round(float((w**2).sum()), 9))


def _loss(logits: NDArray[np.floating], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood at a temperature, plus a standard normal prior on log T worth one clip."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
    likelihood = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
    return float(-likelihood.mean()) + 0.5 * math.log(temperature) ** 2 / len(labels)


def _best_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Coarse search over log T, then golden section between the best point's neighbors."""
    grid = np.linspace(math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]), 33)
    losses = [_loss(logits, labels, math.exp(t)) for t in grid]
    i = int(np.argmin(losses))
    low, high = float(grid[max(i - 1, 0)]), float(grid[min(i + 1, len(grid) - 1)])
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        a, b = high - golden * (high - low), low + golden * (high - low)
        if _loss(logits, labels, math.exp(a)) <= _loss(logits, labels, math.exp(b)):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)
