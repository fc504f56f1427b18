"""The checks of a knowledge pack: the shipped packs pass, and every fault is found."""

from dataclasses import replace
from typing import Any

import pytest

from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.knowledge.quality.checks import Finding, check_pack, motion_problems

SOUND = "An action of hop: head bobs; hand swings; arm bends; hip rises; leg springs; foot leaves the floor"


@pytest.fixture
def pack() -> KnowledgePack:
    return load_pack("nw_ucla")


def with_text(pack: KnowledgePack, name: str, field: str, number: int, text: str | None) -> KnowledgePack:
    """The pack with one text replaced, or taken out."""
    entry = pack[name]
    texts: list[str] = list(getattr(entry, field))
    texts[number - 1 : number] = [] if text is None else [text]
    values: dict[str, Any] = {field: tuple(texts)}
    changed = replace(entry, **values)
    return replace(pack, classes=tuple(changed if each is entry else each for each in pack.classes))


@pytest.mark.parametrize("opening", ["An action of hop:", "An action of {hop}:"])
def test_a_motion_text_of_six_parts_is_sound(opening: str):
    assert motion_problems(SOUND.replace("An action of hop:", opening), "hop") == []
    assert motion_problems(SOUND.replace("leg springs; foot leaves", "legs spring; feet leave"), "hop") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("An action of hop:", "An action of skip:", "must open with 'An action of hop:'"),
        ("An action of hop:", "", "must open with 'An action of hop:'"),
        ("hip rises; ", "", "part 'hip' is missing"),
        ("hip rises", "hip", "says nothing of the hip"),
        ("arm bends", "hand bends", "part 'hand' stands 2 times"),
        ("arm bends", "elbow bends", "'elbow bends' opens with no body part; the six are "),
        ("floor", "floor; foot lands", "part 'foot' stands 2 times"),
        ("head bobs; hand swings", "hand swings; head bobs", "parts stand in the order hand, head, arm"),
        ("hip rises", "", "'' opens with no body part"),
    ],
)
def test_a_fault_of_form_is_found(old: str, new: str, problem: str):
    assert any(found.startswith(problem) for found in motion_problems(SOUND.replace(old, new), "hop"))


def test_missing_and_surplus_classes_and_texts_are_found(pack: KnowledgePack):
    assert check_pack(pack, expected=[*pack.names, "fly"]) == [Finding("fly", "name", "class is missing from the pack")]
    assert check_pack(pack, expected=pack.names[:-1])[0].class_ == "carry"
    findings = check_pack(with_text(pack, "throw", "visual", 2, None))
    assert [str(finding) for finding in findings] == ["throw: visual: has 5 texts; 6 are wanted"]


@pytest.mark.parametrize(
    ("name", "field", "text", "problem"),
    [
        ("throw", "visual", "A person carries a ball to the far side.", "names another class, 'carry'"),
        ("throw", "visual", "A person who was sitting down hurls a ball.", "names another class, 'sit down'"),
        ("throw", "descriptions", "Head up, a hand, an arm, a hip and a leg move.", "lists body parts"),
        ("throw", "descriptions", "A throw.", "has 2 words"),
        ("throw", "visual", "A ball flies " + "on and on " * 12 + ".", "has 39 words"),
    ],
)
def test_a_doubtful_text_is_found(pack: KnowledgePack, name: str, field: str, text: str, problem: str):
    findings = check_pack(with_text(pack, name, field, 1, text))
    assert [(finding.class_, finding.field) for finding in findings] == [(name, f"{field}[1]")]
    assert problem in findings[0].problem


def test_a_text_too_long_for_clip_is_found(pack: KnowledgePack):
    long = pack["throw"].motion[0].replace("; foot", ", and so on" * 12 + "; foot")
    assert any(
        "CLIP would cut it" in found.problem for found in check_pack(with_text(pack, "throw", "motion", 1, long))
    )


def test_repeated_texts_are_found(pack: KnowledgePack):
    copied = pack["sit down"].motion[0].replace("sit down:", "stand up:")
    findings = check_pack(with_text(pack, "stand up", "motion", 2, copied))
    assert findings == [Finding("stand up", "motion[2]", "repeats sit down: motion[1]")]
    near = pack["donning"].visual[0].replace("pushing", "putting")
    findings = check_pack(with_text(pack, "doffing", "visual", 3, near))
    assert [(finding.class_, finding.field) for finding in findings] == [("doffing", "visual[3]")]
    assert "nearly repeats donning: visual[1] (shared words" in findings[0].problem


@pytest.mark.parametrize(
    ("number", "text", "field", "problem"),
    [
        (2, "The right hand waves. The person sits down.", "[2]", "'the right hand waves' claims nothing in"),
        (2, "The person sits down and smiles.", "[2]", "'smiles' claims nothing in"),
        (2, "The person.", "[2]", "'the person' claims nothing in"),
        (4, "The person sits down.", "", "has 4 texts; 2 to 3 are wanted"),
    ],
)
def test_a_fault_of_a_motion_sentence_is_found(pack: KnowledgePack, number: int, text: str, field: str, problem: str):
    findings = check_pack(with_text(pack, "throw", "motion_sentences", number, text))
    assert [(finding.class_, finding.field) for finding in findings] == [("throw", f"motion_sentences{field}")]
    assert findings[0].problem.startswith(problem)


def test_too_few_motion_sentences_are_found_but_none_are_allowed(pack: KnowledgePack):
    for left, count in ((2, 0), (1, 1), (0, 0)):
        pack = with_text(pack, "throw", "motion_sentences", 1, None)
        assert len(pack["throw"].motion_sentences) == left
        assert len(check_pack(pack)) == count


def test_classes_whose_motion_sentences_claim_the_same_are_found(pack: KnowledgePack):
    first, second, third = pack["sit down"].motion_sentences
    same = (third, first, second.replace("bends the knees", "bends both knees"))
    entry = replace(pack["stand up"], motion_sentences=same)
    copied = replace(pack, classes=tuple(entry if each.name == entry.name else each for each in pack.classes))
    problem = "all claim the same as those of sit down"
    assert check_pack(copied) == [Finding("stand up", "motion_sentences", problem, "advice")]


@pytest.mark.parametrize(
    ("field", "number", "text", "severity"),
    [
        ("motion", 1, "An action of throw: head turns.", "error"),
        ("visual", 1, "A person carries a ball to the far side.", "error"),
        ("motion_sentences", 2, "The person sits down and smiles.", "error"),
        ("visual", 1, None, "advice"),
        ("visual", 1, "A ball flies " + "on and on " * 12 + ".", "advice"),
        ("descriptions", 1, "Head up, a hand, an arm, a hip and a leg move.", "advice"),
        ("motion_sentences", 4, "The person stays standing.", "advice"),
    ],
)
def test_what_must_be_mended_and_what_is_advice(
    pack: KnowledgePack, field: str, number: int, text: str | None, severity: str
):
    findings = check_pack(with_text(pack, "throw", field, number, text))
    assert severity in {finding.severity for finding in findings if finding.field.startswith(field)}
    assert severity == "error" or not [finding for finding in findings if finding.severity == "error"]


def test_a_repeated_text_must_be_mended_only_where_two_classes_have_it(pack: KnowledgePack):
    own = check_pack(with_text(pack, "throw", "visual", 2, pack["throw"].visual[0]))
    assert [(finding.problem, finding.severity) for finding in own] == [("repeats throw: visual[1]", "advice")]
    other = check_pack(with_text(pack, "walk around", "visual", 2, pack["throw"].visual[0]))
    assert [finding.severity for finding in other if finding.problem.startswith("repeats")] == ["error"]
    near = check_pack(with_text(pack, "doffing", "visual", 3, pack["donning"].visual[0].replace("pushing", "putting")))
    assert [finding.severity for finding in near] == ["advice"]


@pytest.mark.parametrize("field", ["motion", "visual", "descriptions"])
def test_a_kind_without_any_text_must_be_mended(pack: KnowledgePack, field: str):
    values: dict[str, Any] = {field: ()}
    empty = replace(pack, classes=(replace(pack.classes[0], **values), *pack.classes[1:]))
    assert [(finding.field, finding.severity) for finding in check_pack(empty)] == [(field, "error")]
