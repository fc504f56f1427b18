"""Transductive zero-shot recognition: all unlabeled test clips are looked at together.

Off by default and reported apart, since it is not comparable with a recognizer that sees one clip at a time: it knows
which clips are tried, and gains where they fall into groups. Off-the-shelf label spreading (Zhou et al., NIPS 2003), as
transductive zero-shot learning has used it (Fu et al., TPAMI 2015), with the recognizer's probabilities as seeds.
"""

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]

NEIGHBORS = 10
WEIGHT = 0.5
"""How much a clip listens to its neighbors; the rest to what the recognizer says of itself."""


def spread_labels(probabilities: Table, features: Table) -> Table:
    """Probabilities ``[N, K]`` after each clip has listened to those like it: ``(1 - a) (I - a S)^-1 P``.

    S is the normalized graph of mutual cosine similarities to the `NEIGHBORS` nearest clips.

    Args:
        probabilities: P ``[N, K]``.
        features: ``[N, D]`` of the same clips.
    """
    directions = features - features.mean(axis=0)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    similarity = directions @ directions.T
    np.fill_diagonal(similarity, -np.inf)
    count = min(NEIGHBORS, len(similarity) - 1)
    if count < 1:
        return probabilities
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    graph = np.zeros_like(similarity)
    rows = np.arange(len(graph))[:, None]
    graph[rows, nearest] = np.maximum(similarity[rows, nearest], 0)
    graph = np.maximum(graph, graph.T)
    scale = 1 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-12))
    spread = np.linalg.solve(np.eye(len(graph)) - WEIGHT * scale[:, None] * graph * scale, probabilities)
    return spread / spread.sum(axis=1, keepdims=True)
