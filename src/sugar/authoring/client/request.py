"""A request to a model and its reply: the plain types that all providers share."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sugar.errors import one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

MediaType = Literal["image/jpeg", "image/png", "video/mp4"]

_REPAIR = "Your answer was not of the asked shape: {problem}\nAnswer again, with the JSON object and nothing else."


@dataclass(frozen=True)
class Media:
    """An image or a video in a request.

    Args:
        data: the file's bytes.
        media_type: the kind of file.
        origin: its source, for the record: ``"cook.mp4 at 1.20 s"``, ``"a01_s01 frame 12, drawn skeleton"``.
    """

    data: bytes
    media_type: MediaType
    origin: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Request:
    """A prompt whose answer is JSON of a given shape.

    Args:
        item: what the answer is for; unique in a job: ``"motion/drink water"``.
        prompt: the whole prompt as text.
        answer: the shape of the answer; also validates it.
        template: name of the prompt file of the package, for the record.
        media: images in their order, or one video.
    """

    item: str
    prompt: str
    answer: "type[BaseModel]"
    template: str = ""
    media: tuple[Media, ...] = ()

    def key(self, model: Mapping[str, Any]) -> str:
        """SHA-256 of everything that determines the answer: prompt, shape, media, model and its options."""
        content = {
            "prompt": self.prompt,
            "schema": _schema(self.answer),
            "media": [part.digest for part in self.media],
            "model": dict(model),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@lru_cache(maxsize=256)
def _schema(answer: "type[BaseModel]") -> dict[str, Any]:
    return answer.model_json_schema()


@dataclass(frozen=True)
class Reply:
    """The text of a model's reply and its token counts."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Repair:
    """A reply of the wrong shape and the reason; the model is prompted once more with both."""

    text: str
    problem: str


class Unavailable(Exception):  # noqa: N818
    """The server could not answer now (429, 5xx, time-out, connection lost); it may later.

    ``retry_after``: seconds that the server asks to wait, if given.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Declined(Exception):  # noqa: N818
    """The server will never answer this request (400, a content filter, too long), but may answer others.

    ``tokens_in`` and ``tokens_out``: the tokens it counted nevertheless.
    """

    def __init__(self, message: str, tokens_in: int = 0, tokens_out: int = 0) -> None:
        super().__init__(message)
        self.tokens_in, self.tokens_out = tokens_in, tokens_out


class Provider(Protocol):
    """A model that answers requests. A wrong key or an unknown model is an InputError: every request would fail."""

    @property
    def model(self) -> Mapping[str, Any]:
        """Everything that determines its answers, as plain types: the model's name and options; no key, no address."""
        ...

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        """Call the model once, without retries.

        Raises:
            Unavailable, Declined, InputError: see there.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


def conversation(prompt: str, repair: Repair | None) -> list[dict[str, str]]:
    """The turns as ``role`` and ``text``: the prompt, and for a repair the wrong reply and its problem."""
    if repair is None:
        return [{"role": "user", "text": prompt}]
    fix = _REPAIR.format(problem=one_line(repair.problem)[:1000])
    if not repair.text.strip():  # many servers refuse an empty turn
        return [{"role": "user", "text": f"{prompt}\n\n{fix}"}]
    return [
        {"role": "user", "text": prompt},
        {"role": "assistant", "text": repair.text},
        {"role": "user", "text": fix},
    ]
