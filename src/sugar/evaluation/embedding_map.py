"""Maps of feature spaces (t-SNE), with the figures of separability that such a map cannot give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.evaluation.separability import separability, separability_differences

MAX_CLIPS = 1000
PERPLEXITY = 30.0
FEWEST = 10
"""Clips below which a map shows nothing."""


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """One feature for each clip.

    Args:
        what: one sentence for the reader.
        features: ``[N, d]``.
    """

    name: str
    what: str
    features: npt.NDArray[np.float32]


def stratified_sample(labels: npt.ArrayLike, most: int = MAX_CLIPS, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Positions of at most ``most`` clips, in order, each class in proportion (and at least two clips of it)."""
    truth = np.asarray(labels)
    if len(truth) <= most:
        return np.arange(len(truth))
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(truth):
        members = rng.permutation(np.flatnonzero(truth == label))
        chosen.append(members[: max(2, int(len(members) * most / len(truth)))])
    return np.sort(np.concatenate(chosen))


def tsne(features: npt.ArrayLike, *, seed: int = 0) -> npt.NDArray[np.float64]:
    """Positions ``[N, 2]`` in the unit square (van der Maaten & Hinton 2008), from PCA, by cosine distance.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise InputError("t-SNE needs scikit-learn: pip install 'sugar[metrics]'") from error
    array = np.asarray(features, dtype=np.float32)
    # Of unit vectors the squared Euclidean distance is twice the cosine distance.
    array = array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)
    perplexity = min(PERPLEXITY, (len(array) - 1) / 3)
    places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(array).astype(np.float64)
    low, span = places.min(axis=0), np.ptp(places, axis=0).max()
    return (places - low) / max(span, 1e-12)


def representation(
    spaces: Sequence[FeatureSpace], labels: npt.ArrayLike, *, reference: str, clips: Sequence[int], of: int, seed: int
) -> dict[str, Any] | None:
    """The report's section on feature spaces; None where there are too few clips or classes to tell of any.

    Args:
        spaces: each with one feature for every label.
        labels: ``[N]``.
        reference: name of the space that is set against the others.
        clips: ``[N]`` positions of these clips in the report's ``predictions``.
        of: number of clips that they were drawn from.
        seed: of t-SNE and of the intervals.
    """
    truth = np.asarray(labels)
    if len(truth) < FEWEST or len(np.unique(truth)) < 2 or np.bincount(truth).max() < 2:
        return None
    note = ""
    rows = []
    for space in spaces:
        row: dict[str, Any] = {"name": space.name, "what": space.what, "dimensions": space.features.shape[1]}
        row |= separability(space.features, truth, seed=seed).to_dict()
        try:
            places = tsne(space.features, seed=seed)
        except InputError as error:
            note, row["x"], row["y"] = str(error), None, None
        else:
            row["x"], row["y"] = (places[:, axis].round(4).tolist() for axis in (0, 1))
        rows.append(row)
    features: Mapping[str, Any] = {space.name: space.features for space in spaces}
    return {
        "n": len(truth),
        "of": of,
        "seed": seed,
        "perplexity": min(PERPLEXITY, (len(truth) - 1) / 3),
        "note": note,
        "clips": [int(i) for i in clips],
        "spaces": rows,
        "differences": separability_differences(features, truth, reference=reference, seed=seed),
    }
