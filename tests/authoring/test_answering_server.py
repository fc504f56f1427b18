"""The server that other tests ask: many at once, faults as drawn, a record of all."""

import asyncio
import base64
import dataclasses
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from answering_script import Asked
from answering_server import KINDS, AnsweringServer, Faults, server_process
from test_providers import KEY, QUESTION, Movement, ask, ask_all, environment  # noqa: F401

from sugar.authoring.client.config import ProviderConfig
from sugar.authoring.client.providers import load_provider


def test_hundreds_at_once():
    """All are under way before the first is answered: neither the client's pool nor the server holds any back."""
    requests = [dataclasses.replace(QUESTION, prompt=f"question {number}") for number in range(200)]
    arrived, all_here = [], asyncio.Event()

    async def answer(asked: Asked) -> dict[str, str]:
        arrived.append(asked)
        if len(arrived) == len(requests):
            all_here.set()
        await all_here.wait()
        return {"text": asked.prompt}

    with AnsweringServer(answer) as server:
        provider = load_provider(ProviderConfig(name="m", base_url=server.base_url, timeout=300))
        replies = asyncio.run(ask_all(provider, requests))
        assert server.service.most_at_once == len(requests)
    assert [json.loads(reply.text)["text"] for reply in replies] == [request.prompt for request in requests]


def test_faults_are_drawn_anew_and_the_same_for_each_asking():
    faults = Faults(0.3, seed=5)
    drawn = [faults.draw(f"q{number}", times) for number in range(500) for times in range(2)]
    assert drawn == [Faults(0.3, seed=5).draw(f"q{number}", times) for number in range(500) for times in range(2)]
    assert 0.25 < sum(map(bool, drawn)) / len(drawn) < 0.35
    assert set(drawn) == {"", *KINDS}


@pytest.mark.parametrize(("kind", "text"), [("empty", ""), ("wrong_shape", '{"wrong": ["shape"]}')])
def test_spoilt_answers_are_replies(kind, text):
    with AnsweringServer(faults=Faults(1.0, kinds=(kind,))) as server:
        assert ask(server).text == text
        assert not server.record()[0]["well"]


def test_a_malformed_answer_is_no_json():
    with AnsweringServer(faults=Faults(1.0, kinds=("malformed",))) as server:
        reply = ask(server)
    with pytest.raises(ValueError, match="Invalid JSON"):
        Movement.model_validate_json(reply.text)


def test_a_malformed_question_is_refused():
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"no").decode()}}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    with AnsweringServer() as server:
        post = urllib.request.Request(f"{server.base_url}/chat/completions", json.dumps(body).encode())
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            urllib.request.urlopen(post, timeout=20)
        assert "the bytes are no image/png" in json.load(caught.value)["error"]["message"]


def test_the_server_as_a_process_answers_from_its_script(tmp_path: Path):
    answers = {"drink": [{"text": "a"}, {"text": "b"}]}
    script = {"marker": "Class: (\\w+)", "answers": answers, "patterns": [["^W", "w"]], "echo": True}
    (tmp_path / "script.json").write_text(json.dumps(script))
    log = tmp_path / "asked.jsonl"
    prompts = ["Class: drink", "Class: drink", "Walk", "else"]
    with server_process("--script", str(tmp_path / "script.json"), "--log", str(log), "--key", KEY) as url:
        provider = load_provider(ProviderConfig(name="m", base_url=url, timeout=20))

        async def in_turn() -> list[str]:
            return [(await provider.ask(dataclasses.replace(QUESTION, prompt=prompt))).text for prompt in prompts]

        texts = asyncio.run(in_turn())
        record = json.load(urllib.request.urlopen(url.removesuffix("v1") + "record", timeout=20))
    assert texts[:3] == ['{"text": "a"}', '{"text": "b"}', "w"]
    Movement.model_validate_json(texts[3])
    assert [json.loads(line) for line in log.read_text().splitlines()] == record
    assert [entry["times"] for entry in record] == [0, 1, 0, 0]
