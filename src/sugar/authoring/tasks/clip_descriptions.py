"""A description of one clip asked of a model, and whether it is true of the clip. Imports pydantic."""

import re
from collections.abc import Sequence

from pydantic import field_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, check_words, words
from sugar.authoring.tasks.quoting import prompt, quoted, quoted_text, quoted_texts
from sugar.facts.claims import Claim, Subject
from sugar.facts.description_check import check_claims
from sugar.facts.grammar import say
from sugar.facts.measure import MotionFacts

_WORDS = (6, 45)
_COUNT = re.compile(r"\b(once|twice|thrice|(?:\d+|two|three|four|five|six|seven|eight|nine|ten|many|several) times)\b")
_SAME_COUNT = {"two times": "twice", "2 times": "twice", "thrice": "three times", "several times": "many times"}
_HEIGHT = re.compile(
    r"\b(knee|hip|waist|chest|shoulder|head|eye|face)s?[ -](?:height|level|high)\b"
    r"|\b(?:above|over) (?:the|his|her|their) (head)\b|\b(overhead)\b"
)
_LEVELS = {"waist": "hip", "eye": "head", "face": "head"}
_CLAUSE = re.compile(r"[,.;:]|\b(?:and|while|as|but|with)\b")
_HANDED = re.compile(r"\b(left|right) (?:hand|arm|fist|palm)\b")
_AT_REST = re.compile(
    r"\b(still|rest\w*|hang\w*|stay\w*|keep\w*|kept|idle|motionless|not|without|quiet|remain\w*|sides?)\b"
)


class ClipAnswer(AnswerShape):
    """One or two sentences about one clip."""

    text: Text


def clip_description_request(clip_id: str, name: str, motion: Sequence[str], facts: MotionFacts) -> Request:
    """Ask for a description of one clip; an answer that its facts contradict is sent back once.

    Args:
        motion: the motion texts of class ``name``.
        facts: what the joints of the clip say (`kinematics.measure`).

    Raises:
        InputError: a name or text that cannot be sent.
    """
    text = prompt(
        "clip_descriptions",
        action=quoted(name),
        motion=quoted_texts(motion, f"motion text of {name}"),
        facts=quoted_text(facts_text(facts), "facts"),
    )
    return Request(f"clip/{clip_id}", text, clip_answer(name, facts), template="clip_descriptions")


def clip_answer(name: str, facts: MotionFacts) -> type[ClipAnswer]:
    """The shape of the answer to `clip_description_request`."""

    class ExpectedClipAnswer(ClipAnswer):
        @field_validator("text")
        @classmethod
        def _is_true(cls, text: str) -> str:
            check_words([text], *_WORDS)
            found = contradictions(text, facts, name)
            if found:
                raise ValueError("; ".join(found))
            return text

    return ExpectedClipAnswer


def facts_text(facts: MotionFacts) -> str:
    """What the joints say of a clip, in words: what is most worth saying."""
    from sugar.knowledge.fact_captions import fact_caption  # imports torch

    return fact_caption(facts)


def contradictions(text: str, facts: MotionFacts, name: str = "") -> list[str]:
    """What a text says against the facts of a clip, or beyond them of sides, counts and heights; a phrase each.

    Claims in the vocabulary are held against the joints. In freer words, what is said of sides, counts and heights must
    stand in the facts (all of them, also those too slight to be told) or in ``name``, that of the class.
    """
    found = [
        f"{claim.text!r} is not true of this recording: leave it out or say what the facts say"
        for claim in check_claims(text, facts)
        if claim.holds is False
    ]
    claims = facts.claims()
    known = f"{' '.join(say(claims))} {name}".lower()
    lower = text.lower()
    known_words = set(words(known))
    found += [
        f"the facts name no {side}: leave out {side!r}"
        for side in ("left", "right")
        if side in words(lower) and side not in known_words
    ]
    found += [
        f"the facts have no {count!r}: leave out the count or take theirs"
        for count in sorted(_counts(lower) - _counts(known))
    ]
    found += [
        f"the facts have no {level!r} height: leave out the height or take theirs"
        for level in sorted(_heights(lower) - _heights(known))
    ]
    return found + _moved_at_rest(lower, claims)


def _counts(text: str) -> set[str]:
    return {_SAME_COUNT.get(count, count) for count in _COUNT.findall(text)}


def _heights(text: str) -> set[str]:
    """The levels that a text names, by their names in the vocabulary."""
    found = set()
    for level, above, overhead in _HEIGHT.findall(text):
        found.add("above the head" if above or overhead else _LEVELS.get(level, level))
    return found


def _moved_at_rest(text: str, claims: Sequence[Claim]) -> list[str]:
    """Hands of one person that act in the text and stay still in the facts."""
    if any(claim.person == 1 for claim in claims):
        return []
    hands: tuple[Subject, ...] = ("left hand", "right hand")
    still = [hand for hand in hands if {Claim(hand, "still"), Claim("both hands", "still")} & set(claims)]
    return [
        f"the {hand} stays still in this recording: say so, or leave it out"
        for hand in still
        for clause in _CLAUSE.split(text)
        if (named := _HANDED.search(clause)) and f"{named[1]} hand" == hand and not _AT_REST.search(clause)
    ]
