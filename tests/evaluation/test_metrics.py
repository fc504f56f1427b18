"""Figures worked out by hand, and the input that must be refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sugar.errors import InputError
from sugar.evaluation.metrics import (
    check_probabilities,
    class_accuracy,
    compare_paired,
    compute_metrics,
    confusion_matrix,
    expected_calibration_error,
    mean_class_interval,
    reliability,
    top_k_accuracy,
    wilson_interval,
)

PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.6, 0.1, 0.3]],
)
LABELS = np.array([0, 1, 1, 2, 0])


def test_accuracies_by_hand():
    metrics = compute_metrics(PROBABILITIES, LABELS)
    assert metrics.n == 5
    assert metrics.top1 == pytest.approx(4 / 5)
    assert metrics.mean_class == pytest.approx((1 + 0.5 + 1) / 3)
    # Three classes: all of them are among the first five.
    assert metrics.top5 == 1.0
    assert top_k_accuracy(PROBABILITIES, LABELS, 2) == 1.0


def test_ties_give_no_credit_to_a_constant_scorer():
    flat = np.full((10, 10), 0.1)
    assert compute_metrics(flat, np.arange(10)).top1 == pytest.approx(0.1)
    assert compute_metrics(flat, np.arange(10)).top5 == pytest.approx(0.5)


def test_confusion_has_true_rows_and_mean_class_skips_absent_classes():
    confusion = confusion_matrix([0, 0, 1], [0, 1, 1], 3)
    assert confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    recall = class_accuracy(confusion)
    assert recall[:2].tolist() == [1.0, 0.5]
    assert math.isnan(recall[2])
    probabilities = np.eye(3)[[0, 0, 1]]
    assert compute_metrics(probabilities, [0, 1, 1]).mean_class == pytest.approx(0.75)


def test_calibration_error_by_hand():
    # Two clips at 0.6 of which one is right, two at 0.9 both right: (2 * 0.1 + 2 * 0.1) / 4.
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    table = reliability(probabilities, [0, 1, 0, 0])
    assert len(table) == 15
    assert sum(b.count for b in table) == 4
    assert expected_calibration_error(table) == pytest.approx(0.1)
    assert [b.accuracy for b in table if b.count] == [0.5, 1.0]


def test_certainty_falls_in_the_last_bin_and_edges_below():
    table = reliability(np.eye(2), [0, 1])
    assert table[-1].count == 2
    assert expected_calibration_error(table) == 0


def test_wilson_interval_against_published_values():
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(20, 20)[1] == 1.0


def test_bootstrap_is_repeatable_and_has_the_binomial_width():
    confusion = np.array([[90, 10], [20, 80]])
    low, high = mean_class_interval(confusion)
    assert (low, high) == mean_class_interval(confusion)
    deviation = math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 100) / 2
    assert (low, high) == pytest.approx((0.85 - 1.96 * deviation, 0.85 + 1.96 * deviation), abs=0.006)
    assert (low, high) != mean_class_interval(confusion, seed=1)


def test_paired_comparison():
    labels = np.zeros(100, dtype=int)
    right, wrong = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    a = np.where((np.arange(100) < 90)[:, None], right, wrong)
    b = np.where((np.arange(100) < 80)[:, None], right, wrong)
    result = compare_paired(a, b, labels)
    assert result.difference == pytest.approx(0.1)
    assert (result.only_a, result.only_b) == (10, 0)
    assert result.p_value == pytest.approx(2 * 0.5**10)
    assert 0 < result.interval[0] < 0.1 < result.interval[1]
    same = compare_paired(a, a, labels)
    assert (same.difference, same.interval, same.p_value) == (0, (0, 0), 1)


def test_dict_is_plain():
    data = compute_metrics(PROBABILITIES, LABELS).to_dict()
    assert set(data) == {"n", "top1", "top5", "mean_class", "ece", "top1_interval", "mean_class_interval"}
    assert all(type(v) in (int, float, list) for v in data.values())


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_figures_stay_in_their_ranges(n, k, seed):
    rng = np.random.default_rng(seed)
    metrics = compute_metrics(rng.dirichlet(np.ones(k), size=n), rng.integers(0, k, n))
    assert 0 <= metrics.top1 <= metrics.top5 <= 1
    assert 0 <= metrics.ece <= 1
    assert metrics.top1_interval[0] - 1e-12 <= metrics.top1 <= metrics.top1_interval[1] + 1e-12
    low, high = metrics.mean_class_interval
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((0, 3)), [], r"shape \(0, 3\)"),
        (np.ones(3), [0], r"shape \(3,\)"),
        ([[0.5, math.nan]], [0], "clip 0 are not finite"),
        ([[0.5, 0.5], [2.0, -1.0]], [0, 0], "clip 1 are no distribution"),
        ([[3.0, 4.0]], [0], "not logits"),
        ([[0.5, 0.5]], [0, 1], r"shape \(2,\)"),
        ([[0.5, 0.5]], [2], "label 2 of clip 0"),
        ([[0.5, 0.5]], [-1], "label -1 of clip 0"),
        ([[0.5, 0.5]], [0.0], "integers"),
    ],
)
def test_bad_input_is_one_clear_line(probabilities, labels, message):
    with pytest.raises(InputError, match=message) as error:
        compute_metrics(probabilities, labels)
    assert "\n" not in str(error.value)


def test_paired_shapes_must_agree():
    with pytest.raises(InputError, match="same clips and classes"):
        compare_paired(np.eye(2), np.eye(3), [0, 1])


def test_rows_nearly_one_are_renormalized():
    assert check_probabilities([[0.5001, 0.5]]).sum() == pytest.approx(1.0, abs=1e-15)
