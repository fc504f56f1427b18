"""Figures of a pack: which classes lie close, what tells them apart, what parts are spoken of."""

import json
from dataclasses import replace

import pytest
import torch
from word_encoder import WordEncoder

from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, KnowledgePack, Provenance, load_pack
from sugar.knowledge.quality.checks import check_pack
from sugar.knowledge.quality.distinguishing import keeps_still, part_phrases
from sugar.knowledge.quality.figures import (
    ALL,
    NAMELESS,
    Quality,
    class_similarities,
    closest_pairs,
    held_out_queries,
    measure_quality,
    ranks,
    similarity_matrix,
)

MADE = Provenance("A. Uthor", "by hand", "2026-11", "CC0")


def entry(name: str, did: str, seen: str, sentences: tuple[str, ...] = ()) -> ClassKnowledge:
    """A class of two motion texts, two visual texts and one description."""
    parts = f"head looks ahead; hand {did}; arm bends; hip is at rest; leg stands straight"
    return ClassKnowledge(
        name,
        (f"An action of {name}: {parts}; foot does not move", f"An action of {name}: {parts}"),
        (f"A person {seen}.", f"Someone {seen} again."),
        (f"One {seen} there.",),
        sentences,
    )


WAVES = ("The right hand rises above the head and swings to and fro.",)
SMALL = KnowledgePack(
    "small",
    "1",
    "en",
    MADE,
    (
        entry("put on a hat", "puts the hat on", "puts a hat on", ("Both hands go up.", "The right hand goes up.")),
        entry("take off a hat", "takes the hat off", "takes a hat off", ("Both hands go up. Both hands sink down.",)),
        entry("greet", "waves", "waves goodbye at the gate", (*WAVES, WAVES[0].replace("right", "left"))),
    ),
)


@pytest.fixture(scope="module")
def quality() -> Quality:
    return measure_quality(SMALL, WordEncoder())


def test_the_closest_pair_comes_first_with_what_tells_it_apart(quality: Quality):
    pair = quality.closest[0]
    assert (pair.first, pair.second) == ("put on a hat", "take off a hat")
    assert len(quality.closest) == 3
    assert pair.cosine == max(value for i, row in enumerate(quality.similarity[ALL]) for value in row[:i])
    # "hat" stands in texts of both, "on" and "off": only "off" is no stop word.
    assert [(word.word, word.texts) for word in pair.words_first] == [("puts", 5)]
    assert {(word.word, word.texts) for word in pair.words_second} == {("off", 5), ("takes", 5)}
    assert pair.parts[0].part == "hand"
    assert pair.parts[0].first == ("hand puts the hat on",) * 2
    assert all(part.cosine == 1 for part in pair.parts[1:])
    assert pair.claims_first == ("The right hand goes up.",)
    assert pair.claims_second == ("Both hands sink down.",)


def test_what_either_hand_does_is_said_once(quality: Quality):
    pair = next(pair for pair in quality.closest if "greet" in (pair.first, pair.second))
    own = pair.claims_first if pair.first == "greet" else pair.claims_second
    assert set(own) == {"The right or left hand swings to and fro.", "The right or left hand rises above the head."}


def test_a_word_in_any_form_is_one_word():
    classes = (entry("a", "rubs", "waves and rubs"), entry("b", "rubbing", "waving"))
    pair = measure_quality(replace(SMALL, classes=classes), WordEncoder()).closest[0]
    assert [*pair.words_first, *pair.words_second] == []


def test_similarities_are_cosines_of_class_means(quality: Quality):
    encoder = WordEncoder()
    means = [encoder.encode(list(each.visual)).mean(0) for each in SMALL.classes]
    expected = torch.cosine_similarity(means[0], means[2], dim=0)
    assert quality.similarity["visual"][0][2] == pytest.approx(float(expected), abs=1e-4)
    for matrix in quality.similarity.values():
        assert [list(row) for row in matrix] == [list(column) for column in zip(*matrix, strict=True)]
        assert all(matrix[i][i] == 1 for i in range(3))
    assert set(quality.similarity) == {ALL, "motion", NAMELESS, "visual", "description", "motion_sentence"}


def test_a_class_without_texts_of_a_kind_has_no_similarity():
    vectors = torch.eye(3)
    matrix = similarity_matrix(vectors, torch.tensor([0, 0, 2]), 3)
    assert matrix == ((1.0, None, 0.0), (None, None, None), (0.0, None, 1.0))
    assert closest_pairs(["a", "b", "c"], matrix, 5) == [("a", "c", 0.0)]


def test_held_out_texts_count_as_they_are_found(quality: Quality):
    encoder = WordEncoder()
    for query in held_out_queries(SMALL, encoder):
        places = ranks(class_similarities(query.bank, query.vectors, query.labels, query.rows, "mean"), query.labels)
        found = quality.held_out[query.kind]
        assert (found.n, found.right) == (len(query.rows), int((places == 0).sum()))
        assert found.among_five == found.n
    assert quality.held_out["visual"].n == 6


def test_texts_mixed_up_are_counted_for_their_pair():
    def says(name: str, *visual: str) -> ClassKnowledge:
        return ClassKnowledge(name, (), visual, ())

    # One text of a and two of b lie with the other; c keeps its own.
    classes = (says("a", *["sits"] * 5, "runs"), says("b", *["runs"] * 5, "sits", "sits"), says("c", "flies", "flies"))
    found = measure_quality(replace(SMALL, classes=classes), WordEncoder())
    assert {(pair.first, pair.second): pair.mixed_up for pair in found.closest} == {
        ("a", "b"): 3,
        ("a", "c"): 0,
        ("b", "c"): 0,
    }
    assert (found.held_out["visual"].n, found.held_out["visual"].right) == (15, 12)


def test_parts_are_covered(quality: Quality):
    by_part = {part.part: (part.moving, part.still, part.missing) for part in quality.parts}
    assert by_part == {
        "head": (6, 0, 0),
        "hand": (6, 0, 0),
        "arm": (6, 0, 0),
        "hip": (0, 6, 0),
        "leg": (0, 6, 0),
        "foot": (0, 3, 3),
    }
    assert quality.coverage == ((2, 2, 2, 0, 0, 0),) * 3


@pytest.mark.parametrize(
    ("phrase", "still"),
    [
        ("foot keeps its place", True),
        ("feet do not leave the floor", True),
        ("hip takes no part", True),
        ("leg stands straight", True),
        ("hips hardly sway", True),
        ("feet move", False),
        ("legs part", False),
        ("arm does nothing but fall", False),
        ("foot rests, then kicks", False),
        ("hand holds a cup", False),
    ],
)
def test_what_keeps_still(phrase: str, still: bool):
    assert keeps_still(phrase) == still


def test_phrases_of_a_text_in_any_order():
    assert part_phrases("An action of x: Feet rest; tail wags; hand waves.") == {
        "foot": "Feet rest",
        "hand": "hand waves",
    }


def test_counts_and_findings(quality: Quality):
    assert {kind: (each.texts, each.fewest, each.most) for kind, each in quality.kinds.items()} == {
        "motion": (6, 2, 2),
        "visual": (6, 2, 2),
        "description": (3, 1, 1),
        "motion_sentence": (5, 1, 2),
    }
    assert quality.kinds["visual"].median == 6
    assert list(quality.findings) == check_pack(SMALL, WordEncoder())
    missing = measure_quality(SMALL, WordEncoder(), expected=[*SMALL.names, "fly"]).findings
    assert [(each.class_, each.severity) for each in missing if each.field == "name"] == [("fly", "error")]


def test_all_of_it_is_plain_json(quality: Quality):
    data = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert data["closest"][0]["cosine"] == quality.closest[0].cosine
    assert data["provenance"]["author"] == "A. Uthor"
    assert {finding["severity"] for finding in data["findings"]} == {"error", "advice"}


@pytest.mark.parametrize("texts", ["all", "none"])
def test_a_pack_of_one_class(texts: str):
    only = SMALL.classes[0] if texts == "all" else ClassKnowledge("hop", (), (), ())
    found = measure_quality(replace(SMALL, classes=(only,)), WordEncoder())
    assert found.closest == ()
    assert found.held_out == {}
    assert found.similarity[ALL] == (((1.0,),) if texts == "all" else ((None,),))
    json.dumps(found.to_json(), allow_nan=False)


def test_a_pack_without_motion_sentences_or_motion():
    without = tuple(replace(each, motion_sentences=(), motion=()) for each in SMALL.classes)
    found = measure_quality(replace(SMALL, classes=without), WordEncoder())
    assert set(found.similarity) == {ALL, "visual", "description"}
    assert found.closest[0].claims_first == found.closest[0].parts == ()
    assert [part.missing for part in found.parts] == [0] * len(BODY_PARTS)


def test_a_shipped_pack():
    pack = load_pack("nw_ucla")
    found = measure_quality(pack, WordEncoder(), closest=4)
    assert len(found.closest) == 4
    assert found.names == pack.names
    assert all(part.missing == 0 and part.moving > part.still for part in found.parts)
