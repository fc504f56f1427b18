"""JSON answers: the schema that a request states, and parsing and validating a reply."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from sugar.authoring.client.request import Request

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

MOST_OBJECTS = 50
"""Opening braces of a reply that are tried; some models repeat ``{`` without end."""

_SCHEMA = "{prompt}\n\nAnswer with one JSON object and nothing else. It follows this JSON schema:\n{schema}"


class WrongShape(ValueError):  # noqa: N818
    """The reply holds no JSON of the requested shape; the message names the problem, for the model to fix."""


def schema_prompt(request: Request) -> str:
    """The prompt with its schema in words, for models that cannot be held to a schema."""
    schema = json.dumps(json_schema(request.answer), ensure_ascii=False)
    return _SCHEMA.format(prompt=request.prompt, schema=schema)


@lru_cache(maxsize=64)
def json_schema(answer: "type[BaseModel]") -> dict[str, Any]:
    """The JSON schema of ``answer`` as strict structured outputs want it: closed objects, all fields required.

    Titles and defaults are left out, and a ``$ref`` with siblings is resolved.
    Source: https://platform.openai.com/docs/guides/structured-outputs (supported schemas).
    """
    schema = answer.model_json_schema()
    return _strict(schema, schema)


def _strict(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node and len(node) > 1:
        node = root["$defs"][node["$ref"].rsplit("/", 1)[-1]] | {k: v for k, v in node.items() if k != "$ref"}
    strict = {key: value for key, value in node.items() if key not in ("title", "default")}
    for key in ("properties", "$defs"):
        if key in strict:
            strict[key] = {name: _strict(child, root) for name, child in strict[key].items()}
    if "properties" in strict:
        strict |= {"additionalProperties": False, "required": list(strict["properties"])}
    if isinstance(strict.get("items"), dict):
        strict["items"] = _strict(strict["items"], root)
    if "anyOf" in strict:
        strict["anyOf"] = [_strict(child, root) for child in strict["anyOf"]]
    return strict


def read_answer(text: str, shape: "type[BaseModel]") -> dict[str, Any]:
    """Return the last JSON object of ``shape`` in ``text``, ignoring code fences and words around it.

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
                problem = _problems(error)
    raise WrongShape(problem)


def _objects(text: str) -> Iterator[str]:
    """The outermost JSON objects in a text, from the left."""
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


def _problems(error: "ValidationError", most: int = 5) -> str:
    """The first ``most`` problems in one line."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, problem['loc'])) or 'the object'}: {problem['msg']}" for problem in problems[:most]]
    return "; ".join(lines + [f"and {len(problems) - most} more"] * (len(problems) > most))
