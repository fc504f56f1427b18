"""One score out of several: a weighted geometric mean of calibrated distributions.

    p(k) ~ prod_s softmax(log p_s / T_s)(k) ^ (w_s / T),   sum_s w_s = 1

T_s calibrates scorer s, w weighs the scorers, T sharpens the whole. `sugar.evaluation.fit_fusion` chooses them.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sugar.errors import InputError

# A scorer that calls a class impossible must not veto all others: e^-30 is small enough.
LOG_FLOOR = -30.0


@dataclass(frozen=True)
class UnseenWeights:
    """Weights of the scorers for candidates that were never trained, where no clip can validate them.

    Chosen on pseudo-unseen classes of UTD-MHAD's training side, where similarity to the knowledge texts added nothing
    to motion head and claims; it decides where a candidate has no motion sentences.
    """

    text: float = 0.0
    """Of the similarity to the knowledge texts."""
    motion: float = 1.0
    """Of motion head and claims."""
    llm: float = 0.0
    """Of the LLM."""

    def fusion(self, names: Iterable[str]) -> "Fusion":
        """Over the scorers that are there; the first of them decides where all of theirs are 0."""
        weights = {name: getattr(self, name) for name in names}
        if not any(weights.values()):
            weights[next(iter(weights))] = 1.0
        total = sum(weights.values())
        return Fusion({name: w / total for name, w in weights.items()}, dict.fromkeys(weights, 1.0))


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
        # Written so that NaN fails too.
        weights_hold = all(w >= 0 for w in self.weights.values()) and abs(sum(self.weights.values()) - 1) < 1e-6
        if not weights_hold:
            raise InputError(f"fusion weights {dict(self.weights)}: give weights of 0 or more that sum to 1")
        temperatures = {**self.temperatures, "whole": self.temperature}
        if not all(0 < t < math.inf for t in temperatures.values()):
            raise InputError(f"fusion temperatures {temperatures}: give values above 0")

    @classmethod
    def equal(cls, names: Iterable[str]) -> "Fusion":
        """All scorers alike, nothing calibrated: for when there is no validation data."""
        unique = list(dict.fromkeys(names))
        return cls({n: 1 / len(unique) for n in unique}, dict.fromkeys(unique, 1.0))

    def apply(self, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Fused probabilities [N, K] from log-probabilities [N, K] by scorer, over the K candidates given.

        K need not be the K of the fit. Scores need not be normalized.

        Raises:
            InputError: scorers other than those of the fit, shapes that differ, NaN.
        """
        if set(scores) != set(self.weights):
            raise InputError(f"scores of {sorted(scores)} given to a fusion of {sorted(self.weights)}: give the same")
        tables = check_scores(scores)
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
    def read(cls, path: str | Path) -> "Fusion":
        """From a file of `to_json`.

        Raises:
            InputError: no such file, or not of that form; names it.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

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
            temperature = float(data["temperature"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"fusion weights cannot be read ({error!r}): write them with `Fusion.to_json`") from error
        return cls(weights, temperatures, temperature)


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities over the last axis, floored at -30."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), LOG_FLOOR)


def check_scores(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Normalized log-probabilities by scorer.

    Raises:
        InputError: a table that is not [N, K], other shapes, NaN, +inf, a clip without a possible class.
    """
    tables: dict[str, NDArray[np.float64]] = {}
    shape: tuple[int, ...] | None = None
    for name, values in scores.items():
        table = np.asarray(values, dtype=np.float64)
        if table.ndim != 2 or 0 in table.shape:
            raise InputError(f"scores {name!r} have shape {table.shape}: give [clips, classes], at least one of each")
        if shape is not None and table.shape != shape:
            raise InputError(f"scores {name!r} have shape {table.shape}, the others {shape}: score the same clips")
        shape = table.shape
        if np.isnan(table).any() or np.isposinf(table).any() or np.isneginf(table.max(axis=1)).any():
            raise InputError(f"scores {name!r} hold NaN, +inf or a clip without any possible class: check that scorer")
        tables[name] = log_softmax(table)
    return tables
