import numpy as np
import pytest

from sugar.evaluation.zeroshot import PseudoUnseen, choose_constant, generalised_accuracy, harmonic_mean, stack

SEEN = np.array([True, True, False, False])


def biased(rng: np.random.Generator, n: int, bias: float, strength: float = 3.0):
    """Scores that know the truth but trust seen classes by ``bias`` too much."""
    labels = rng.integers(4, size=n)
    scores = rng.normal(size=(n, 4)) + strength * np.eye(4)[labels] + bias * SEEN
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), labels


def test_the_constant_takes_the_bias_away() -> None:
    rng = np.random.default_rng(0)
    draws = [PseudoUnseen(*biased(rng, 2000, 2.5), SEEN) for _ in range(2)]
    constant = choose_constant(draws)
    assert constant == pytest.approx(2.5, abs=0.5)
    table, labels = biased(rng, 4000, 2.5)
    raw = generalised_accuracy(table, labels, SEEN)
    stacked = generalised_accuracy(stack(table, SEEN, constant), labels, SEEN)
    assert raw.seen > stacked.seen > 0.8
    assert stacked.unseen > raw.unseen + 0.2
    assert stacked.harmonic > raw.harmonic + 0.1


def test_stacking_leaves_distributions_and_the_order_within_a_side() -> None:
    table, _ = biased(np.random.default_rng(1), 50, 1.0)
    stacked = stack(table, SEEN, 1.7)
    np.testing.assert_allclose(np.exp(stacked).sum(axis=1), 1)
    for side in (SEEN, ~SEEN):
        assert (stacked[:, side].argmax(axis=1) == table[:, side].argmax(axis=1)).all()


def test_accuracy_is_a_mean_over_classes_and_empty_sides_count_as_nothing() -> None:
    table = np.log(np.array([[0.7, 0.1, 0.1, 0.1]] * 3 + [[0.1, 0.1, 0.7, 0.1]]))
    found = generalised_accuracy(table, np.array([0, 0, 1, 2]), SEEN)
    assert (found.seen, found.unseen) == (0.5, 1.0)
    assert found.harmonic == pytest.approx(2 / 3)
    assert generalised_accuracy(table[:3], np.array([0, 0, 1]), SEEN).harmonic == 0
    assert harmonic_mean(0, 0) == 0
