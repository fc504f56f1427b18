"""One score out of several: a weighted geometric mean of calibrated distributions.

    p(k) ~ prod_s softmax(log p_s / T_s)(k) ^ (w_s / T),   sum_s w_s = 1

T_s calibrates scorer s, w weighs the scorers, T sharpens the whole: scorers whose errors are independent
deserve, together, more confidence than their mean. All of it is chosen on validation clips by their negative
log-likelihood, which is smooth where accuracy is not, plus a weak prior worth about one clip that holds
temperatures near 1 and weights near equal.
"""

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sugar.errors import InputError
from sugar.evaluation.metrics import check_labels

# A scorer that calls a class impossible must not veto all others: e^-30 is small enough.
LOG_FLOOR = -30.0
TEMPERATURES = (0.02, 50.0)
MAX_SCORERS = 4


@dataclass(frozen=True)
class Fusion:
    """Weights (summing to one) and temperatures by scorer, and the temperature of the whole."""

    weights: Mapping[str, float]
    temperatures: Mapping[str, float]
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.weights or set(self.weights) != set(self.temperatures):
            raise InputError(
                f"fusion weighs {sorted(self.weights)} but has temperatures of {sorted(self.temperatures)}: "
                "name the same scorers, at least one"
            )
        if min(self.weights.values()) < 0 or abs(sum(self.weights.values()) - 1) > 1e-6:
            raise InputError(f"fusion weights {dict(self.weights)}: give weights of 0 or more that sum to 1")
        if min(*self.temperatures.values(), self.temperature) <= 0:
            raise InputError(
                f"fusion temperatures {dict(self.temperatures)}, {self.temperature}: give values above 0"
            )

    @classmethod
    def equal(cls, names: Iterable[str]) -> "Fusion":
        """All scorers alike, nothing calibrated: for when there is no validation data."""
        unique = list(dict.fromkeys(names))
        return cls({n: 1 / len(unique) for n in unique}, dict.fromkeys(unique, 1.0))

    def apply(self, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Fused probabilities [N, K] from log-probabilities [N, K] by scorer, over the K candidates given.

        K need not be the K of the fit. Scores need not be normalised.

        Raises:
            InputError: scorers other than those of the fit, shapes that differ, NaN.
        """
        if set(scores) != set(self.weights):
            raise InputError(
                f"scores of {sorted(scores)} given to a fusion of {sorted(self.weights)}: give the same"
            )
        tables = _check_scores(scores)
        pooled = sum(w * log_softmax(tables[n] / self.temperatures[n]) for n, w in self.weights.items())
        return np.exp(log_softmax(np.asarray(pooled) / self.temperature))

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(
            {
                "weights": dict(self.weights),
                "temperatures": dict(self.temperatures),
                "temperature": self.temperature,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Fusion":
        """From `to_json`.

        Raises:
            InputError: not JSON, a field missing, or values that `Fusion` refuses.
        """
        try:
            data = json.loads(text)
            weights = {str(k): float(v) for k, v in data["weights"].items()}
            temperatures = {str(k): float(v) for k, v in data["temperatures"].items()}
            return cls(weights, temperatures, float(data["temperature"]))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"fusion weights cannot be read ({error}): write them with `sugar train` or `Fusion.to_json`"
            ) from error


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities over the last axis, floored at -30."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), LOG_FLOOR)


def fit_temperature(log_probs: ArrayLike, labels: ArrayLike) -> float:
    """Temperature T that minimises the negative log-likelihood of softmax(log_probs / T) (Guo et al. 2017).

    Args:
        log_probs: [N, K] of validation clips.
        labels: [N].
    """
    table = _check_scores({"scores": log_probs})["scores"]
    return _best_temperature(table, check_labels(labels, *table.shape))


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
    tables = _check_scores(scores)
    names = list(tables)
    truth = check_labels(labels, *tables[names[0]].shape)
    temperatures = {n: _best_temperature(tables[n], truth) for n in names}
    calibrated = np.stack([log_softmax(tables[n] / temperatures[n]) for n in names])

    # Calibrated scorers need a joint sharpening between 1 (all say the same) and S (all independent).
    pool_temperatures = 1 / np.geomspace(1, len(names), 9) if len(names) > 1 else np.ones(1)
    best, best_loss = _simplex(len(names))[0], math.inf
    for weights in _simplex(len(names)):
        pooled = np.tensordot(weights, calibrated, axes=1)
        unequal = float(sum(w * math.log(w * len(names)) for w in weights if w > 0)) / len(truth)
        for temperature in pool_temperatures:
            loss = _loss(pooled, truth, float(temperature)) + unequal
            # Exact ties go to the earlier point: the grid starts at the most equal weights.
            if loss < best_loss - 1e-12:
                best, best_loss = weights, loss
    pooled = np.tensordot(best, calibrated, axes=1)
    return Fusion(
        weights={n: float(w) for n, w in zip(names, best, strict=True)},
        temperatures=temperatures,
        temperature=_best_temperature(pooled, truth) if len(names) > 1 else 1.0,
    )


def _simplex(size: int) -> list[NDArray[np.float64]]:
    """Weights that sum to one in steps of 1/20 (1/12 for four), most equal first, exactly equal included."""
    steps = 12 if size == MAX_SCORERS else 20
    points = [np.full(size, 1 / size)]
    for cuts in itertools.combinations(range(steps + size - 1), size - 1):
        edges = (-1, *cuts, steps + size - 1)
        points.append(np.array([b - a - 1 for a, b in itertools.pairwise(edges)]) / steps)
    return sorted(points, key=lambda w: round(float((w**2).sum()), 9))


def _loss(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood at a temperature, plus a standard normal prior on log T worth one clip."""
    scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
    likelihood = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
    return float(-likelihood.mean()) + 0.5 * math.log(temperature) ** 2 / len(labels)


def _best_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Coarse search over log T, then golden section between the best point's neighbours."""
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


def _check_scores(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    tables: dict[str, NDArray[np.float64]] = {}
    shape: tuple[int, ...] | None = None
    for name, values in scores.items():
        table = np.asarray(values, dtype=np.float64)
        if table.ndim != 2 or 0 in table.shape:
            raise InputError(
                f"scores {name!r} have shape {table.shape}: give [clips, classes], at least one of each"
            )
        if shape is not None and table.shape != shape:
            raise InputError(
                f"scores {name!r} have shape {table.shape}, the others {shape}: score the same clips"
            )
        shape = table.shape
        if np.isnan(table).any() or np.isposinf(table).any() or np.isneginf(table.max(axis=1)).any():
            raise InputError(
                f"scores {name!r} hold NaN, +inf or a clip without any possible class: check that scorer"
            )
        tables[name] = log_softmax(table)
    return tables
