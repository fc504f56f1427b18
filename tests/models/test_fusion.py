"""The fusion chooses sanely on validation clips, and helps on others."""

import math

import numpy as np
import pytest

from sugar.errors import InputError
from sugar.evaluation.fit_fusion import fit_fusion
from sugar.evaluation.metrics import compute_metrics
from sugar.models.scorers.fusion import Fusion, log_softmax

NUM_CLASSES = 8


def noisy_scores(seed, labels, strength, sharpness=1.0):
    """Log-probabilities whose errors are independent between seeds; calibrated at sharpness 1."""
    # Unit-variance Gaussian evidence of mean d has log-likelihood ratio d * x, hence the factor.
    evidence = np.random.default_rng(seed).normal(size=(len(labels), NUM_CLASSES))
    evidence[np.arange(len(labels)), labels] += strength
    return log_softmax(sharpness * strength * evidence)


@pytest.fixture
def validation():
    return np.random.default_rng(0).integers(0, NUM_CLASSES, 200)


@pytest.fixture
def test_labels():
    return np.random.default_rng(1).integers(0, NUM_CLASSES, 2000)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0])
def test_temperature_is_recovered(sharpness, test_labels):
    scores = noisy_scores(2, test_labels, 2.0, sharpness)
    assert fit_fusion({"one": scores}, test_labels).temperatures["one"] == pytest.approx(sharpness, rel=0.1)


def test_fusion_beats_both_and_is_calibrated(validation, test_labels):
    strengths = {"text": (2.0, 4.0), "llm": (1.8, 0.3)}
    fusion = fit_fusion(
        {n: noisy_scores(10 + i, validation, *s) for i, (n, s) in enumerate(strengths.items())}, validation
    )
    scores = {n: noisy_scores(20 + i, test_labels, *s) for i, (n, s) in enumerate(strengths.items())}
    fused = compute_metrics(fusion.apply(scores), test_labels)
    single = [compute_metrics(np.exp(s), test_labels) for s in scores.values()]
    assert fused.top1 > max(m.top1 for m in single) + 0.03
    assert fused.ece < 0.04 < min(m.ece for m in single)
    # Independent evidence adds up: the pool is sharper than its mean.
    assert fusion.temperature < 0.7


def test_a_useless_scorer_gets_next_to_no_weight(validation):
    noise = np.random.default_rng(3).normal(size=(200, NUM_CLASSES))
    fusion = fit_fusion({"good": noisy_scores(4, validation, 2.5), "noise": noise}, validation)
    applied = fusion.apply({"good": noisy_scores(4, validation, 2.5), "noise": noise})
    assert compute_metrics(applied, validation).top1 >= 0.85
    # Either the weight or the temperature silences it.
    assert fusion.weights["noise"] / fusion.temperatures["noise"] < 0.1


def test_ties_go_to_equal_weights(validation):
    scores = noisy_scores(5, validation, 2.0)
    for count in (2, 3, 4):
        fusion = fit_fusion({str(i): scores for i in range(count)}, validation)
        assert list(fusion.weights.values()) == pytest.approx([1 / count] * count)


def test_one_scorer_is_only_calibrated(validation):
    scores = noisy_scores(6, validation, 2.0, 3.0)
    fusion = fit_fusion({"text": scores}, validation)
    assert fusion.weights == {"text": 1.0}
    assert fusion.temperatures["text"] == pytest.approx(3.0, rel=0.25)
    assert (fusion.apply({"text": scores}).argmax(1) == scores.argmax(1)).all()


def test_few_and_perfect_validation_clips_stay_finite():
    scores = np.log(np.full((3, 4), 1e-3) + np.eye(3, 4))
    fusion = fit_fusion({"a": scores, "b": scores}, [0, 1, 2])
    assert all(0.02 <= t <= 50 for t in (*fusion.temperatures.values(), fusion.temperature))
    assert np.isfinite(fusion.apply({"a": scores, "b": scores})).all()


def test_other_candidates_than_in_the_fit(validation, test_labels):
    fusion = fit_fusion({"a": noisy_scores(7, validation, 2.0), "b": noisy_scores(8, validation, 2.0)}, validation)
    fused = fusion.apply({"a": np.zeros((5, 3)), "b": np.log([[0.2, 0.3, 0.5]] * 5)})
    assert fused.shape == (5, 3)
    assert fused.sum(axis=1) == pytest.approx(1.0)
    assert fused[0].argmax() == 2


def test_an_impossible_class_is_no_veto():
    impossible = np.array([[0.0, -math.inf]])
    fused = Fusion.equal(["a", "b"]).apply({"a": impossible, "b": np.array([[-100.0, 0.0]])})
    assert np.isfinite(fused).all()


def test_equal_and_json_round_trip(validation):
    fusion = fit_fusion({"a": noisy_scores(7, validation, 2.0), "b": noisy_scores(8, validation, 1.0)}, validation)
    assert Fusion.from_json(fusion.to_json()) == fusion
    equal = Fusion.equal(["a", "b"])
    assert equal.weights == {"a": 0.5, "b": 0.5}
    half = np.log([[0.5, 0.5]])
    assert equal.apply({"a": half, "b": np.log([[0.9, 0.1]])}) == pytest.approx(np.array([[0.75, 0.25]]))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ({}, [0], "0 scorers"),
        ({str(i): np.zeros((1, 2)) for i in range(5)}, [0], "5 scorers"),
        ({"a": np.zeros((1, 2)), "b": np.zeros((1, 3))}, [0], "'b' have shape"),
        ({"a": np.array([[0.0, math.nan]])}, [0], "'a' hold NaN"),
        ({"a": np.full((1, 2), -math.inf)}, [0], "'a' hold"),
        ({"a": np.zeros((1, 2))}, [2], "label 2"),
    ],
)
def test_bad_input(scores, labels, message):
    with pytest.raises(InputError, match=message):
        fit_fusion(scores, labels)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"weights": {"a": 1}}',
        '{"weights": {"a": 1}, "temperatures": {"b": 1}, "temperature": 1}',
        '{"weights": {"a": 0.5}, "temperatures": {"a": 1}, "temperature": 1}',
        '{"weights": {"a": 1}, "temperatures": {"a": 0}, "temperature": 1}',
        '{"weights": {"a": "x"}, "temperatures": {"a": 1}, "temperature": 1}',
        '{"weights": {"a": 1}, "temperatures": {"a": NaN}, "temperature": 1}',
    ],
)
def test_bad_json(text):
    with pytest.raises(InputError):
        Fusion.from_json(text)


def test_apply_wants_the_scorers_of_the_fit():
    with pytest.raises(InputError, match="give the same"):
        Fusion.equal(["a"]).apply({"b": np.zeros((1, 2))})
