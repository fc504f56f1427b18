"""From what a model said to an answer of the asked shape."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MOST_OBJECTS = 50
"""Places in a reply at which JSON is looked for; some models say ``{`` for ever."""


class WrongShape(ValueError):  # noqa: N818
    """The reply holds no JSON of the asked shape; the text says what is wrong with it, for the model to fix."""


def read_answer(text: str, shape: "type[BaseModel]") -> dict[str, Any]:
    """The last JSON object of ``shape`` in ``text``; a code fence and words around it are no matter.

    Raises:
        WrongShape: there is none.
    """
    from pydantic import ValidationError

    if not text.strip():
        raise WrongShape("the reply was empty")
    problem = "the reply held no complete JSON object"
    for part in [text, *reversed(list(_objects(text)))]:
        try:
            return shape.model_validate_json(part).model_dump(mode="json")
        except ValidationError as error:
            if part is not text or not _not_json(error):
                problem = _told(error)
    raise WrongShape(problem)


def _objects(text: str) -> Iterator[str]:
    """JSON objects in a text, from the left; not those within others."""
    decoder = json.JSONDecoder()
    end = 0
    for start in islice((i for i, letter in enumerate(text) if letter == "{"), MOST_OBJECTS):
        if start >= end:
            try:
                _, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                continue
            yield text[start:end]


def _not_json(error: "ValidationError") -> bool:
    return error.errors(include_url=False)[0]["type"] == "json_invalid"


def _told(error: "ValidationError", most: int = 5) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, problem['loc'])) or 'the object'}: {problem['msg']}" for problem in problems[:most]]
    return "; ".join(told + [f"and {len(problems) - most} more"] * (len(problems) > most))
