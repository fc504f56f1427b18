"""Motion knowledge asked of a model: what six body parts do, for any list of names (docs/design.md, section 1)."""

import re
from typing import Literal

from pydantic import ValidationInfo, field_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, exactly, words
from sugar.authoring.tasks.quoting import Marked, prompt, quoted, quoted_text
from sugar.knowledge.pack import BODY_PARTS

People = Literal[1, 2]

MOST_TOKENS = 75
"""Of a whole motion text, as `checks.MAX_TOKENS`: CLIP cuts what comes after, the legs and feet."""
_LEAST_NEW_PARTS = 3
_LEAST_OF_BOTH = 2
_FORMS = {part: (part, f"{part}s") for part in BODY_PARTS} | {"foot": ("foot", "feet")}
_OF_TWO = re.compile(r"\b(both|each|first|second|other|one another|partner|two)\b", re.IGNORECASE)
_PEOPLE_LINES: dict[People | None, str] = {
    1: 'One person performs it: "people" is 1.',
    2: 'Two people perform it together: "people" is 2.',
    None: 'Decide first whether it takes one person or two, and say so in "people" (1 or 2).',
}


class SixParts(AnswerShape):
    """One motion text: a phrase for each body part, beginning with the name of the part."""

    head: Text
    hand: Text
    arm: Text
    hip: Text
    leg: Text
    foot: Text

    @field_validator(*BODY_PARTS)
    @classmethod
    def _is_of_its_part(cls, phrase: str, info: ValidationInfo) -> str:
        return _phrase(phrase, str(info.field_name))

    def text(self, name: str) -> str:
        """The text as it stands in a pack: ``An action of NAME: head ...; hand ...; (the others)``."""
        return f"An action of {name}: " + "; ".join(getattr(self, part) for part in BODY_PARTS)


class MotionAnswer(AnswerShape):
    """How many people an action takes, and its motion texts, each worded afresh."""

    people: People
    variants: list[SixParts]


def motion_request(name: str, *, count: int = 3, people: People | None = None, meaning: str = "") -> Request:
    """Ask for ``count`` motion texts of a class.

    Args:
        people: how many take part; None: the model decides.
        meaning: what the name means, where it does not say so itself (`label_expansion.ExpandedLabel.meaning`).

    Raises:
        InputError: a name or meaning that cannot be sent (`quoting.quoted`).
    """
    text = prompt(
        "motion",
        action=quoted(name),
        meaning=meaning_line(meaning),
        count=count,
        people=people_line(people),
    )
    return Request(f"motion/{name}", text, motion_answer(name, count=count, people=people), template="motion")


def motion_texts(name: str, answer: MotionAnswer) -> tuple[str, ...]:
    """The motion texts of class ``name`` for a pack."""
    return tuple(variant.text(name) for variant in answer.variants)


def motion_answer(name: str, *, count: int, people: People | None) -> type[MotionAnswer]:
    """The shape of the answer to `motion_request`."""

    class ExpectedMotionAnswer(MotionAnswer):
        variants: exactly(SixParts, count)  # type: ignore[valid-type]

        @field_validator("people")
        @classmethod
        def _as_asked(cls, value: People) -> People:
            return check_people(value, people)

        @field_validator("variants")
        @classmethod
        def _fit(cls, variants: list[SixParts], info: ValidationInfo) -> list[SixParts]:
            return check_variants(variants, name, info.data.get("people"))

    return ExpectedMotionAnswer


def check_people(value: People, asked: People | None) -> People:
    """Refuse another number of people than was asked for."""
    if asked not in (None, value):
        raise ValueError(
            f"must be {asked}: {('one person performs', 'two people perform')[(asked or 1) - 1]} the action"
        )
    return value


def check_variants(variants: list[SixParts], name: str, people: People | None) -> list[SixParts]:
    """Refuse motion texts that are too long, that repeat each other, or that forget one of two people."""
    for number, variant in enumerate(variants, start=1):
        tokens = len(re.findall(r"\w+|[^\w\s]", variant.text(name)))
        if tokens > MOST_TOKENS:
            raise ValueError(
                f"variant {number} is too long: shorten its phrases by {tokens - MOST_TOKENS + 2} words in all"
            )
        phrases = [getattr(variant, part) for part in BODY_PARTS]
        if people == 2 and sum(bool(_OF_TWO.search(phrase)) for phrase in phrases) < _LEAST_OF_BOTH:
            raise ValueError(
                f"variant {number} tells of one person only: say in {_LEAST_OF_BOTH} phrases or more what both do, "
                "as 'arm of the first reaches out, arm of the second takes it' or 'legs of both stand still'"
            )
        for earlier in range(number - 1):
            new = sum(words(getattr(variant, part)) != words(getattr(variants[earlier], part)) for part in BODY_PARTS)
            if new < _LEAST_NEW_PARTS:
                raise ValueError(
                    f"variant {number} repeats variant {earlier + 1}: word at least {_LEAST_NEW_PARTS} phrases afresh"
                )
    return variants


def people_line(people: People | None) -> Marked:
    """How many take part, in the words of the prompts."""
    return Marked(_PEOPLE_LINES[people])


def meaning_line(meaning: str) -> Marked:
    """What a name means, in the words of the prompts."""
    return quoted_text(meaning, "meaning") if meaning else Marked("as the name says")


def _phrase(phrase: str, part: str) -> str:
    """The phrase with the name of its part in front; that is added where the model left it out."""
    phrase = phrase.rstrip(" .,")
    if re.search(r"[;:]", phrase):
        raise ValueError("has a colon or semicolon: divide by commas")
    phrase = re.sub(r"^the\s+", "", phrase, flags=re.IGNORECASE)
    first, _, rest = phrase.partition(" ")
    forms = _FORMS[part]
    if first.strip(",").casefold() in forms:
        if not words(rest):
            raise ValueError(f"says nothing of the {part}: say what it does, or that it keeps still")
        return first.casefold() + " " + rest
    if any(word in forms for word in words(phrase)):
        raise ValueError(f"must begin with the word {part!r}: '{part} on the right rises', not 'right {part} rises'")
    if not words(phrase):
        raise ValueError(f"says nothing of the {part}: say what it does, or that it keeps still")
    return f"{part} {phrase}"
