"""Short descriptions of a class asked of a model: what the LLM of stage 2 learns to say. Imports pydantic."""

from collections.abc import Sequence

from pydantic import field_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, check_different, check_words, exactly, words
from sugar.authoring.tasks.motion_knowledge import People, meaning_line
from sugar.authoring.tasks.quoting import Marked, prompt, quoted, quoted_texts
from sugar.knowledge.pack import BODY_PARTS

# Asked for are 8 to 16 words; a word or two more or less are not worth another question.
_WORDS = (6, 18)
_MOST_PARTS = 3
_PART_OF = {form: part for part in BODY_PARTS for form in (part, f"{part}s")} | {"feet": "foot"}


class DescriptionsAnswer(AnswerShape):
    """Short sentences about an action."""

    texts: list[Text]


def descriptions_request(
    name: str, motion: Sequence[str], *, count: int = 4, people: People | None = None, meaning: str = ""
) -> Request:
    """Ask for ``count`` short sentences about a class.

    Args:
        motion: the motion texts of the class.
        people: how many take part; None: the motion texts tell.
        meaning: as of `motion_knowledge.motion_request`.

    Raises:
        InputError: a name or text that cannot be sent.
    """
    text = prompt(
        "descriptions",
        action=quoted(name),
        meaning=meaning_line(meaning),
        people=Marked({1: "one", 2: "two"}.get(people or 0, "as the description tells")),
        motion=quoted_texts(motion, f"motion text of {name}"),
        count=count,
    )
    return Request(f"descriptions/{name}", text, descriptions_answer(count), template="descriptions")


def descriptions(answer: DescriptionsAnswer) -> tuple[str, ...]:
    """The descriptions for a pack."""
    return tuple(answer.texts)


def descriptions_answer(count: int) -> type[DescriptionsAnswer]:
    """The shape of the answer to `descriptions_request`."""

    class ExpectedDescriptionsAnswer(DescriptionsAnswer):
        texts: exactly(Text, count)  # type: ignore[valid-type]

        @field_validator("texts")
        @classmethod
        def _fit(cls, texts: list[str]) -> list[str]:
            return check_descriptions(texts)

    return ExpectedDescriptionsAnswer


def check_descriptions(texts: list[str]) -> list[str]:
    """Refuse sentences that are too long or short, that repeat each other, or that go through the body."""
    check_words(texts, *_WORDS)
    check_different(texts)
    for number, text in enumerate(texts, start=1):
        named = {_PART_OF[word] for word in words(text) if word in _PART_OF}
        if len(named) > _MOST_PARTS:
            raise ValueError(
                f"text {number} lists body parts ({', '.join(sorted(named))}): name at most {_MOST_PARTS}, "
                "and tell the movement as a whole"
            )
    return texts
