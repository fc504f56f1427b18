"""Scores of generated texts against values worked out by hand."""

import sys

import pytest

from sugar.errors import InputError
from sugar.evaluation.descriptions import (
    chrf,
    describe_metrics,
    leading_label,
    names_label,
    rouge_l,
    strip_label,
)

NAMES = ["sit", "sit down", "stand up", "pick up with one hand"]


def test_rouge_l_by_hand():
    # LCS "police the gunman" (Lin 2004, section 3.1) of 4 and 4 words: P = R = F = 3/4 and 2/4.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)
    assert rouge_l("A cat!", "a CAT") == 1.0
    assert rouge_l("", "a cat") == 0.0
    assert rouge_l("one two three four", "two") == pytest.approx(2 / 5)


def test_leading_label_is_the_longest_in_whole_words():
    assert leading_label("Sit down. The person ...", NAMES) == "sit down"
    assert leading_label("sit. The person ...", NAMES) == "sit"
    assert leading_label("sitting down", NAMES) is None
    assert leading_label("The person will sit down", NAMES) is None
    assert leading_label("", NAMES) is None


def test_label_named_anywhere_as_whole_words():
    assert names_label("The person will stand up slowly", "stand up")
    assert not names_label("The person will stand slowly up", "stand up")
    assert not names_label("upstanding", "stand")


def test_strip_label():
    assert strip_label("Sit down. The hips sink.", "sit down") == "The hips sink."
    assert strip_label("sit-down: hips sink", "sit down") == "hips sink"
    assert strip_label("Sit down.", "sit down") == ""
    assert strip_label(" The hips sink. ", None) == "The hips sink."


def test_chrf_takes_the_best_reference_and_says_how():
    pytest.importorskip("sacrebleu")
    perfect = chrf(["the hips sink", "arms rise"], [["no", "the hips sink"], ["arms rise"]])
    assert perfect.score == pytest.approx(100.0)
    assert "version" in perfect.signature
    assert chrf(["xyz"], [["arms rise"]]).score < 5


def test_chrf_without_sacrebleu_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.chrf", None)
    with pytest.raises(ImportError, match=r"pip install 'sugar\[metrics\]'"):
        chrf(["a"], [["a"]])
    assert describe_metrics(["sit. a"], [["a"]], ["sit"], NAMES).chrf is None


def test_all_figures():
    metrics = describe_metrics(
        ["Sit down. The hips sink.", "The person will stand up.", "sit. Arms rise."],
        [["the hips sink"], ["stands", "the person will stand up"], ["arms rise"]],
        ["sit down", "stand up", "sit down"],
        NAMES,
    )
    assert metrics.n == 3
    assert metrics.rouge_l == pytest.approx(1.0)
    assert metrics.label_first == pytest.approx(1 / 3)
    assert metrics.label_named == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("texts", "references", "labels", "message"),
    [
        ([], [], [], "no descriptions"),
        (["a"], [], ["sit"], "0 sets of references"),
        (["a"], [[]], ["sit"], "description 0"),
        (["a"], ["a"], ["sit"], "description 0"),
        (["a"], [["a"]], [], "0 labels"),
    ],
)
def test_bad_input(texts, references, labels, message):
    with pytest.raises(InputError, match=message):
        describe_metrics(texts, references, labels, NAMES)
