"""What bare class names mean ("A7", "pick up", "doffing"), asked of a model that sees their whole list.

Imports pydantic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import field_validator, model_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, check_words, words
from sugar.authoring.tasks.motion_knowledge import People
from sugar.authoring.tasks.quoting import Marked, prompt, quoted, quoted_text

_MOST_NAMES = 400
_MOST_UNLIKE = 3


@dataclass(frozen=True)
class ExpandedLabel:
    """What a class name means.

    Args:
        phrase: the action as one would say it: ``take off a jacket``.
        meaning: one sentence, and one on what sets the action apart from those it is easily confused with.
        people: how many take part.
        unlike: the names of the list with which it is easily confused.
    """

    name: str
    phrase: str
    meaning: str
    people: People
    unlike: tuple[str, ...] = ()


class LabelAnswer(AnswerShape):
    """What a class name means, or that it says nothing."""

    clear: bool
    phrase: str
    meaning: str
    people: People
    unlike: list[Text]
    difference: str

    @field_validator("phrase", "meaning", "difference")
    @classmethod
    def _is_one_line(cls, text: str) -> str:
        return _Line(text=text).text if text.strip() else ""

    @model_validator(mode="after")
    def _is_complete(self) -> "LabelAnswer":
        if not self.clear:
            return self
        if not self.phrase or not self.meaning:
            raise ValueError('"phrase" and "meaning" must not be empty where "clear" is true')
        if not 1 <= len(words(self.phrase)) <= 10:
            raise ValueError('"phrase" must have 2 to 8 words')
        check_words([self.meaning], 4, 40)
        if self.unlike and not self.difference:
            raise ValueError('"difference" must say what sets the action apart from those in "unlike"')
        return self


class _Line(AnswerShape):
    text: Text


def label_request(name: str, names: Sequence[str], *, about: str = "") -> Request:
    """Ask what a class name means.

    Args:
        names: the whole list, ``name`` among them; of more than 400 those that share a word with it come first.
        about: what is known of the list: ``"actions of daily living, filmed in flats"``, or a key to its codes.

    Raises:
        InputError: a name or ``about`` that cannot be sent.
    """
    text = prompt(
        "label_expansion",
        about=quoted_text(about, "about") if about else Marked("nothing is known"),
        names=Marked(", ".join(quoted(each) for each in _nearest(name, names))),
        name=quoted(name),
    )
    return Request(f"label/{name}", text, label_answer(name, names), template="label_expansion")


def expanded_label(name: str, answer: LabelAnswer) -> ExpandedLabel | None:
    """What the answer says; None where the name tells no action: its owner must rename or explain it."""
    if not answer.clear:
        return None
    meaning = f"{answer.meaning} {answer.difference}" if answer.unlike else answer.meaning
    return ExpandedLabel(name, answer.phrase, f"{answer.phrase}: {meaning}", answer.people, tuple(answer.unlike))


def label_answer(name: str, names: Sequence[str]) -> type[LabelAnswer]:
    """The shape of the answer to `label_request`."""
    others = frozenset(names) - {name}

    class ExpectedLabelAnswer(LabelAnswer):
        @field_validator("unlike")
        @classmethod
        def _are_of_the_list(cls, unlike: list[str]) -> list[str]:
            # Names that are not of the list help nobody, and are not worth another question.
            return [each for each in dict.fromkeys(unlike) if each in others][:_MOST_UNLIKE]

    return ExpectedLabelAnswer


def _nearest(name: str, names: Sequence[str]) -> Sequence[str]:
    if len(names) <= _MOST_NAMES:
        return names
    own = set(words(name))
    chosen = set(sorted(names, key=lambda each: (each != name, -len(own & set(words(each)))))[:_MOST_NAMES])
    return [each for each in names if each in chosen]
