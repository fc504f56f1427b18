"""How well classes stand apart in a feature space, measured in that space and not in a drawing of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.evaluation.metrics import NUM_RESAMPLES

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Separability:
    """Figures of one feature space, on clips of classes with two clips or more; intervals cover 95 %.

    ``silhouette`` is the mean cosine silhouette in [-1, 1]; ``margin`` the mean of (cosine to the mean of one's own
    class, oneself left out) minus (cosine to the nearest other class's mean); ``nearest`` the share of clips whose
    margin is positive, that is, the accuracy of the nearest class mean.
    """

    n: int
    silhouette: float
    silhouette_interval: tuple[float, float]
    margin: float
    margin_interval: tuple[float, float]
    nearest: float

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return _plain(asdict(self))


def silhouettes(features: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Cosine silhouette ``[N]`` of each clip (Rousseeuw 1987); NaN where its class has no other clip.

    Args:
        features: ``[N, d]``, any length but zero.
        labels: ``[N]`` integers, of two classes or more.

    Raises:
        InputError: shapes that differ, features that are not finite, or fewer than two classes.
    """
    units, place, counts = _checked(features, labels)
    distance = 1 - units @ units.T
    np.fill_diagonal(distance, 0)
    members = np.eye(len(counts))[place]
    total = distance @ members
    rows = np.arange(len(place))
    own = total[rows, place] / np.maximum(counts[place] - 1, 1)
    others = total / counts
    others[rows, place] = np.inf
    nearest = others.min(axis=1)
    values = (nearest - own) / np.maximum(np.maximum(nearest, own), 1e-12)
    return np.where(counts[place] > 1, values, np.nan)


def margins(features: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Cosine margin ``[N]`` of each clip: to the mean of its own class without it, less the nearest other class's.

    NaN where its class has no other clip. Arguments and errors as of `silhouettes`.
    """
    units, place, counts = _checked(features, labels)
    sums = np.eye(len(counts))[place].T @ units
    rows = np.arange(len(place))
    others = units @ _unit(sums).T
    others[rows, place] = -np.inf
    own = (units * _unit(sums[place] - units)).sum(axis=1)
    return np.where(counts[place] > 1, own - others.max(axis=1), np.nan)


def separability(features: npt.ArrayLike, labels: npt.ArrayLike, *, seed: int = 0) -> Separability:
    """All figures of one space, with percentile bootstrap over clips.

    Raises:
        InputError: as `silhouettes`, or no class has two clips.
    """
    silhouette, margin = silhouettes(features, labels), margins(features, labels)
    kept = np.isfinite(margin)
    if not kept.any():
        raise InputError("separability: no class has two clips; give more clips")
    return Separability(
        n=int(kept.sum()),
        silhouette=float(silhouette[kept].mean()),
        silhouette_interval=_mean_interval(silhouette[kept], seed),
        margin=float(margin[kept].mean()),
        margin_interval=_mean_interval(margin[kept], seed),
        nearest=float((margin[kept] > 0).mean()),
    )


def separability_differences(
    spaces: Mapping[str, npt.ArrayLike], labels: npt.ArrayLike, *, reference: str, seed: int = 0
) -> list[dict[str, Any]]:
    """``reference`` less each other space, silhouette and margin, paired by clip."""
    own = silhouettes(spaces[reference], labels), margins(spaces[reference], labels)
    rows = []
    for name, features in spaces.items():
        if name == reference:
            continue
        row: dict[str, Any] = {"a": reference, "b": name}
        for figure, ours, theirs in zip(
            ("silhouette", "margin"), own, (silhouettes(features, labels), margins(features, labels)), strict=True
        ):
            gain = (ours - theirs)[np.isfinite(ours)]
            row |= {figure: float(gain.mean()), f"{figure}_interval": list(_mean_interval(gain, seed))}
        rows.append(row)
    return rows


def _checked(features: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Floats, Labels, Labels]:
    """Unit features ``[N, d]``, classes numbered without gaps ``[N]``, and the number of clips of each."""
    array, truth = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if array.ndim != 2 or truth.shape != array.shape[:1]:
        raise InputError(f"separability: features {array.shape} and labels {truth.shape}: give [N, d] and [N]")
    if not np.isfinite(array).all():
        raise InputError("separability: features are not finite; check the encoder that made them")
    _, place, counts = np.unique(truth, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise InputError("separability: needs clips of two classes or more")
    return _unit(array), place, counts


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _mean_interval(values: Floats, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap of a mean."""
    n = len(values)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=NUM_RESAMPLES)
    low, high = np.quantile(draws @ values / n, [0.025, 0.975])
    return float(low), float(high)


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in figures.items()}
