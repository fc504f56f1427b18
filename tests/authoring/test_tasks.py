"""What is asked of models for knowledge: the prompts' own examples, the shapes of answers, and what they become."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sugar.authoring.client.request import Media
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, distinct_texts
from sugar.authoring.tasks.class_descriptions import descriptions, descriptions_answer, descriptions_request
from sugar.authoring.tasks.clip_descriptions import (
    clip_answer,
    clip_description_request,
    contradictions,
    facts_text,
)
from sugar.authoring.tasks.contrast import (
    confusable_by_report,
    confusable_by_similarity,
    contrast_answer,
    contrast_request,
    contrasted,
)
from sugar.authoring.tasks.label_expansion import expanded_label, label_answer, label_request
from sugar.authoring.tasks.motion_knowledge import MOST_TOKENS, motion_answer, motion_request, motion_texts
from sugar.authoring.tasks.motion_sentences import (
    _DOES,
    _STATEMENTS,
    _WHO,
    SENTENCES,
    MotionSentence,
    motion_sentences,
    motion_sentences_request,
    people_of,
    sentences_answer,
    vocabulary,
)
from sugar.authoring.tasks.visual_knowledge import VisualAnswer, visual_answer, visual_request, visual_texts
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.facts.claims import Claim
from sugar.facts.grammar import of_two, parse, read, say
from sugar.facts.measure import MotionFacts, measure
from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, load_pack, shipped_packs
from sugar.knowledge.quality import checks

PARTS = {
    "head": "head faces forward",
    "hand": "hands clap",
    "arm": "arms swing",
    "hip": "hip rests",
    "leg": "leg stands",
    "foot": "feet rest",
}
OTHER = {part: f"{part} does something else" for part in BODY_PARTS}
FRAME = Media(b"1", "image/png", "a frame")
VIDEO = Media(b"2", "video/mp4", "a video")
NW_UCLA = load_pack("nw_ucla")
OF_TWO = re.compile("first|second|two people")
DOFF, DON = NW_UCLA["doffing"], NW_UCLA["donning"]


def problems(shape: type[BaseModel], answer: object) -> str:
    """What a model would be told of a bad answer."""
    with pytest.raises(ValidationError) as caught:
        shape.model_validate(answer)
    return "; ".join(error["msg"] for error in caught.value.errors())


@pytest.fixture(scope="module")
def facts() -> MotionFacts:
    """Of a clip in which the right hand waves and the left stays still."""
    for clip in generate(12, 0, ("wave with one hand",)):
        facts = measure(clip)
        claims = facts.claims()
        high = Claim("right hand", "rises to", "above the head") in claims
        if high and Claim("left hand", "still") in claims and any(claim.predicate == "repeats" for claim in claims):
            return facts
    raise AssertionError("no clip of the built-in data waves the right hand above the head, counted")


def shapes(facts: MotionFacts) -> dict[str, type[BaseModel]]:
    return {
        "motion": motion_answer("hop", count=1, people=None),
        "motion_sentences": sentences_answer(None),
        "visual": visual_answer(1, "video"),
        "descriptions": descriptions_answer(2),
        "clip_descriptions": ClipLike,
        "label_expansion": label_answer("doffing", ["doffing", "put on jacket"]),
        "contrast": contrast_answer(bare("drink water"), bare("brush teeth"), count=1, descriptions=1),
    }


class ClipLike(AnswerShape):
    text: Text


def bare(name: str) -> ClassKnowledge:
    return ClassKnowledge(name, (), (), ())


def requests(facts: MotionFacts) -> dict[str, Any]:
    return {
        "motion": motion_request("hop"),
        "motion_sentences": motion_sentences_request("hop"),
        "visual": visual_request("hop", [FRAME], item="x"),
        "descriptions": descriptions_request("hop", DOFF.motion),
        "clip_descriptions": clip_description_request("c1", "hop", DOFF.motion, facts),
        "label_expansion": label_request("hop", ["hop", "nod"]),
        "contrast": contrast_request(DOFF, DON),
    }


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every mapping of a JSON schema."""
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from objects(each)


# ---------------------------------------------------------------- prompts and schemas


def test_every_prompt_is_used_and_its_examples_are_valid_answers(facts: MotionFacts):
    prompts = {file.name.removesuffix(".txt") for file in (files("sugar.authoring.tasks") / "prompts").iterdir()}
    assert prompts == set(requests(facts))
    for template, request in requests(facts).items():
        assert request.template == template
        assert "$" not in request.prompt
        examples = re.findall(r"^Answer: (\{.*\})$", request.prompt, re.MULTILINE)
        assert examples
        for example in examples:
            shapes(facts)[template].model_validate_json(example)
        assert request.prompt.endswith("Answer:\n")


def test_schemas_can_be_sent_in_strict_mode(facts: MotionFacts):
    refused = {"pattern", "minLength", "maxLength", "uniqueItems", "default", "oneOf", "allOf", "const", "description"}
    for request in requests(facts).values():
        schema = request.answer.model_json_schema()
        for part in objects(schema):
            assert refused.isdisjoint(part), part
            if part.get("type") == "object":
                assert part["additionalProperties"] is False
                assert part["required"] == list(part["properties"])
        assert sum(len(part["enum"]) for part in objects(schema) if "enum" in part) < 500
        assert len(json.dumps(schema)) < 15_000


def test_a_question_is_the_same_when_asked_again(facts: MotionFacts):
    for first, second in zip(requests(facts).values(), requests(facts).values(), strict=True):
        assert first.key({"m": 1}) == second.key({"m": 1})
    assert motion_request("hop").key({}) != motion_request("hop", count=2).key({})


def test_answers_are_cleaned():
    assert ClipLike(text=" a\n b\u200b\x07 cafe\u0301 ").text == "a b caf\u00e9"
    assert "is empty" in problems(ClipLike, {"text": "\u200b "})
    assert "at most 600" in problems(ClipLike, {"text": "x" * 601})
    assert "Extra inputs" in problems(ClipLike, {"text": "x", "more": 1})
    assert distinct_texts(["A b.", "c", "a, B", "C!", "d"]) == ("A b.", "c", "d")


# ---------------------------------------------------------------- six parts


def ask_motion(*variants: dict[str, str], people: int = 1, asked: Any = None) -> Any:
    shape = motion_answer("hop", count=len(variants), people=asked)
    return shape.model_validate({"people": people, "variants": list(variants)})


def test_parts_become_texts_that_pass_the_checks():
    bare_parts = PARTS | {"head": "Nods twice.", "hip": "the hip keeps still", "foot": "Feet rest, apart"}
    answer = ask_motion(bare_parts, OTHER)
    texts = motion_texts("hop", answer)
    assert texts[0] == (
        "An action of hop: head Nods twice; hands clap; arms swing; hip keeps still; leg stands; feet rest, apart"
    )
    assert [checks.motion_problems(text, "hop") for text in texts] == [[], []]
    assert type(answer).model_validate(answer.model_dump()) == answer
    assert (MOST_TOKENS, SENTENCES) == (checks.MAX_TOKENS, checks.MOTION_SENTENCES)


@pytest.mark.parametrize(
    ("part", "phrase", "message"),
    [
        ("hand", "right hand rises", "must begin with the word 'hand'"),
        ("foot", "both feet rise", "must begin with the word 'foot'"),
        ("head", "head", "says nothing of the head"),
        ("head", "head ...", "says nothing of the head"),
        ("arm", "arm: up", "colon or semicolon"),
        ("arm", "arm up; hip down", "colon or semicolon"),
        ("leg", " ", "is empty"),
    ],
)
def test_a_bad_phrase_is_sent_back(part: str, phrase: str, message: str):
    shape = motion_answer("hop", count=1, people=None)
    assert message in problems(shape, {"people": 1, "variants": [PARTS | {part: phrase}]})


def test_bad_variants_are_sent_back():
    shape = motion_answer("hop", count=2, people=1)
    assert "at least 2 items" in problems(shape, {"people": 1, "variants": [PARTS]})
    almost = PARTS | {"head": "head nods", "arm": "arm, swings"}
    assert "variant 2 repeats variant 1" in problems(shape, {"people": 1, "variants": [PARTS, almost]})
    long = OTHER | {"leg": "leg " + "swings about " * 30}
    assert re.search(
        r"variant 2 is too long: shorten its phrases by \d\d", problems(shape, {"people": 1, "variants": [PARTS, long]})
    )
    assert "must be 1: one person performs" in problems(shape, {"people": 2, "variants": [PARTS, OTHER]})
    missing = {part: phrase for part, phrase in PARTS.items() if part != "hip"}
    assert "Field required" in problems(shape, {"people": 1, "variants": [missing, OTHER]})


def test_of_two_people_both_are_told():
    both = PARTS | {"hand": "hand of the first grips hand of the second", "leg": "legs of both stand"}
    assert ask_motion(both, people=2, asked=2).people == 2
    shape = motion_answer("hop", count=1, people=None)
    assert "tells of one person only" in problems(shape, {"people": 2, "variants": [PARTS]})


def test_the_motion_texts_of_the_shipped_packs_are_valid_answers():
    for name in shipped_packs():
        for entry in load_pack(name).classes:
            if people_of(entry) == 2:
                continue
            bodies = [text.partition(":")[2].split(";") for text in entry.motion]
            variants = [dict(zip(BODY_PARTS, map(str.strip, body), strict=True)) for body in bodies]
            shape = motion_answer(entry.name, count=3, people=1)
            assert motion_texts(entry.name, shape.model_validate({"people": 1, "variants": variants})) == entry.motion


# ---------------------------------------------------------------- motion sentences


def statements(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"statements": [{"who": who, "does": does} for who, does in pairs]}


def as_statements(claims: tuple[Claim, ...]) -> dict[str, Any]:
    """Claims as a model would state them."""
    two = of_two(claims)
    known = {claim: pair for pair, claim in _STATEMENTS.items() if bool(OF_TWO.search(pair[0])) == two}
    return statements(*(known[claim] for claim in claims))


def test_the_motion_sentences_of_the_shipped_packs_can_be_stated():
    for name in shipped_packs():
        for entry in load_pack(name).classes:
            claims = [parse(text) for text in entry.motion_sentences]
            answer = {"people": people_of(entry), "sentences": [as_statements(each) for each in claims]}
            texts = motion_sentences(sentences_answer(None).model_validate(answer))
            assert [set(parse(text)) for text in texts] == [set(each) for each in claims]


@st.composite
def stated(draw: st.DrawFn) -> dict[str, Any]:
    """Answers of the asked shape, sensible or not."""
    people = draw(st.sampled_from([1, 2]))
    known = sorted(pair for pair in _STATEMENTS if bool(OF_TWO.search(pair[0])) == (people == 2))
    pairs = st.one_of(*[st.sampled_from(known)] * 9, st.tuples(st.sampled_from(_WHO), st.sampled_from(_DOES)))
    sentences = draw(st.lists(st.lists(pairs, min_size=1, max_size=4), min_size=2, max_size=3))
    return {"people": people, "sentences": [statements(*each) for each in sentences]}


@settings(max_examples=150, deadline=None)
@given(stated())
def test_what_is_accepted_is_read_back_in_full(said: dict[str, Any]):
    try:
        answer = sentences_answer(None).model_validate(said)
    except ValidationError:
        return
    for text, sentence in zip(motion_sentences(answer), answer.sentences, strict=True):
        assert all(claims for _, claims in read(text))
        assert set(parse(text)) == set(sentence.claims)
        assert bool(OF_TWO.search(text)) == (answer.people == 2)


def test_every_statement_by_itself_is_said_and_read_back():
    for (who, does), claim in _STATEMENTS.items():
        two = bool(OF_TWO.search(who))
        assert MotionSentence.model_validate(statements((who, does))).claims == (claim,)
        assert parse(" ".join(say([claim], two_people=two))) == (claim,)
        assert f'"{does}"' in vocabulary(2 if two else 1)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("left arm", "moves")], "'left arm' is not in the vocabulary; nearest are"),
        ([("left hand", "waves")], "'waves' is not in the vocabulary"),
        ([("left foot", "sits down")], "cannot be said with 'sits down'; it can with"),
        ([("left hand", "meet")], "cannot be said"),
        ([("left hand", "stays still"), ("left hand", "moves")], "contradict each other"),
        ([("left hand", "goes up"), ("both hands", "stays still")], "contradict each other"),
        ([("person", "stays still"), ("right foot", "moves")], "contradict each other"),
        ([("person", "sits down"), ("person", "stays standing")], "contradict each other"),
        ([("person", "walks forward"), ("person", "stays in place")], "contradict each other"),
        ([("right hand", "rises to head height"), ("right hand", "rises to hip height")], "contradict each other"),
        ([("two people", "stay near each other"), ("two people", "stay far from each other")], "contradict each other"),
        ([], "at least 1 item"),
        ([("left hand", "moves")] * 9, "at most 8 items"),
    ],
)
def test_senseless_sentences_are_sent_back(pairs: list[tuple[str, str]], message: str):
    assert message in problems(MotionSentence, statements(*pairs))


def test_statements_of_different_people_do_not_contradict():
    pairs = [("first person's left hand", "stays still"), ("second person's left hand", "moves")]
    assert len(MotionSentence.model_validate(statements(*pairs)).claims) == 2
    pairs = [("left hand", "stays still"), ("both hands", "meet"), ("right hand", "moves")]
    assert len(MotionSentence.model_validate(statements(*pairs)).claims) == 3


def test_sentences_fit_the_number_of_people_and_differ():
    one, other = statements(("right hand", "moves")), statements(("left hand", "moves"))
    assert motion_sentences(sentences_answer(1).model_validate({"people": 1, "sentences": [one, other]})) == (
        "The right hand moves.",
        "The left hand moves.",
    )
    shape = sentences_answer(None)
    assert "states the same" in problems(shape, {"people": 1, "sentences": [one, one]})
    assert "name them as" in problems(shape, {"people": 2, "sentences": [one, other]})
    assert "at least 2 items" in problems(shape, {"people": 1, "sentences": [one]})
    assert "must be 2" in problems(sentences_answer(2), {"people": 1, "sentences": [one, other]})
    lists = {people: vocabulary(people) for people in (None, 1, 2)}
    assert "first person" not in lists[1]
    assert '"right hand"' not in lists[2]
    assert '"right hand"' in lists[None]
    assert "first person" in lists[None]
    assert all(lists[people] in motion_sentences_request("hop", people=people).prompt for people in (None, 1, 2))


# ---------------------------------------------------------------- visual texts


def test_the_question_fits_the_pictures():
    def asked(*pictures: Media, **options: Any) -> str:
        request = visual_request("hop", pictures, item="visual/hop", **options)
        assert request.media == pictures
        return request.prompt

    assert "a single frame of a video" in asked(FRAME)
    assert "2 frames of one video, in order of time" in asked(FRAME, FRAME)
    assert "You are shown a video" in asked(VIDEO)
    assert "skeleton" not in asked(FRAME)
    for pictures in ((FRAME,), (FRAME, FRAME), (VIDEO,)):
        drawn = asked(*pictures, source="drawn skeleton")
        assert "drawing" in drawn.partition("\n")[0]
        assert "no faces\nand no scene" in drawn
        assert "the things that they use" not in drawn
    for pictures in ((), (VIDEO, FRAME)):
        with pytest.raises(ValueError, match="wants images or one video"):
            asked(*pictures)


def test_visual_texts_speak_of_the_person():
    shape = visual_answer(1, "drawn skeleton")
    shape.model_validate({"texts": ["A person lifts one knee high and hops."]})
    for text in ("The image shows a person hopping on a leg.", "In this frame, a person hops about quickly."):
        assert "speaks of the picture" in problems(shape, {"texts": [text]})
    assert "mentions 'stick figure'" in problems(shape, {"texts": ["A stick figure hops on one leg."]})
    visual_answer(1, "video").model_validate({"texts": ["The picture of a boat is hung on a wall by a man."]})
    visual_answer(1, "video").model_validate({"texts": ["A person draws straight lines on the paper."]})
    assert "text 2 repeats text 1" in problems(
        visual_answer(2, "video"), {"texts": ["A man hops up.", "A man, hops up"]}
    )


def test_visual_texts_of_a_class_are_taken_in_turn_without_repeats():
    answers = [VisualAnswer(texts=["a b", "c d"]), VisualAnswer(texts=["A B!", "e f"]), VisualAnswer(texts=["g"])]
    assert visual_texts(answers) == ("a b", "g", "c d", "e f")
    assert visual_texts(answers, most=2) == ("a b", "g")
    assert visual_texts([]) == ()


# ---------------------------------------------------------------- descriptions


def test_descriptions_are_short_different_sentences():
    texts = ["A person hops about on one leg only.", "Someone jumps up and down on a single foot."]
    shape = descriptions_answer(2)
    assert descriptions(shape.model_validate({"texts": texts})) == tuple(texts)
    assert "text 2 has 2 words: write 6 to 18" in problems(shape, {"texts": [texts[0], "Someone hops."]})
    listed = "The head, the arm, the hip and the feet move up."
    assert "lists body parts (arm, foot, head, hip)" in problems(shape, {"texts": [texts[0], listed]})
    for name in shipped_packs():
        for entry in load_pack(name).classes:
            descriptions_answer(4).model_validate({"texts": list(entry.descriptions)})


def test_a_clip_is_described_by_its_facts(facts: MotionFacts):
    request = clip_description_request("c1", "wave hand", DOFF.motion, facts)
    assert f"Facts: {json.dumps(facts_text(facts))}" in request.prompt
    count = next(claim.value for claim in facts.claims() if claim.predicate == "repeats")
    good = (
        f"A person waves the right hand above the head while the left hand stays still. {' '.join(say(facts.claims()))}"
    )
    assert contradictions(good, facts) == []
    assert contradictions("Someone greets with one hand.", facts) == []
    wrong = str(int(count) % 9 + 2)
    for text, message in (
        ("A person waves the left hand.", "the left hand stays still"),
        (f"A person waves the right hand {wrong} times.", "have no"),
        ("A person waves at knee height.", "have no 'knee' height"),
        ("A person turns. The person sits down.", "'The person sits down.' is not true"),
    ):
        assert any(message in found for found in contradictions(text, facts)), text
        assert message in problems(clip_answer("wave hand", facts), {"text": f"{text} This is a friendly greeting."})


def test_sides_come_from_the_facts_or_the_name():
    facts = next(
        facts
        for clip in generate(6, 0, ("squat", "jump"))
        if not {"left", "right"} & set(" ".join(say((facts := measure(clip)).claims())).replace("'", " ").split())
    )
    assert contradictions("With a step to the left a person goes down.", facts) == [
        "the facts name no left: leave out 'left'"
    ]
    assert contradictions("With a step to the left a person goes down.", facts, "swipe left") == []


# ---------------------------------------------------------------- labels


def test_labels_are_explained_or_said_to_be_unclear():
    names = ["doffing", "put on jacket", "A7"]
    answer = {
        "clear": True,
        "phrase": "take off a jacket",
        "meaning": "A person takes off a jacket.",
        "people": 1,
        "unlike": ["put on jacket", "no such name", "doffing"],
        "difference": "The arms slip out.",
    }
    label = expanded_label("doffing", label_answer("doffing", names).model_validate(answer))
    assert label is not None
    assert label.meaning == "take off a jacket: A person takes off a jacket. The arms slip out."
    assert label.unlike == ("put on jacket",)
    assert label.meaning in motion_request("doffing", meaning=label.meaning).prompt
    unclear = {"clear": False, "phrase": "", "meaning": "", "people": 1, "unlike": [], "difference": ""}
    assert expanded_label("A7", label_answer("A7", names).model_validate(unclear)) is None
    assert "must not be empty" in problems(label_answer("A7", names), unclear | {"clear": True})
    assert '"difference" must say' in problems(label_answer("doffing", names), answer | {"difference": " "})
    assert 'About the list: "worn by nurses"' in label_request("A7", names, about="worn by nurses").prompt


def test_of_a_long_list_the_names_most_alike_are_shown():
    names = [f"class {number}" for number in range(1000)] + ["pick up", "pick apples"]
    shown = label_request("pick up", names).prompt.rpartition("The list: ")[2].partition("\n")[0]
    assert shown.endswith('"pick up", "pick apples"')
    assert shown.count('", "') == 399


# ---------------------------------------------------------------- contrast

APART = {
    "difference": "One takes the garment off, the other puts it on.",
    "first": {
        "people": 1,
        "motion": [PARTS],
        "sentences": [statements(("both hands", "sinks down")), statements(("right hand", "sinks down"))],
        "descriptions": ["A person pulls the arms backwards out of the sleeves."],
    },
    "second": {
        "people": 1,
        "motion": [OTHER],
        "sentences": [statements(("both hands", "goes up")), statements(("right hand", "goes up"))],
        "descriptions": ["Someone pushes one arm after the other upwards into a coat."],
    },
}


def shared_words(first: ClassKnowledge, second: ClassKnowledge) -> float:
    """Share of words that the motion texts of two classes have in common."""
    one, other = (set(re.findall(r"\w+", " ".join(entry.motion))) for entry in (first, second))
    return len(one & other) / len(one | other)


def test_contrasted_texts_take_the_place_of_the_old_or_come_before_them():
    answer = contrast_answer(DOFF, DON, count=1, descriptions=1).model_validate(APART)
    new = contrasted(DOFF, answer.first)
    assert new.visual == DOFF.visual
    assert new.motion_sentences == ("Both hands sink down.", "The right hand sinks down.")
    assert checks.motion_problems(new.motion[0], "doffing") == []
    assert new.descriptions == tuple(APART["first"]["descriptions"])  # type: ignore[index]
    added = contrasted(DON, answer.second, add=True)
    assert added.motion[1:] == DON.motion
    assert added.descriptions[1:] == DON.descriptions
    assert shared_words(new, contrasted(DON, answer.second)) < shared_words(DOFF, DON)


def test_a_contrast_tells_its_classes_apart():
    shape = contrast_answer(DOFF, DON, count=1, descriptions=1)
    first, second = APART["first"], APART["second"]
    for field, message in (
        ("sentences", "states the same as one of the second"),
        ("motion", "both actions have the text"),
        ("descriptions", "both actions have the text"),
    ):
        same = APART | {"second": second | {field: first[field]}}  # type: ignore[operator,index]
        assert message in problems(shape, same)
    assert "must be 1" in problems(shape, APART | {"first": first | {"people": 2}})  # type: ignore[operator]
    prompt = contrast_request(DOFF, DON).prompt
    assert all(json.dumps(text) in prompt for text in (*DOFF.motion, *DON.descriptions))
    assert "first person" not in prompt.partition("Example")[0].partition('"who"')[2]


def test_pairs_come_from_the_similarity_of_texts():
    similarity = np.array([[1, 0.9, 0.2], [0.7, 1, 0.6], [0.2, 0.6, 1]])
    pairs = confusable_by_similarity(similarity, ["a", "b", "c"], threshold=0.5)
    assert [(pair.first, pair.second, round(pair.value, 6)) for pair in pairs] == [("a", "b", 0.8), ("b", "c", 0.6)]
    assert len(confusable_by_similarity(similarity, ["a", "b", "c"], count=1)) == 1
    with pytest.raises(ValueError, match="shape"):
        confusable_by_similarity(similarity, ["a", "b"])


def test_pairs_come_from_a_runs_confusions(tmp_path):
    from sugar.evaluation.report import evaluate
    from sugar.reports.report_files import write_report

    labels = [0] * 10 + [1] * 10 + [2] * 5
    predicted = [0] * 7 + [1] * 3 + [1] * 8 + [0] * 1 + [2] * 1 + [2] * 5
    likely = np.eye(3)[predicted]
    # A scorer that is never wrong beside the one that is.
    scores = {"text": np.eye(3)[labels], "fused": likely}
    result = evaluate(scores, labels, ["a", "b", "c"], protocol="p", split="test", data_hash="h")
    report = write_report(result, tmp_path)
    for source in (report, tmp_path, tmp_path / "report.json"):
        pairs = confusable_by_report(source)
        assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("b", "c")]
        assert [pair.value for pair in pairs] == pytest.approx([4 / 20, 1 / 15])
    assert confusable_by_report(report, scorer="text") == []
    assert len(confusable_by_report(report, threshold=0.1)) == 1
    with pytest.raises(InputError, match="has no scorer 'llm'; it has text, fused"):
        confusable_by_report(report, scorer="llm")
    with pytest.raises(InputError, match="cannot be read"):
        confusable_by_report(tmp_path / "none.json")
    for text in ("{", "[]", "{}"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=r"give the report.json of `sugar eval`"):
            confusable_by_report(tmp_path / "bad.json")


def test_each_pair_of_a_pack_can_be_asked_about():
    for first, second in combinations(NW_UCLA.classes[:4], 2):
        request = contrast_request(first, replace(second, motion_sentences=()))
        assert request.item == f"contrast/{first.name}/{second.name}"
        assert "first person" in request.prompt.partition("Example")[0]
