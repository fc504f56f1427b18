"""What the server of the tests takes for a well-formed question, and what it answers."""

import base64
import binascii
import hashlib
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MAGIC = {"image/jpeg": (0, b"\xff\xd8\xff"), "image/png": (0, b"\x89PNG"), "video/mp4": (4, b"ftyp")}
WORDS = ["arm", "leg", "hand", "foot", "head", "hip", "lifts", "lowers", "bends", "turns", "swings", "holds", "slowly"]


@dataclass
class Asked:
    """A request that was understood, and later what became of it."""

    prompt: str  # all text of the first user message
    model: str
    body: dict[str, Any] = field(repr=False)  # as sent
    repair: str = ""  # the last user message, where it is not the first
    sha256: list[str] = field(default_factory=list)  # of the images, in order
    video_sha256: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    times: int = 0  # how often it had been asked before, with the same pictures
    fault: str = ""
    status: int = 0  # 0: no answer was sent
    text: str = ""
    well: bool = False  # answered without a fault, to a client that was still there
    tokens_in: int = 0
    tokens_out: int = 0
    received: float = 0.0  # time.time()
    finished: float = 0.0

    def entry(self) -> dict[str, Any]:
        """For the record: without the pictures' bytes."""
        plain = {key: value for key, value in asdict(self).items() if key not in ("body", "schema")}
        sent = {key: value for key, value in self.body.items() if key not in ("messages", "response_format")}
        return plain | {"images": len(self.sha256), "videos": len(self.video_sha256), "sent": sent}


@dataclass(frozen=True)
class Said:
    """An answer with more than its text."""

    text: str | None
    finish_reason: str = "stop"
    refusal: str | None = None


@dataclass(frozen=True)
class Failure(Exception):  # noqa: N818
    """An HTTP error."""

    status: int
    message: str = ""
    code: str | None = None
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


Words = dict[str, Any] | str | Said | Failure
Answer = Callable[[Asked], Words | Awaitable[Words]]


def understand(body: Any) -> Asked:
    """Check a request's form as strictly as the strictest servers do; Failure 400 says what is wrong."""
    _need(isinstance(body, dict), "the body must be an object")
    _need(isinstance(body.get("model"), str) and body["model"], "model must be a string", "model")
    messages = body.get("messages")
    _need(isinstance(messages, list) and messages, "messages must be a list", "messages")
    for message in messages:
        _need(isinstance(message, dict) and message.get("role") in ("system", "user", "assistant"), "unknown role")
        _need(bool(message.get("content")), "a message is empty", "messages")
    _need(messages[-1]["role"] == "user", "the last message must be the user's", "messages")
    users = [message for message in messages if message["role"] == "user"]
    asked = Asked(prompt="", model=body["model"], body=body)
    texts = [_content(message["content"], asked) for message in users]
    asked.prompt, asked.repair = texts[0], texts[-1] if len(texts) > 1 else ""
    for name in ("max_tokens", "max_completion_tokens"):
        _need(name not in body or (isinstance(body[name], int) and body[name] > 0), f"bad {name}", name)
    _need(isinstance(body.get("temperature", 0), int | float), "temperature must be a number", "temperature")
    asked.schema = _schema(body.get("response_format"))
    return asked


def _need(holds: Any, message: str, param: str | None = None) -> None:
    if not holds:
        raise Failure(400, message, "invalid_request_error", param)


def _content(content: Any, asked: Asked) -> str:
    if isinstance(content, str):
        return content
    _need(isinstance(content, list), "content must be text or a list of parts", "messages")
    texts = []
    for part in content:
        _need(isinstance(part, dict), "a part must be an object", "messages")
        kind = part.get("type")
        if kind == "text":
            _need(isinstance(part.get("text"), str) and part["text"], "a text part is empty", "messages")
            texts.append(part["text"])
        elif kind == "image_url":
            asked.sha256.append(_digest(part, "image_url", ("image/jpeg", "image/png")))
        elif kind == "video_url":
            asked.video_sha256.append(_digest(part, "video_url", ("video/mp4",)))
        else:
            raise Failure(400, f"unknown part {kind!r}", "invalid_request_error", "messages")
    return "\n".join(texts)


def _digest(part: dict[str, Any], name: str, media_types: Sequence[str]) -> str:
    url = (part.get(name) or {}).get("url")
    _need(isinstance(url, str) and url.startswith("data:"), f"{name} must hold a data URL", "messages")
    head, _, tail = url.partition(";base64,")
    media_type = head.removeprefix("data:")
    _need(media_type in media_types, f"{name}: media type {media_type!r}", "messages")
    try:
        data = base64.b64decode(tail, validate=True)
    except binascii.Error as error:
        raise Failure(400, f"{name}: not base64", "invalid_request_error", "messages") from error
    at, magic = MAGIC[media_type]
    _need(data[at : at + len(magic)] == magic, f"{name}: the bytes are no {media_type}", "messages")
    return hashlib.sha256(data).hexdigest()


def _schema(form: Any) -> dict[str, Any] | None:
    if form is None or form == {"type": "json_object"}:
        return None
    where = "response_format"
    _need(isinstance(form, dict) and form.get("type") == "json_schema", "unknown response_format", where)
    inner = form.get("json_schema")
    _need(isinstance(inner, dict) and isinstance(inner.get("schema"), dict), "no json_schema", where)
    _need(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(inner.get("name"))), "bad name of json_schema", where)
    if inner.get("strict"):
        for node in _nodes(inner["schema"]):
            _check_strict(node)
    return inner["schema"]


def _nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for name in ("properties", "$defs"):
        for child in schema.get(name, {}).values():
            yield from _nodes(child)
    for child in [schema["items"]] if isinstance(schema.get("items"), dict) else []:
        yield from _nodes(child)
    for child in schema.get("anyOf", []):
        yield from _nodes(child)


def _check_strict(node: dict[str, Any]) -> None:
    """The rules of OpenAI's structured outputs."""
    where = "response_format"
    if node.get("type") == "object":
        _need(node.get("additionalProperties") is False, "additionalProperties must be false", where)
        _need(sorted(node.get("required", [])) == sorted(node.get("properties", {})), "all must be required", where)
    _need("$ref" not in node or len(node) == 1, "$ref must stand alone", where)
    for name in ("default", "oneOf", "allOf", "prefixItems", "not", "uniqueItems"):
        _need(name not in node, f"{name} is not permitted", where)


def echo(asked: Asked) -> dict[str, Any] | Failure:
    """An answer of the asked schema (also one that stands in the prompt), drawn from the prompt's hash."""
    schema = asked.schema or _schema_in(asked.prompt)
    if schema is None:
        return Failure(400, "no schema to make an answer of")
    return fabricate(schema, random.Random(f"{asked.prompt}{asked.sha256}"))


def _schema_in(prompt: str) -> dict[str, Any] | None:
    for found in re.finditer(r"\{", prompt):
        try:
            value, _ = json.JSONDecoder().raw_decode(prompt, found.start())
        except ValueError:
            continue
        if "properties" in value:
            return value
    return None


def fabricate(schema: dict[str, Any], draw: random.Random, root: dict[str, Any] | None = None) -> Any:
    """A value that a JSON schema of the kinds pydantic writes takes (``pattern`` is not read)."""
    root = schema if root is None else root
    if "$ref" in schema:
        return fabricate(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], draw, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return fabricate(schema[name][0], draw, root)
    match schema.get("type"):
        case "object":
            return {name: fabricate(child, draw, root) for name, child in schema.get("properties", {}).items()}
        case "array":
            least = schema.get("minItems", 1)
            count = draw.randint(least, max(least, min(schema.get("maxItems", 3), least + 2)))
            return [fabricate(schema.get("items", {}), draw, root) for _ in range(count)]
        case "integer":
            least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            return draw.randint(least, schema.get("maximum", schema.get("exclusiveMaximum", least + 10) - 1))
        case "number":
            return round(draw.uniform(schema.get("minimum", 0.0), schema.get("maximum", 1.0)), 6)
        case "boolean":
            return draw.random() < 0.5
        case "null":
            return None
    text = " ".join(draw.choices(WORDS, k=6))
    while len(text) < schema.get("minLength", 0):
        text += " " + draw.choice(WORDS)
    return text[: schema.get("maxLength", len(text))].strip().ljust(schema.get("minLength", 0), "s")


def scripted(script: dict[str, Any]) -> Answer:
    """The script of the module's docstring as a function."""
    marker = re.compile(script["marker"]) if "marker" in script else None
    patterns = [(re.compile(pattern), answers) for pattern, answers in script.get("patterns", [])]

    def answer(asked: Asked) -> dict[str, Any] | str | Said | Failure:
        found = marker.search(asked.prompt) if marker else None
        answers = script["answers"].get(found[1]) if found else None
        if answers is None:
            answers = next((said for pattern, said in patterns if pattern.search(asked.prompt)), None)
        if answers is None:
            return echo(asked) if script.get("echo") else Failure(400, f"no answer to {asked.prompt[:200]!r}")
        return answers[min(asked.times, len(answers) - 1)] if isinstance(answers, list) else answers

    return answer


def completion(asked: Asked, said: Said) -> bytes:
    """The body of a good HTTP answer."""
    message = {"role": "assistant", "content": said.text, "refusal": said.refusal}
    usage = {"prompt_tokens": asked.tokens_in, "completion_tokens": asked.tokens_out}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": int(asked.received),
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason, "logprobs": None}],
            "usage": usage | {"total_tokens": asked.tokens_in + asked.tokens_out},
        }
    ).encode()
