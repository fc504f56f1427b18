"""Providers: an endpoint with OpenAI's chat completions here, a model in this process in `local_model`.

``openai`` and its HTTP client are imported at the first call.
"""

import asyncio
import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sugar.authoring.client.answers import json_schema, schema_prompt
from sugar.authoring.client.config import ProviderConfig
from sugar.authoring.client.request import (
    Declined,
    Media,
    Provider,
    Repair,
    Reply,
    Request,
    Unavailable,
    conversation,
)
from sugar.errors import InputError, one_line

if TYPE_CHECKING:
    import openai

OPENAI_URL = "https://api.openai.com/v1"

_SHORTEST_SECRET = 8
"""Shorter keys are placeholders of local servers (``EMPTY``), and words of answers may equal them."""
_LATER = {408, 409, 425, 429}
_WRONG_FOR_ALL = {"model_not_found", "unsupported_parameter", "unsupported_value", "invalid_json_schema"}


def load_provider(config: ProviderConfig) -> Provider:
    """Return the provider that ``config`` describes; the first call loads or connects to the model.

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
    """An endpoint called through the ``openai`` client, without retries and without a limit on connections."""

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

        # The job limits concurrency; by default the client would not keep more than 100 connections.
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
        """Call the endpoint once.

        Raises:
            Unavailable: no answer now: 408, 409, 425, 429, 5xx, a time-out, a lost connection, no chat completion.
            Declined: no answer ever: other 4xx, a refusal, a content filter, an answer cut at ``max_tokens``.
            InputError: no request can be answered: key, model, quota, or an option that the endpoint does not take.
        """
        import httpx2
        import openai

        if not self.config.video and any(part.media_type == "video/mp4" for part in request.media):
            raise InputError(f"{request.item}: is a video; set provider.video if the endpoint takes videos")
        try:
            # The client's own time-out restarts at every byte: a server that trickles would never end.
            async with asyncio.timeout(self.config.timeout):
                # As chat.completions.create does, without its walk over the body's types: a fifth of the work.
                body = self._body(request, repair)
                answer = await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body)
        except (openai.APITimeoutError, TimeoutError):
            failure: Exception = Unavailable(f"no answer within {self.config.timeout:g} s")
        except openai.APIConnectionError as error:
            failure = Unavailable(f"no connection: {self._line(error.__cause__ or error)}")
        except openai.APIStatusError as error:
            failure = self._status_failure(error)
        else:
            return self._read(answer.text)
        raise failure  # outside of the except block: the client's error holds the request with the key

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if client := self.__dict__.pop("_client", None):
            await client.close()

    def _body(self, request: Request, repair: Repair | None) -> dict[str, Any]:
        config = self.config
        schema = json_schema(request.answer)
        text = request.prompt if config.json_mode == "schema" else schema_prompt(request)
        # OpenAI's reasoning models take the newer name only, and some servers the older one only.
        limit = "max_completion_tokens" if self._base_url == OPENAI_URL else "max_tokens"
        body: dict[str, Any] = {
            "model": config.name,
            "messages": [
                {"role": turn["role"], "content": _content(turn["text"], () if number else request.media)}
                for number, turn in enumerate(conversation(text, repair))
            ],
            limit: config.max_tokens,
        }
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if config.json_mode == "schema":
            name = re.sub(r"[^A-Za-z0-9_-]", "_", request.answer.__name__)[:64]
            inner = {"name": name, "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": inner}
        elif config.json_mode == "object":
            body["response_format"] = {"type": "json_object"}
        return body | config.extra_body

    def _status_failure(self, error: "openai.APIStatusError") -> Exception:
        """Turn an HTTP error into one of the three failures."""
        status = error.status_code
        message = self._line(error.body.get("message") if isinstance(error.body, dict) else error.message)
        if error.code == "insufficient_quota" or status == 402:
            return InputError(f"{self._base_url}: the account has no credit left; {message}")
        if status >= 500 or status in _LATER:
            return Unavailable(f"status {status}: {message}", _retry_after(error.response.headers))
        if status in (401, 403):  # the server's message may hold the key, whole or in part
            key = f"the key in {self.config.key_env}" if self._key else f"no key, for {self.config.key_env} is not set"
            why = f" ({self._line(error.code)})" if error.code else ""
            return InputError(f"{self._base_url}: status {status}{why}, access denied with {key}; set another one")
        if status == 404:
            return InputError(f"{self._base_url}: no model {self.config.name!r} or no such address; {message}")
        # A setting of the whole job is wrong: every request would fail.
        if error.param == "response_format" or "response_format" in message:
            return InputError(f"{self._base_url}: does not take json_mode {self.config.json_mode}; {message}")
        if error.param == "model" or error.code in _WRONG_FOR_ALL:
            return InputError(f"{self._base_url}: does not take the question as set; {message}")
        return Declined(f"status {status}: {message}")

    def _read(self, body: str) -> Reply:
        """Parse a chat completion; some servers send an error with status 200 in its place."""
        completion = _parsed(body)
        if completion is None:
            raise Unavailable(f"no chat completion: {self._line(body)}")
        if completion.refusal or completion.reason == "content_filter":
            message = f"refused: {self._line(completion.refusal or completion.reason)}"
            raise Declined(message, completion.tokens_in, completion.tokens_out)
        if completion.reason == "length":
            message = f"the answer was cut at {self.config.max_tokens} tokens; raise provider.max_tokens"
            raise Declined(message, completion.tokens_in, completion.tokens_out)
        return Reply(self._redacted(completion.text), completion.tokens_in, completion.tokens_out)

    def _line(self, text: object) -> str:
        """One short line of a server's message without the key."""
        return self._redacted(one_line(text))[:200]

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
    """The parts of a chat completion; None if the body is not one."""
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


def _content(text: str, media: tuple[Media, ...]) -> str | list[dict[str, Any]]:
    if not media:
        return text
    parts: list[dict[str, Any]] = []
    for part in media:
        kind = "video_url" if part.media_type == "video/mp4" else "image_url"
        data = base64.b64encode(part.data).decode()
        parts.append({"type": kind, kind: {"url": f"data:{part.media_type};base64,{data}"}})
    return [*parts, {"type": "text", "text": text}]


def _checked_url(url: str) -> str:
    """Return the address without a trailing slash; refuse one that contains a secret, without repeating it."""
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
    """Read the key from the environment, "" if there is none."""
    key = os.environ.get(variable, "").strip()
    if needed and not key:
        raise InputError(f"provider: set the environment variable {variable} to your key, or base_url to a server")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(f"environment variable {variable}: holds characters that no key has; set it anew")
    return key


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait; None for a date, which the back-off covers."""
    try:
        seconds = float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        try:
            seconds = float(headers.get("retry-after", ""))
        except ValueError:
            return None
    return seconds if 0 <= seconds < float("inf") else None
