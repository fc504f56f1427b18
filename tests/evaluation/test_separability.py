"""Figures of separability against scikit-learn and by hand; samples and maps are the same each time."""

import builtins

import numpy as np
import pytest

from sugar.errors import InputError
from sugar.evaluation.embedding_map import FeatureSpace, representation, stratified_sample, tsne
from sugar.evaluation.separability import margins, separability, separability_differences, silhouettes


def groups(spread, seed=0, sizes=(12, 20, 7), width=16):
    """Clips around one random direction a class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centers = rng.normal(size=(len(sizes), width))
    return centers[labels] + spread * rng.normal(size=(len(labels), width)), labels


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_silhouette_is_that_of_scikit_learn(spread):
    metrics = pytest.importorskip("sklearn.metrics")
    features, labels = groups(spread)
    expected = metrics.silhouette_samples(features, labels, metric="cosine")
    np.testing.assert_allclose(silhouettes(features, labels), expected, atol=1e-9)


def test_margin_by_hand():
    features = np.array([[1, 0], [1, 1], [0, 1], [0, 2], [-1, 1]], dtype=float)
    labels = np.array([4, 4, 9, 9, 9])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    own = unit[1]  # the first clip's class without itself
    other = unit[2:].sum(axis=0)
    assert margins(features, labels)[0] == pytest.approx(unit[0] @ own - unit[0] @ other / np.linalg.norm(other))


def test_margin_leaves_the_clip_itself_out():
    # Of random features none is nearer to its own class than chance has it; with itself included it would be.
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 256)), np.arange(400) % 40
    assert (margins(features, labels) > 0).mean() < 0.1


def test_better_separated_classes_have_larger_figures():
    tight, labels = groups(0.1)
    loose, _ = groups(1.0)
    a, b = separability(tight, labels), separability(loose, labels)
    assert a.silhouette > b.silhouette
    assert a.margin > b.margin
    assert a.nearest == 1.0
    for figures in (a, b):
        assert figures.silhouette_interval[0] < figures.silhouette < figures.silhouette_interval[1]
        assert figures.margin_interval[0] < figures.margin < figures.margin_interval[1]
    (row,) = separability_differences({"tight": tight, "loose": loose}, labels, reference="tight")
    assert row["silhouette"] == pytest.approx(a.silhouette - b.silhouette)
    assert row["margin_interval"][0] > 0


def test_length_of_features_does_not_matter():
    features, labels = groups(0.5)
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(len(labels), 1))
    np.testing.assert_allclose(margins(features * lengths, labels), margins(features, labels), atol=1e-9)


def test_a_class_of_one_clip_is_left_out():
    features, labels = groups(0.5, sizes=(5, 6, 1))
    assert np.isnan(silhouettes(features, labels)[-1])
    assert np.isnan(margins(features, labels)[-1])
    assert separability(features, labels).n == 11


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((3, 2)), [0, 1], "give"),
        (np.full((2, 2), np.nan), [0, 1], "not finite"),
        (np.ones((3, 2)), [1, 1, 1], "two classes"),
        (np.eye(3), [0, 1, 2], "two clips"),
    ],
)
def test_what_cannot_be_measured_is_refused(features, labels, message):
    with pytest.raises(InputError, match=message):
        separability(features, labels)


def test_sample_keeps_every_class_in_proportion():
    labels = np.repeat([0, 1, 2], [3000, 1000, 3])
    chosen = stratified_sample(labels, 400)
    counts = np.bincount(labels[chosen])
    assert len(chosen) <= 402
    assert counts[0] == pytest.approx(3 * counts[1], abs=3)
    assert counts[2] == 2
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, stratified_sample(labels, 400))
    np.testing.assert_array_equal(stratified_sample(labels[:50], 400), np.arange(50))


def test_map_keeps_groups_together():
    pytest.importorskip("sklearn")
    features, labels = groups(0.1)
    places = tsne(features)
    assert places.shape == (39, 2)
    assert places.min() == pytest.approx(0)
    assert places.max() == pytest.approx(1)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.9
    np.testing.assert_allclose(places, tsne(features))


def space(name="stage 1", **changes):
    features, labels = groups(0.5, **changes)
    return FeatureSpace(name, "what it is", features.astype(np.float32)), labels


def test_without_scikit_learn_the_figures_stay_and_the_map_is_missing(monkeypatch):
    found, labels = space()
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    section = representation([found], labels, reference="stage 1", clips=range(len(labels)), of=50, seed=0)
    assert section["spaces"][0]["x"] is None
    assert "sugar[metrics]" in section["note"]
    assert section["spaces"][0]["silhouette"] == separability(found.features, labels).silhouette


def test_too_little_to_tell_of():
    found, labels = space(sizes=(4, 3))
    assert representation([found], labels, reference="stage 1", clips=range(7), of=7, seed=0) is None
