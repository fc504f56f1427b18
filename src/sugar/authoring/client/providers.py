"""Who is asked: an endpoint that speaks OpenAI's chat completions, or a local model (`local_model`).

``openai`` and its HTTP client are imported when the first question is asked.
"""

import asyncio
import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from sugar.authoring.client.request import Declined, Picture, Provider, Repair, Reply, Request, Unavailable
from sugar.errors import InputError

if TYPE_CHECKING:
    import openai
    from pydantic import BaseModel

OPENAI_URL = "https://api.openai.com/v1"

_REPAIR = "Your answer was not of the asked shape: {problem}\nAnswer again, with the JSON object and nothing else."
_SCHEMA = "{prompt}\n\nAnswer with one JSON object and nothing else. It follows this JSON schema:\n{schema}"
_SHORTEST_SECRET = 8
"""Shorter keys are placeholders of local servers (``EMPTY``), and words of answers may equal them."""
_LATER = {408, 409, 425, 429}
_WRONG_FOR_ALL = {"model_not_found", "unsupported_parameter", "unsupported_value", "invalid_json_schema"}


@dataclass(frozen=True)
class ProviderConfig:
    """Which model is asked, and how."""

    kind: Literal["openai", "transformers"] = "openai"
    """`openai`: an endpoint that speaks OpenAI's chat completions (hosted, vLLM, ...); `transformers`: a model that is
    run in this process."""
    name: str = ""
    """The model, by the name that the endpoint has for it; for `transformers` a folder or a Hugging Face id."""
    revision: str | None = None
    """For `transformers`: branch, tag or commit of a Hugging Face id."""
    base_url: str | None = None
    """Address of the endpoint, mostly ending in `/v1`; default: `OPENAI_BASE_URL`, else OpenAI's own."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a server of your own may need none."""
    timeout: float = 60.0
    """Seconds until a question counts as not answered."""
    max_tokens: int = 4096
    """Longest answer, in tokens; a longer one is cut by the server and recorded as a failure."""
    temperature: float | None = None
    """Spread of the answers; default: the endpoint's own, greedy for `transformers`."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further fields of each question, such as `{top_p: 0.9}`; for `transformers` arguments of `generate`."""
    json_mode: Literal["schema", "object", "none"] = "schema"
    """What the endpoint can be held to: a JSON schema, any JSON object, or nothing; the last two put the schema into
    the question."""
    video: bool = False
    """The endpoint takes videos, as content parts `video_url` (vLLM, SGLang)."""


def from_config(config: ProviderConfig) -> Provider:
    """The provider that ``config`` describes; nothing is loaded and nobody is asked yet.

    Raises:
        InputError: no model is named, a number is out of range, or the address or the key cannot be used.
    """
    if not config.name:
        raise InputError("provider.name: no model named; give the name that the endpoint has for it")
    if config.max_tokens < 1 or config.timeout <= 0 or (config.temperature or 0) < 0:
        raise InputError("provider: max_tokens and timeout must be above 0, and temperature not below it")
    if config.kind == "transformers":
        from sugar.authoring.client.local_model import TransformersProvider

        return TransformersProvider(config)
    return OpenAIProvider(config)


class OpenAIProvider:
    """Asks an endpoint by the ``openai`` client; it retries nothing, and sets no limit to connections."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self._base_url = _checked_url(config.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
        self._key = _read_key(config.key_env, needed=self._base_url == OPENAI_URL)
        if config.revision is not None:
            raise InputError("provider.revision: belongs to kind transformers; leave it out")
        if self._redacted(sent := json.dumps(config.extra_body)) != sent:
            raise InputError(f"provider.extra_body: holds the key; it belongs in the variable {config.key_env} alone")

    def __repr__(self) -> str:
        return f"OpenAIProvider({self.config.name} at {self._base_url})"

    @property
    def model(self) -> Mapping[str, Any]:
        config = self.config
        return {
            "kind": config.kind,
            "name": config.name,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "extra_body": config.extra_body,
            "json_mode": config.json_mode,
        }

    @cached_property
    def _client(self) -> "openai.AsyncOpenAI":
        import httpx2
        import openai

        # How many questions are under way is the asker's choice; by default connections above 100 are not kept.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        http_client = openai.DefaultAsyncHttpxClient(limits=limits, timeout=self.config.timeout)
        return openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._base_url,
            max_retries=0,
            timeout=self.config.timeout,
            http_client=http_client,
        )

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        """Ask once.

        Raises:
            Unavailable: no answer now: 408, 409, 425, 429, 5xx, a time-out, a lost connection, no chat completion.
            Declined: no answer ever: other 4xx, a refusal, a content filter, an answer cut at ``max_tokens``.
            InputError: no question can be answered: key, model, quota, or an option that the endpoint does not take.
        """
        import httpx2
        import openai

        if not self.config.video and any(picture.media_type == "video/mp4" for picture in request.pictures):
            raise InputError(f"{request.item}: is a video; set provider.video if the endpoint takes videos")
        try:
            # The client's own time-out is one for each wait: a server that trickles would never end.
            async with asyncio.timeout(self.config.timeout):
                # As chat.completions.create does, without its walk over the question's types: a fifth of the work.
                question = self._question(request, repair)
                answer = await self._client.post("/chat/completions", cast_to=httpx2.Response, body=question)
        except (openai.APITimeoutError, TimeoutError):
            failure: Exception = Unavailable(f"no answer within {self.config.timeout:g} s")
        except openai.APIConnectionError as error:
            failure = Unavailable(f"no connection: {self._line(error.__cause__ or error)}")
        except openai.APIStatusError as error:
            failure = self._status_failure(error)
        else:
            return self._read(answer.text)
        raise failure  # outside of the except block: the client's error holds the request, and that the key

    async def close(self) -> None:
        """Close the connections; a later question opens new ones."""
        if client := self.__dict__.pop("_client", None):
            await client.close()

    def _question(self, request: Request, repair: Repair | None) -> dict[str, Any]:
        config = self.config
        schema = json_schema(request.answer)
        text = request.prompt if config.json_mode == "schema" else schema_prompt(request)
        # The newer name is the only one that OpenAI's reasoning models take, and unknown to some servers.
        limit = "max_completion_tokens" if self._base_url == OPENAI_URL else "max_tokens"
        question: dict[str, Any] = {
            "model": config.name,
            "messages": [
                {"role": turn["role"], "content": _content(turn["text"], () if number else request.pictures)}
                for number, turn in enumerate(turns(text, repair))
            ],
            limit: config.max_tokens,
        }
        if config.temperature is not None:
            question["temperature"] = config.temperature
        if config.json_mode == "schema":
            name = re.sub(r"[^A-Za-z0-9_-]", "_", request.answer.__name__)[:64]
            inner = {"name": name, "schema": schema, "strict": True}
            question["response_format"] = {"type": "json_schema", "json_schema": inner}
        elif config.json_mode == "object":
            question["response_format"] = {"type": "json_object"}
        return question | config.extra_body

    def _status_failure(self, error: "openai.APIStatusError") -> Exception:
        """Which of the three failures an HTTP error is."""
        status = error.status_code
        said = self._line(error.body.get("message") if isinstance(error.body, dict) else error.message)
        if error.code == "insufficient_quota" or status == 402:
            return InputError(f"{self._base_url}: the account has no credit left; {said}")
        if status >= 500 or status in _LATER:
            return Unavailable(f"status {status}: {said}", _retry_after(error.response.headers))
        if status in (401, 403):  # what the server says may hold the key, whole or in part
            key = f"the key in {self.config.key_env}" if self._key else f"no key, for {self.config.key_env} is not set"
            why = f" ({self._line(error.code)})" if error.code else ""
            return InputError(f"{self._base_url}: status {status}{why}, access denied with {key}; set another one")
        if status == 404:
            return InputError(f"{self._base_url}: no model {self.config.name!r} or no such address; {said}")
        # Else every single question would fail for what is set once for all.
        if error.param == "response_format" or "response_format" in said:
            return InputError(f"{self._base_url}: does not take json_mode {self.config.json_mode}; {said}")
        if error.param == "model" or error.code in _WRONG_FOR_ALL:
            return InputError(f"{self._base_url}: does not take the question as set; {said}")
        return Declined(f"status {status}: {said}")

    def _read(self, body: str) -> Reply:
        """The text of a chat completion, which some servers send with status 200 when they have none."""
        completion = _parsed(body)
        if completion is None:
            raise Unavailable(f"no chat completion: {self._line(body)}")
        if completion.refusal or completion.reason == "content_filter":
            said = f"refused: {self._line(completion.refusal or completion.reason)}"
            raise Declined(said, completion.tokens_in, completion.tokens_out)
        if completion.reason == "length":
            said = f"the answer was cut at {self.config.max_tokens} tokens; raise provider.max_tokens"
            raise Declined(said, completion.tokens_in, completion.tokens_out)
        return Reply(self._redacted(completion.text), completion.tokens_in, completion.tokens_out)

    def _line(self, said: object) -> str:
        """A server's words, for messages: one short line without the key."""
        return self._redacted(one_line(said))[:200]

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if len(self._key) >= _SHORTEST_SECRET else text


@dataclass(frozen=True)
class _Completion:
    text: str
    refusal: str
    reason: str
    tokens_in: int
    tokens_out: int


def _parsed(body: str) -> _Completion | None:
    """What is read of a chat completion; None where there is none."""
    try:
        completion = json.loads(body)
        choice, usage = completion["choices"][0], completion.get("usage") or {}
        message = choice["message"]
        return _Completion(
            text=str(message.get("content") or ""),
            refusal=str(message.get("refusal") or ""),
            reason=str(choice.get("finish_reason")),
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def turns(text: str, repair: Repair | None) -> list[dict[str, str]]:
    """The conversation as ``role`` and ``text``: the question, and where it is to be fixed the answer and why."""
    if repair is None:
        return [{"role": "user", "text": text}]
    fix = _REPAIR.format(problem=one_line(repair.problem)[:1000])
    if not repair.text.strip():  # many servers refuse an empty turn
        return [{"role": "user", "text": f"{text}\n\n{fix}"}]
    return [
        {"role": "user", "text": text},
        {"role": "assistant", "text": repair.text},
        {"role": "user", "text": fix},
    ]


def schema_prompt(request: Request) -> str:
    """The question with its schema in words, for whoever cannot be held to a schema."""
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


def _content(text: str, pictures: tuple[Picture, ...]) -> str | list[dict[str, Any]]:
    if not pictures:
        return text
    parts: list[dict[str, Any]] = []
    for picture in pictures:
        kind = "video_url" if picture.media_type == "video/mp4" else "image_url"
        data = base64.b64encode(picture.data).decode()
        parts.append({"type": kind, kind: {"url": f"data:{picture.media_type};base64,{data}"}})
    return [*parts, {"type": "text", "text": text}]


def _checked_url(url: str) -> str:
    """The address without a trailing slash; one with a secret in it is refused, and not repeated."""
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None or parts.query or parts.fragment
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise InputError("provider.base_url: not an address; give one such as http://localhost:8000/v1") from None
    if secret or "@" in url:
        raise InputError("provider.base_url: leave out user, password and what follows '?'; the key goes by key_env")
    if not usable:
        raise InputError(f"provider.base_url: {url!r} is no address; give one such as http://localhost:8000/v1")
    return url.rstrip("/")


def _read_key(variable: str, *, needed: bool) -> str:
    """The key from the environment, "" where there is none."""
    key = os.environ.get(variable, "").strip()
    if needed and not key:
        raise InputError(f"provider: set the environment variable {variable} to your key, or base_url to a server")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(f"environment variable {variable}: holds characters that no key has; set it anew")
    return key


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date in its place is not read: the back-off serves as well."""
    try:
        seconds = float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        try:
            seconds = float(headers.get("retry-after", ""))
        except ValueError:
            return None
    return seconds if 0 <= seconds < float("inf") else None


def one_line(said: object) -> str:
    """All printable text on one line."""
    return "".join(character for character in " ".join(str(said).split()) if character.isprintable())
