import numpy as np
import pytest
import torch

from sugar.datasets.synthetic import generate
from sugar.evaluation.zero_shot import PseudoUnseen, choose_constant, generalized_accuracy, harmonic_mean
from sugar.knowledge.claim_space import stated
from sugar.knowledge.fact_captions import measure_clips
from sugar.knowledge.pack import load_pack
from sugar.models.heads.motion import TOLERANCE
from sugar.models.scorers.calibrated_stacking import constant_of, fuse_sides, joined, lead, side_log_probabilities
from sugar.models.scorers.fusion import Fusion
from sugar.training.stages.reference import fit_tolerance

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
    raw = generalized_accuracy(table, labels, SEEN)
    stacked = generalized_accuracy(table - constant * SEEN, labels, SEEN)
    assert raw.seen > stacked.seen > 0.8
    assert stacked.unseen > raw.unseen + 0.2
    assert stacked.harmonic > raw.harmonic + 0.1


def test_sides_are_told_first_and_then_their_classes() -> None:
    table, _ = biased(np.random.default_rng(1), 50, 1.0)
    scores, trained = torch.from_numpy(table), torch.from_numpy(SEEN)
    sides = side_log_probabilities(scores, trained, 1.7)
    torch.testing.assert_close(sides.exp().sum(dim=1), torch.ones(50, dtype=torch.float64))
    assert (sides[:, 0] < side_log_probabilities(scores, trained, 0.0)[:, 0]).all()
    of_trained, of_new = 10 * torch.randn(50, 2), torch.randn(50, 2)  # the trained side is surer within itself
    found = joined(sides, of_trained, of_new, trained)
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(lead(found, trained), sides[:, 0] - sides[:, 1])
    assert (found[:, trained].argmax(dim=1) == of_trained.argmax(dim=1)).all()
    assert (found[:, ~trained].argmax(dim=1) == of_new.argmax(dim=1)).all()


def test_fusion_keeps_the_side_that_motion_says() -> None:
    """Other scorers choose within a side only, however sure of a trained class they are."""
    motion, trained = torch.log(torch.tensor([[0.2, 0.1, 0.4, 0.3], [0.3, 0.1, 0.2, 0.2]])), torch.from_numpy(SEEN)
    text = torch.log(torch.tensor([[0.97, 0.01, 0.01, 0.01]])).expand(2, -1)
    of_new = Fusion({"motion": 1.0, "text": 0.0}, {"motion": 1.0, "text": 1.0})
    fused = fuse_sides({"text": text, "motion": motion}, trained, Fusion.equal(("text", "motion")), of_new)
    assert fused.argmax(dim=1).tolist() == [2, 0]
    torch.testing.assert_close(fused.sum(dim=1), torch.ones(2, dtype=fused.dtype))


def test_the_constant_shrinks_as_new_candidates_are_added() -> None:
    """Training clips lead by less over a longer list of new classes, and as many of them are taken for new."""
    scores = torch.randn(4000, 12, generator=torch.Generator().manual_seed(0))
    scores[:, 0] += 4
    refused, constants = [], []
    for new in (2, 10):
        trained = torch.arange(2 + new) < 2
        leads = lead(scores[:, : 2 + new], trained)
        constants.append(float(constant_of(leads, 0.9)))
        refused.append(float((leads < constants[-1]).float().mean()))
    assert constants[1] < constants[0] - 0.5
    assert refused == pytest.approx([0.18, 0.18], abs=0.03)


def test_accuracy_is_a_mean_over_classes_and_empty_sides_count_as_nothing() -> None:
    table = np.log(np.array([[0.7, 0.1, 0.1, 0.1]] * 3 + [[0.1, 0.1, 0.7, 0.1]]))
    found = generalized_accuracy(table, np.array([0, 0, 1, 2]), SEEN)
    assert (found.seen, found.unseen) == (0.5, 1.0)
    assert found.harmonic == pytest.approx(2 / 3)
    assert generalized_accuracy(table[:3], np.array([0, 0, 1]), SEEN).harmonic == 0
    assert harmonic_mean(0, 0) == 0


def test_the_tolerance_comes_from_trained_classes_alone() -> None:
    names = ["clap", "kick", "sit down", "stand up", "bow", "jump"]
    pack = load_pack("synthetic")
    profiles = torch.stack([stated(pack[name].motion_sentences) for name in names])
    measured, labels = measure_clips(generate(6, 0, names)), torch.arange(6).repeat_interleave(6)
    people = torch.arange(36) % 3
    tolerance = fit_tolerance(measured, labels, profiles, people, seed=0)
    assert tolerance.shape == ()
    assert -4 < float(tolerance) < 8
    assert torch.equal(tolerance, fit_tolerance(measured, labels, profiles, people, seed=0))
    few = fit_tolerance(measured[:12], labels[:12], profiles[:2], people[:12], seed=0)
    assert float(few) == pytest.approx(TOLERANCE)
    # One person has all clips but one: no half has something to learn from while the other tells both sides.
    alone = fit_tolerance(measured, labels, profiles, (torch.arange(36) == 35).long(), seed=0)
    assert float(alone) == pytest.approx(TOLERANCE)
