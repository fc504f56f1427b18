"""Providers against a real server: the wire format, every failure, and keys that are told to nobody."""

import asyncio
import dataclasses
import hashlib
import json
import logging
import random
import struct
import traceback
import zlib
from collections.abc import Sequence
from typing import Literal

import pytest
from answering_script import Asked, Failure, Said, fabricate
from answering_server import AnsweringServer, Faults
from pydantic import BaseModel, ConfigDict, Field

from sugar.authoring.client.answers import json_schema
from sugar.authoring.client.config import ProviderConfig
from sugar.authoring.client.providers import OpenAIProvider, load_provider
from sugar.authoring.client.request import Declined, Media, Repair, Reply, Request, Unavailable
from sugar.config import parse_config
from sugar.errors import InputError

KEY = "sk-secret-0123456789abcdef"


class Step(BaseModel):
    """One part of a movement."""

    model_config = ConfigDict(extra="forbid")
    part: Literal["arm", "leg"] = "arm"
    times: int = Field(ge=1, le=3)


class Movement(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=3)
    title: str | None = None
    first: Step = Field(description="the first step")
    steps: list[Step] = Field(min_length=2, max_length=4)


STEP = {"part": "leg", "times": 2}
GOOD = {"text": "arm lifts", "title": None, "first": STEP, "steps": [STEP, STEP]}


def png(shade: int) -> bytes:
    """A PNG of one gray pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes([0, shade]))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


QUESTION = Request(item="motion/drink", prompt="How does one drink?", answer=Movement)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known key, no endpoint but the test's, and no proxy between."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(server: AnsweringServer, request: Request = QUESTION, repair: Repair | None = None, **options) -> Reply:
    config = ProviderConfig(name="m", base_url=server.base_url, **({"timeout": 20.0} | options))
    return asyncio.run(ask_all(load_provider(config), [request], repair))[0]


async def ask_all(provider, requests: Sequence[Request], repair: Repair | None = None) -> list[Reply]:
    try:
        return await asyncio.gather(*(provider.ask(request, repair) for request in requests))
    finally:
        await provider.close()


def says(said) -> AnsweringServer:
    return AnsweringServer(lambda asked: said, key=KEY)


# --- good answers ------------------------------------------------------------------------------------------------


def test_a_question_and_its_answer_in_the_wire_format():
    with says(GOOD) as server:
        reply = ask(server, temperature=0.5, extra_body={"top_k": 7}, max_tokens=99)
        (record,) = server.record()
    assert Movement.model_validate_json(reply.text).steps[0].times == 2
    assert (reply.tokens_in, reply.tokens_out) == (record["tokens_in"], record["tokens_out"]) != (0, 0)
    assert record["prompt"] == QUESTION.prompt
    assert record["sent"] == {"model": "m", "temperature": 0.5, "top_k": 7, "max_tokens": 99}
    assert record["well"]


def test_no_temperature_and_no_key_where_none_is_set(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with AnsweringServer(lambda asked: GOOD) as server:
        ask(server)
        assert "temperature" not in server.record()[0]["sent"]


def test_images_arrive_in_order_and_whole():
    images = [png(shade) for shade in range(5)]
    pictures = tuple(Media(data, "image/png", "made") for data in images)
    with says(GOOD) as server:
        ask(server, dataclasses.replace(QUESTION, media=pictures))
        (record,) = server.record()
    assert record["sha256"] == [hashlib.sha256(data).hexdigest() for data in images]
    assert (record["images"], record["videos"], record["prompt"]) == (5, 0, QUESTION.prompt)


def test_a_video_goes_where_the_endpoint_takes_it():
    data = b"\x00\x00\x00\x18ftypisom" + bytes(1000)
    request = dataclasses.replace(QUESTION, media=(Media(data, "video/mp4", "made"),))
    with says(GOOD) as server:
        with pytest.raises(InputError, match=r"provider\.video"):
            ask(server, request)
        ask(server, request, video=True)
        (record,) = server.record()
    assert record["video_sha256"] == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize("mode", ["object", "none"])
def test_without_schema_support_the_schema_is_in_the_prompt(mode):
    seen: list[Asked] = []
    with AnsweringServer(lambda asked: seen.append(asked) or GOOD) as server:
        ask(server, json_mode=mode)
    assert json.dumps(json_schema(Movement)) in seen[0].prompt
    assert seen[0].prompt.startswith(QUESTION.prompt)
    assert seen[0].body.get("response_format") == ({"type": "json_object"} if mode == "object" else None)


def test_the_schema_is_strict_and_means_the_same():
    schema = json_schema(Movement)
    assert schema["required"] == ["text", "title", "first", "steps"]  # a field may be called title
    assert schema["properties"]["first"]["required"] == ["part", "times"]
    for seed in range(50):
        Movement.model_validate(fabricate(schema, random.Random(seed)))


def test_the_repair_question_holds_the_answer_and_what_is_wrong():
    seen: list[Asked] = []
    with AnsweringServer(lambda asked: seen.append(asked) or GOOD) as server:
        ask(server, repair=Repair('{"text": 1}', "text: should be\na string"))
        ask(server, repair=Repair("", "nothing was said"))
    roles = [[message["role"] for message in asked.body["messages"]] for asked in seen]
    assert roles == [["user", "assistant", "user"], ["user"]]
    assert seen[0].body["messages"][1]["content"] == '{"text": 1}'
    assert "text: should be a string" in seen[0].repair
    assert "nothing was said" in seen[1].prompt


def test_empty_text_is_an_answer():
    with says("") as server:
        assert ask(server).text == ""
    with says(Said(None)) as server:
        assert ask(server).text == ""


# --- failures ----------------------------------------------------------------------------------------------------

LATER = [
    (Failure(429, "slow down", headers=(("Retry-After", "2.5"),)), 2.5),
    (Failure(429, "slow down", headers=(("retry-after-ms", "20"), ("Retry-After", "1"))), 0.02),
    (Failure(503, "busy", headers=(("Retry-After", "Wed, 21 Oct 2099 07:28:00 GMT"),)), None),
    (Failure(500, "broke"), None),
    (Failure(408, "slow"), None),
]


@pytest.mark.parametrize(("failure", "wait"), LATER, ids=lambda value: str(getattr(value, "status", "")))
def test_what_may_pass_is_unavailable(failure, wait):
    with says(failure) as server:
        with pytest.raises(Unavailable, match=f"{failure.status}.*{failure.message}") as caught:
            ask(server)
        assert len(server.record()) == 1  # nothing is retried here
    assert caught.value.retry_after == wait


@pytest.mark.parametrize("kind", ["cut_before", "cut_within", "stall", "page"])
def test_lost_connections_stalls_and_web_pages_are_unavailable(kind):
    with (
        AnsweringServer(faults=Faults(1.0, kinds=(kind,))) as server,
        pytest.raises(Unavailable, match={"stall": r"within 0\.5 s", "page": "Bad gateway"}.get(kind, "no connection")),
    ):
        ask(server, timeout=0.5 if kind == "stall" else 20.0)


def test_a_server_that_trickles_is_timed_out():
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.05)

    async def main() -> None:
        server = await asyncio.start_server(trickle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        provider = OpenAIProvider(ProviderConfig(name="m", base_url=f"http://127.0.0.1:{port}/v1", timeout=0.5))
        with pytest.raises(Unavailable, match=r"within 0\.5 s"):
            await ask_all(provider, [QUESTION])
        server.close()

    asyncio.run(main())


def test_nobody_there_is_unavailable():
    with AnsweringServer() as server:
        pass
    with pytest.raises(Unavailable, match="no connection"):
        ask(server)


NEVER = [
    (Failure(400, "too many tokens in this question"), "400: too many tokens"),
    (Failure(422, "cannot be read"), "422"),
    (Failure(413, "too large"), "413"),
    (Said('{"text": "arm', "length"), "raise provider.max_tokens"),
    (Said("", "content_filter"), "content_filter"),
    (Said(None, refusal="I do not\ndescribe that."), "I do not describe that"),
]


@pytest.mark.parametrize(("said", "message"), NEVER, ids=[message for _, message in NEVER])
def test_what_will_not_pass_is_declined(said, message):
    with says(said) as server, pytest.raises(Declined, match=message):
        ask(server)


FOR_ALL = [
    (Failure(403, "not for you", "unsupported_country"), "unsupported_country"),
    (Failure(404, "no model m"), "no model 'm'"),
    (Failure(402, "pay"), "no credit"),
    (Failure(429, "pay", "insufficient_quota"), "no credit"),
    (Failure(400, "unknown model", "model_not_found"), "unknown model"),
    (Failure(400, "use max_completion_tokens", "unsupported_parameter", "max_tokens"), "max_completion_tokens"),
    (Failure(400, "no such type", None, "response_format"), "json_mode schema"),
    (Failure(422, "Unused fields: {'response_format'}"), "json_mode schema"),
]


@pytest.mark.parametrize(("failure", "message"), FOR_ALL, ids=lambda value: getattr(value, "message", ""))
def test_what_no_question_can_pass_is_the_users_to_mend(failure, message):
    with says(failure) as server, pytest.raises(InputError, match=message) as caught:
        ask(server)
    assert "\n" not in str(caught.value)


def test_an_unknown_model():
    with AnsweringServer(model="other") as server, pytest.raises(InputError, match=r"no model 'm'.*does not exist"):
        ask(server)


async def outcome_of(provider: OpenAIProvider) -> Reply | BaseException:
    (outcome,) = await asyncio.gather(provider.ask(QUESTION), return_exceptions=True)
    await provider.close()
    return outcome


# --- keys --------------------------------------------------------------------------------------------------------


def test_a_wrong_key_names_the_variable():
    with AnsweringServer(key="another") as server, pytest.raises(InputError, match="the key in OPENAI_API_KEY"):
        ask(server)


@pytest.mark.parametrize(
    "said",
    [Failure(status, f"{'x' * 185} Bearer {KEY}", KEY) for status in (400, 401, 403, 404, 422, 429, 500)]
    + [Said(None, refusal=f"not with {KEY}"), Failure(400, f"{KEY[:9]}\0{KEY[9:]}"), Said(f'{{"key": "{KEY}"}}')],
    ids=str,
)
def test_the_key_is_told_to_nobody(said, caplog, capfd):
    """Not in messages, tracebacks, the chain of errors, or logs at the finest level, even when the server echoes it."""
    caplog.set_level(logging.DEBUG)
    with says(said) as server:
        provider = load_provider(ProviderConfig(name="m", base_url=server.base_url, timeout=20))
        outcome = asyncio.run(outcome_of(provider))
        assert server.record()[0]["status"] > 0  # the key was taken
    told = outcome.text if isinstance(outcome, Reply) else "".join(traceback.format_exception(outcome)) + repr(outcome)
    if isinstance(outcome, Exception):
        assert outcome.__context__ is None  # the client's error holds the request with its headers
    told += repr(provider) + repr(provider.config) + json.dumps(dict(provider.model)) + caplog.text
    told += "".join(str(vars(record)) for record in caplog.records) + "".join(capfd.readouterr())
    assert KEY not in told
    assert KEY[:9] not in told
    assert "HTTP" in caplog.text  # the client did log


@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("url", ["http://me:hidden@host/v1", "http://host/v1?key=hidden", "http://hidden@host:x/v1"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(url, variable, monkeypatch):
    if variable:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match="base_url") as caught:
        load_provider(ProviderConfig(name="m", base_url=None if variable else url))
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_what_cannot_be_asked_is_refused_before_anybody_is_asked(monkeypatch):
    url = "http://127.0.0.1:1/v1"
    refused = [
        ({"name": ""}, "no model named"),
        ({"max_tokens": 0}, "above 0"),
        ({"base_url": "localhost:8000"}, "no address"),
        ({"revision": "main"}, "transformers"),
        ({"extra_body": {"key": KEY}}, "holds the key"),
    ]
    for options, message in refused:
        with pytest.raises(InputError, match=message):
            load_provider(ProviderConfig(**({"name": "m", "base_url": url} | options)))
    monkeypatch.setenv("OTHER_KEY", "sk-1234567890\u00e9")
    with pytest.raises(InputError, match="OTHER_KEY: holds") as caught:
        load_provider(ProviderConfig(name="m", base_url=url, key_env="OTHER_KEY"))
    assert "1234567890" not in str(caught.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="set the environment variable OPENAI_API_KEY"):
        load_provider(ProviderConfig(name="m"))


def test_the_identity_is_all_that_decides_an_answer_and_no_more():
    def key(**options) -> str:
        return QUESTION.key(load_provider(ProviderConfig(**({"name": "m", "base_url": "http://a/v1"} | options))).model)

    assert key() == key(base_url="http://b/v1") == key(timeout=1.0) == key(key_env="OTHER")
    changes = [{"name": "n"}, {"temperature": 0.0}, {"max_tokens": 5}, {"extra_body": {"a": 1}}, {"json_mode": "none"}]
    assert len({key(), *(key(**change) for change in changes)}) == 1 + len(changes)


def test_flags():
    arguments = ["--kind", "transformers", "--extra_body", '{"top_p": 0.9}', "--temperature", "0.2"]
    config, _ = parse_config(ProviderConfig, {"name": "m"}, where="f.yaml", arguments=arguments)
    assert config == ProviderConfig("transformers", "m", temperature=0.2, extra_body={"top_p": 0.9})
