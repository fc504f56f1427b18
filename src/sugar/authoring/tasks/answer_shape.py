"""What the answers to all questions for knowledge have in common: a strict shape, clean texts, texts that differ.

Imports pydantic, as do the modules that ask: import them only where models are asked. Error messages are sent to the
model in the repair question, so they say what to fix.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_LONGEST = 600
_DROPPED = frozenset({"Cc", "Cf", "Cs"})


def _drop_docstring(schema: dict[str, Any]) -> None:
    # A reworded docstring must not change the question, which is known by the hash of its schema.
    schema.pop("description", None)


class AnswerShape(BaseModel):
    """An answer of exactly these fields."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_drop_docstring)


def _clean(text: str) -> str:
    kept = (character for character in " ".join(text.split()) if unicodedata.category(character) not in _DROPPED)
    text = unicodedata.normalize("NFC", "".join(kept)).strip()
    if not text:
        raise ValueError("is empty: write the text")
    if len(text) > _LONGEST:
        raise ValueError(f"has {len(text)} characters: write at most {_LONGEST}")
    return text


Text = Annotated[str, AfterValidator(_clean)]
"""One line, not empty, at most 600 characters, without control or invisible characters."""


def exactly(kind: Any, count: int) -> Any:
    """The type of a list of ``count``."""
    return Annotated[list[kind], Field(min_length=count, max_length=count)]


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in lower case and without punctuation."""
    return tuple(re.findall(r"\w+", text.casefold()))


def check_words(texts: Sequence[str], least: int, most: int) -> None:
    """Refuse texts of fewer or more words; the numbers count from 1."""
    for number, text in enumerate(texts, start=1):
        if not least <= (count := len(words(text))) <= most:
            raise ValueError(f"text {number} has {count} words: write {least} to {most}")


def check_different(texts: Sequence[str]) -> None:
    """Refuse texts that are the same but for case and punctuation."""
    first: dict[tuple[str, ...], int] = {}
    for number, text in enumerate(texts, start=1):
        earlier = first.setdefault(words(text), number)
        if earlier != number:
            raise ValueError(f"text {number} repeats text {earlier}: word it differently")


def distinct_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts without repeats (case and punctuation aside), in their order."""
    first: dict[tuple[str, ...], str] = {}
    for text in texts:
        first.setdefault(words(text), text)
    return tuple(first.values())
