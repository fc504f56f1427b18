"""A real HTTP server that speaks OpenAI's chat completions, answers from a script, and stumbles on purpose.

In process::

    with AnsweringServer(lambda asked: {"text": "..."}, faults=Faults(share=0.3, seed=1)) as server:
        ...  # server.base_url, server.record()

As a process of its own, which prints its port (the log survives it and its clients)::

    python tests/answering_server.py --port 0 --script script.json --log asked.jsonl --fault-share 0.3

The script is JSON: ``{"marker": "Item: (.+)", "answers": {"sit down": {...}}, "patterns": [["walk", {...}]],
"echo": true}``. The first group of ``marker`` in the prompt is looked up in ``answers``; else the first pattern that
is found in the prompt answers; else ``echo`` makes up an answer of the asked schema. A list of answers is given in
turn, the last one for ever. Without a script it echoes.
"""

import argparse
import asyncio
import hashlib
import inspect
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from answering_script import Answer, Asked, Failure, Said, completion, echo, scripted, understand

KINDS = ("429", "500", "cut_before", "cut_within", "stall", "malformed", "wrong_shape", "empty")


@dataclass(frozen=True)
class Faults:
    """A share of requests that go wrong; which ones and how is drawn from seed, prompt and times asked."""

    share: float = 0.0
    seed: int = 0
    kinds: tuple[str, ...] = KINDS  # further: "page" (200 with a web page)
    stall_s: float = 60.0
    retry_after: str = "0"

    def draw(self, prompt: str, times: int) -> str:
        """The fault of the ``times``-th asking (from 0); "" for none."""
        digest = hashlib.sha256(f"{self.seed}\n{times}\n{prompt}".encode()).digest()
        if int.from_bytes(digest[:7], "big") / 2**56 >= self.share:
            return ""
        return self.kinds[digest[8] % len(self.kinds)]


class Service:
    """The server inside its event loop: one coroutine a connection."""

    def __init__(
        self,
        answer: Answer,
        *,
        faults: Faults,
        latency: float,
        key: str | None,
        model: str | None,
        log: IO[str] | None,
    ) -> None:
        self.answer, self.faults, self.latency = answer, faults, latency
        self.key, self.model, self.log = key, model, log
        self.record: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._times: Counter[str] = Counter()
        self._at_once = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one keep-alive connection until either side ends it."""
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.split("\r\n")
        method, path, _ = start.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            match method, path:
                case "GET", "/record":
                    return await _send(writer, 200, json.dumps(self.record).encode())
                case _ if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
                    said = f"Incorrect API key provided: {headers.get('authorization')}"  # as careless servers do
                    raise Failure(401, said, "invalid_api_key")
                case "GET", "/v1/models":
                    listed = [{"id": self.model or "scripted", "object": "model", "created": 0, "owned_by": "tests"}]
                    return await _send(writer, 200, json.dumps({"object": "list", "data": listed}).encode())
                case "POST", "/v1/chat/completions":
                    return await self._chat(data, reader, writer)
            raise Failure(404, f"no such path: {path}")
        except Failure as failure:
            return await _send(writer, failure.status, _error(failure), failure.headers)
        finally:
            self._at_once -= 1

    async def _chat(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        received = time.time()
        try:
            asked = understand(json.loads(data))
        except ValueError as error:
            raise Failure(400, "the body is not JSON", "invalid_request_error") from error
        if self.model is not None and asked.model != self.model:
            raise Failure(404, f"The model `{asked.model}` does not exist.", "model_not_found", "model")
        what = asked.prompt + "".join(asked.sha256 + asked.video_sha256)
        asked.received, asked.times = received, self._times[what]
        self._times[what] += 1
        asked.fault = self.faults.draw(what, asked.times)
        asked.tokens_in = len(data) // 4 if not asked.sha256 else len(asked.prompt) // 4 + 85 * len(asked.sha256)
        try:
            return await self._respond(asked, reader, writer)
        except Failure as failure:
            asked.status = failure.status
            raise
        finally:
            asked.finished = time.time()
            self.record.append(asked.entry())
            if self.log is not None:
                self.log.write(json.dumps(self.record[-1]) + "\n")
                self.log.flush()

    async def _respond(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.latency:
            await asyncio.sleep(self.latency)
        if asked.fault == "429":
            raise Failure(429, "slow down", "rate_limit_exceeded", headers=(("Retry-After", self.faults.retry_after),))
        if asked.fault == "500":
            raise Failure(500, "something broke")
        if asked.fault == "cut_before":
            writer.transport.abort()
            return False
        if asked.fault == "stall":
            try:  # a client that gives up ends the stall
                await asyncio.wait_for(reader.read(1), self.faults.stall_s)
                return False
            except TimeoutError:
                pass
        if asked.fault == "page":
            asked.status = 200
            return await _send(writer, 200, b"<html>Bad gateway</html>", (("Content-Type", "text/html"),))
        said = await self._said(asked)
        body = completion(asked, said)
        if asked.fault == "cut_within":
            writer.write(_head(200, len(body)) + body[: len(body) // 2])
            await writer.drain()
            return False
        asked.status = 200
        stays = await _send(writer, 200, body)
        asked.well = not reader.at_eof() and asked.fault in ("", "stall")
        return stays

    async def _said(self, asked: Asked) -> Said:
        said = self.answer(asked)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, Failure):
            raise said
        if not isinstance(said, Said):
            said = Said(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))
        text = said.text or ""
        spoilt = {"malformed": text[: len(text) // 2] + '{"', "wrong_shape": '{"wrong": ["shape"]}', "empty": ""}
        if asked.fault in spoilt:
            said = Said(spoilt[asked.fault])
        asked.text = said.text or ""
        asked.tokens_out = max(1, len(asked.text) // 4)
        return said


def _error(failure: Failure) -> bytes:
    content = {"message": failure.message, "type": "error", "param": failure.param, "code": failure.code}
    return json.dumps({"error": content}).encode()


def _head(status: int, length: int, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    lines = {"Content-Type": "application/json", "Content-Length": str(length)} | dict(headers)
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{text}\r\n".encode("latin-1")


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()
) -> bool:
    writer.write(_head(status, len(body), headers) + body)
    await writer.drain()
    return True


class AnsweringServer:
    """The server in a thread of this process, for ``with``.

    Args:
        answer: what is said, or a coroutine that says it; runs on the server's event loop, so it must be quick.
        latency: seconds before each answer.
        key: the bearer key that is asked for; None takes any.
        model: the only model there is; None takes any name.
        log: file to which each request is appended as a line of JSON.
    """

    def __init__(
        self,
        answer: Answer = echo,
        *,
        faults: Faults = Faults(),
        latency: float = 0.0,
        key: str | None = None,
        model: str | None = None,
        log: Path | None = None,
        port: int = 0,
    ) -> None:
        self._log = log.open("a", encoding="utf-8") if log else None
        self.service = Service(answer, faults=faults, latency=latency, key=key, model=model, log=self._log)
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def record(self) -> list[dict[str, Any]]:
        """Every question so far, in the order in which they ended."""
        return list(self.service.record)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        # A closed client frees its connection at once, so a large backlog costs nothing.
        server = await asyncio.start_server(self.service.connection, "127.0.0.1", self.port, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> "AnsweringServer":
        self._thread.start()
        if not self._ready.wait(30):
            raise RuntimeError(f"port {self.port} cannot be served")
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()
        if self._log:
            self._log.close()


@contextmanager
def server_process(*arguments: str) -> Iterator[str]:
    """Run this file as a process of its own; gives its base URL."""
    command = [sys.executable, __file__, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--key")
    parser.add_argument("--model")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--fault-share", type=float, default=0.0)
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--fault-kinds", default=",".join(KINDS))
    parser.add_argument("--stall-s", type=float, default=60.0)
    parser.add_argument("--retry-after", default="0")
    options = parser.parse_args()
    script = json.loads(options.script.read_text(encoding="utf-8")) if options.script else {"echo": True}
    faults = Faults(
        options.fault_share,
        options.fault_seed,
        tuple(options.fault_kinds.split(",")),
        options.stall_s,
        options.retry_after,
    )
    with AnsweringServer(
        scripted(script),
        faults=faults,
        latency=options.latency_ms / 1000,
        key=options.key,
        model=options.model,
        log=options.log,
        port=options.port,
    ) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
