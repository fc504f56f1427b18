"""What is asked of a model, and what comes back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel

MediaType = Literal["image/jpeg", "image/png", "video/mp4"]


@dataclass(frozen=True)
class Picture:
    """An image or a video that goes with a question.

    Args:
        data: the file's bytes.
        media_type: what kind of file it is.
        origin: where it comes from, for the record: ``"cook.mp4 at 1.20 s"``, ``"a01_s01 frame 12, drawn skeleton"``.
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
    """One question that is answered by JSON of a given shape.

    Args:
        item: what the answer is for; unique in a job: ``"motion/drink water"``.
        prompt: the whole question as text.
        answer: the shape of the answer; also checks it.
        template: which prompt file of the package it was made from, for the record.
        pictures: images in their order, or one video.
    """

    item: str
    prompt: str
    answer: "type[BaseModel]"
    template: str = ""
    pictures: tuple[Picture, ...] = ()

    def key(self, model: Mapping[str, Any]) -> str:
        """SHA-256 of all that decides the answer: prompt, shape, pictures, model and its options."""
        content = {
            "prompt": self.prompt,
            "schema": _schema(self.answer),
            "pictures": [picture.digest for picture in self.pictures],
            "model": dict(model),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@lru_cache(maxsize=256)
def _schema(answer: "type[BaseModel]") -> dict[str, Any]:
    return answer.model_json_schema()


@dataclass(frozen=True)
class Reply:
    """What a model said, and what it counted."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Repair:
    """A reply that was not of the asked shape, and why: the model is asked once more."""

    text: str
    problem: str


class Unavailable(Exception):  # noqa: N818
    """The server could not answer now (429, 5xx, time-out, connection lost); it may later.

    ``retry_after``: seconds that the server asks to wait, if it says so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Declined(Exception):  # noqa: N818
    """The server will never answer this question (400, a content filter, too long), but may answer others.

    ``tokens_in`` and ``tokens_out``: what it counted all the same.
    """

    def __init__(self, message: str, tokens_in: int = 0, tokens_out: int = 0) -> None:
        super().__init__(message)
        self.tokens_in, self.tokens_out = tokens_in, tokens_out


class Provider(Protocol):
    """Who answers. A wrong key or an unknown model is an InputError: no question will be answered."""

    @property
    def model(self) -> Mapping[str, Any]:
        """All that decides its answers, as plain types: the model's name and options; no key, no address."""
        ...

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        """Ask once; no retries here.

        Raises:
            Unavailable, Declined, InputError: see there.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
