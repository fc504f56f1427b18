"""Label spreading over unlabeled clips."""

import numpy as np
import pytest

from sugar.evaluation.transductive import NEIGHBORS, WEIGHT, spread_labels


def groups(rng: np.random.Generator, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(3), n)
    return labels, np.eye(3)[labels] + 0.15 * rng.normal(size=(3 * n, 3))


def test_clips_that_fall_into_groups_correct_each_other() -> None:
    rng = np.random.default_rng(0)
    labels, features = groups(rng)
    scores = np.eye(3)[labels] + 1.2 * rng.normal(size=(len(labels), 3))
    alone = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    together = spread_labels(alone, features)
    np.testing.assert_allclose(together.sum(axis=1), 1)
    right_alone, right_together = ((table.argmax(axis=1) == labels).mean() for table in (alone, together))
    assert right_alone < 0.8
    assert right_together > right_alone + 0.08


def test_features_that_say_nothing_of_the_classes_leave_a_sure_recognizer_right() -> None:
    rng = np.random.default_rng(1)
    labels, _ = groups(rng)
    sure = 0.97 * np.eye(3)[labels] + 0.01
    found = spread_labels(sure, rng.normal(size=(len(labels), 8)))
    assert (found.argmax(axis=1) == labels).mean() > 0.9


def test_it_is_the_fixed_point_of_listening() -> None:
    """Few clips, all of them neighbors: the closed form equals the iteration P <- a S P + (1 - a) P0."""
    rng = np.random.default_rng(2)
    features, start = rng.normal(size=(NEIGHBORS, 3)), rng.dirichlet(np.ones(4), size=NEIGHBORS)
    centerd = features - features.mean(axis=0)
    centerd /= np.linalg.norm(centerd, axis=1, keepdims=True)
    graph = np.maximum(centerd @ centerd.T, 0) * (1 - np.eye(NEIGHBORS))
    degree = np.sqrt(graph.sum(axis=1))
    table = start
    for _ in range(500):
        table = WEIGHT * (graph / np.outer(degree, degree)) @ table + (1 - WEIGHT) * start
    np.testing.assert_allclose(spread_labels(start, features), table / table.sum(axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2])
def test_few_clips_are_no_matter(n: int) -> None:
    table = np.full((n, 2), 0.5)
    np.testing.assert_allclose(spread_labels(table, np.ones((n, 3))), table)
