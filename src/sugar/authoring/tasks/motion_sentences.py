"""Motion sentences asked of a model: the motion of a class in the vocabulary of the grounded facts.

The model chooses who does what from lists; the words are those of `grammar`, so that a class known by name alone can be
compared with what the joints of a clip show. Imports pydantic.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape
from sugar.authoring.tasks.motion_knowledge import People, check_people, meaning_line, people_line
from sugar.authoring.tasks.quoting import Marked, prompt, quoted
from sugar.facts.claims import Claim, Predicate, Subject
from sugar.facts.grammar import all_claims, of_two, parse, say
from sugar.knowledge.pack import ClassKnowledge

SENTENCES = (2, 3)
"""Least and most motion sentences of a class, as `checks.MOTION_SENTENCES`."""
_MOST_STATEMENTS = 8
# What a hand, a foot or a body can have only one of within a clip.
_SINGLE: frozenset[Predicate] = frozenset({"rises to", "lowers to", "path", "repeats", "speed", "posture", "turns"})
_SPEAKERS: dict[Subject, str] = {"body": "person", "knees": "person", "people": "two people"}
_NAMES: dict[Subject, str] = {"body": "The person", "knees": "The person", "people": "The two people"}
_NAMES["both hands"] = "Both hands"
_HANDS = frozenset({"left hand", "right hand", "both hands"})
# Every hand and foot does as much.
_EMPTY = frozenset({("rises to", "floor"), ("lowers to", "above the head")})


def _who(claim: Claim, two: bool) -> str:
    speaker = _SPEAKERS.get(claim.subject, claim.subject)
    if not two or claim.subject == "people":
        return speaker
    owner = ("first person", "second person")[claim.person]
    if speaker == "person":
        return owner
    return f"both hands of the {owner}" if speaker == "both hands" else f"{owner}'s {speaker}"


def _does(claim: Claim) -> str:
    """The canonical verb phrase, without the name; of both hands in the singular where one hand can do it too."""
    one = replace(claim, person=0)
    if claim.subject == "both hands" and claim.predicate != "hands":
        one = replace(one, subject="left hand")
    (sentence,) = say([one], two_people=False)
    return sentence.removeprefix(_NAMES.get(one.subject, f"The {one.subject}")).strip(" .")


_STATEMENTS: dict[tuple[str, str], Claim] = {
    (_who(claim, two), _does(claim)): claim
    for two in (False, True)
    for claim in all_claims()
    if (two or not of_two([claim])) and (claim.predicate, claim.value) not in _EMPTY
}
_WHO = tuple(dict.fromkeys(who for who, _ in _STATEMENTS))
_DOES = tuple(dict.fromkeys(does for _, does in _STATEMENTS))
_OF_TWO = frozenset(_who(claim, two=True) for claim in _STATEMENTS.values())


class Statement(AnswerShape):
    """Who does what, both from the lists of the vocabulary."""

    who: Annotated[str, WithJsonSchema({"type": "string", "enum": list(_WHO)})]
    does: Annotated[str, WithJsonSchema({"type": "string", "enum": list(_DOES)})]

    @field_validator("who", "does")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        known = _WHO if info.field_name == "who" else _DOES
        if value not in known:
            near = difflib.get_close_matches(value, known, n=3, cutoff=0.0)
            raise ValueError(f"{value!r} is not in the vocabulary; nearest are {', '.join(map(repr, near))}")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> "Statement":
        if (self.who, self.does) not in _STATEMENTS:
            able = [does for who, does in _STATEMENTS if who == self.who]
            near = difflib.get_close_matches(self.does, able, n=4, cutoff=0.0)
            raise ValueError(
                f"{self.who!r} cannot be said with {self.does!r}; it can with {', '.join(map(repr, near))}"
            )
        return self

    @property
    def claim(self) -> Claim:
        return _STATEMENTS[self.who, self.does]


class MotionSentence(AnswerShape):
    """One way of performing the action: statements that hold together."""

    statements: Annotated[list[Statement], Field(min_length=1, max_length=_MOST_STATEMENTS)]

    @field_validator("statements")
    @classmethod
    def _agree(cls, statements: list[Statement]) -> list[Statement]:
        for one, other in combinations(statements, 2):
            if _contradict(one.claim, other.claim):
                raise ValueError(
                    f"'{one.who} {one.does}' and '{other.who} {other.does}' contradict each other: keep one of them"
                )
        return statements

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(dict.fromkeys(statement.claim for statement in self.statements))


class SentencesAnswer(AnswerShape):
    """How many people an action takes, and its motion sentences."""

    people: People
    sentences: Annotated[list[MotionSentence], Field(min_length=SENTENCES[0], max_length=SENTENCES[1])]


def motion_sentences_request(name: str, *, people: People | None = None, meaning: str = "") -> Request:
    """Ask for two or three motion sentences of a class; arguments and errors as of `motion_request`."""
    text = prompt(
        "motion_sentences",
        action=quoted(name),
        meaning=meaning_line(meaning),
        people=people_line(people),
        vocabulary=vocabulary(people),
        least=SENTENCES[0],
        most=SENTENCES[1],
    )
    return Request(f"motion sentences/{name}", text, sentences_answer(people), template="motion_sentences")


def motion_sentences(answer: SentencesAnswer) -> tuple[str, ...]:
    """The motion sentences for a pack, in the canonical wording of `grammar.say`."""
    return tuple(" ".join(say(each.claims, two_people=answer.people == 2)) for each in answer.sentences)


def sentences_answer(people: People | None) -> type[SentencesAnswer]:
    """The shape of the answer to `motion_sentences_request`."""

    class ExpectedSentencesAnswer(SentencesAnswer):
        @field_validator("people")
        @classmethod
        def _as_asked(cls, value: People) -> People:
            return check_people(value, people)

        @model_validator(mode="after")
        def _fit(self) -> "ExpectedSentencesAnswer":
            check_sentences(self.sentences, self.people)
            return self

    return ExpectedSentencesAnswer


def check_sentences(sentences: Sequence[MotionSentence], people: People) -> None:
    """Refuse sentences that claim the same, or that name people as if they were one where two take part."""
    seen: dict[frozenset[Claim], int] = {}
    for number, sentence in enumerate(sentences, start=1):
        wrong = [each.who for each in sentence.statements if (each.who in _OF_TWO) != (people == 2)]
        if wrong:
            wanted = '"first person\'s right hand"' if people == 2 else '"right hand"'
            raise ValueError(f'sentence {number} says {wrong[0]!r}, but "people" is {people}: name them as {wanted}')
        earlier = seen.setdefault(frozenset(sentence.claims), number)
        if earlier != number:
            raise ValueError(f"sentence {number} states the same as sentence {earlier}: tell another way of doing it")


def vocabulary(people: People | None) -> Marked:
    """The lists to choose from, as the prompts show them."""
    names = [who for who in _WHO if people is None or (who in _OF_TWO) == (people == 2)]
    foot, hand, both, person, pair = (
        [does for each, does in _STATEMENTS if each == who]
        for who in ("left foot", "left hand", "both hands", "person", "two people")
    )
    lines = [
        f'"who": {_listed(names)}',
        f'"does" of a hand, of both hands or of a foot: {_listed(foot)}',
        f"of a hand or of both hands also: {_listed(does for does in hand if does not in foot)}",
        f"of both hands also: {_listed(does for does in both if does not in hand)}",
        f"of a person: {_listed(person)}",
    ]
    if people != 1:
        lines.append(f"of the two people: {_listed(pair)}")
    return Marked("\n".join(lines))


def people_of(entry: ClassKnowledge) -> People | None:
    """How many people the motion sentences of a class tell of; None without any."""
    if not entry.motion_sentences:
        return None
    return 2 if any(of_two(parse(text)) for text in entry.motion_sentences) else 1


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _contradict(one: Claim, other: Claim) -> bool:
    """Whether two claims of one person cannot both hold."""
    if one.person != other.person or "people" in (one.subject, other.subject):
        return {one.value, other.value} == {"near", "far"}
    if one.subject == other.subject and one.predicate == other.predicate and one.predicate in _SINGLE:
        return one.value != other.value
    return _rules_out(one, other) or _rules_out(other, one)


def _rules_out(state: Claim, other: Claim) -> bool:
    """Whether a state leaves no room for ``other``."""
    in_place = (other.predicate, other.value) == ("travels", "nowhere")
    match state.predicate:
        case "still" if state.subject == "body":
            return other.predicate not in ("posture", "still") and not in_place
        case "still":
            subjects = {state.subject, other.subject}
            same = len(subjects) == 1 or ("both hands" in subjects and subjects <= _HANDS)
            # What is raised may be held there, and one hand may come to meet the other.
            held = other.predicate in ("still", "rises to", "lowers to")
            met = other.predicate == "hands" and state.subject != "both hands"
            return same and not held and not met
        case "posture":
            return other.predicate == "becomes"
        case "travels":
            return state.value == "nowhere" and other.predicate == "travels" and not in_place
    return False
