"""Jobs against a real server that stumbles, and jobs that are killed: nothing is lost or asked twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from answering_server import AnsweringServer, Asked, Faults
from test_client import good, questions

from sugar.authoring.client.config import ProviderConfig, RunningConfig
from sugar.authoring.client.job import run_requests
from sugar.authoring.client.journal import Journal
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.providers import OpenAIProvider
from sugar.authoring.client.request import Repair, Reply, Request, Unavailable


def say_item(asked: Asked) -> str:
    return good(asked.prompt.split("Item: ")[1].split("\n")[0])


def item_of(record: dict[str, Any]) -> str:
    return record["prompt"].split("Item: ")[1].split("\n")[0]  # a repair of an empty reply stands below


class Watched(OpenAIProvider):
    """Notes which questions timed out on the client's side: the server may think that it answered them."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.lost: Counter[str] = Counter()

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        try:
            return await super().ask(request, repair)
        except Unavailable as error:
            self.lost[request.item] += "no answer within" in str(error)
            raise


def client(server: AnsweringServer, timeout: float = 1.0) -> Watched:
    return Watched(ProviderConfig(name="scripted", base_url=server.base_url, timeout=timeout))


FAULTY = Faults(share=0.3, seed=5)
PATIENT = RunningConfig(concurrency=16, backoff=0.01)


def asked_after_a_good_answer(record: list[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], float]]:
    """For items that were asked again after the server had answered well: that question, and the answer's time."""
    by_item, found = defaultdict(list), {}
    for asked in record:
        by_item[item_of(asked)].append(asked)
    for item, those in by_item.items():
        those.sort(key=lambda asked: asked["received"])
        answered = min((asked["finished"] for asked in those if asked["well"]), default=float("inf"))
        late = next((asked for asked in those if asked["received"] > answered), None)
        if late is not None:
            found[item] = (late, answered)
    return found


def test_a_thousand_requests_with_every_fault(tmp_path):
    with AnsweringServer(say_item, faults=FAULTY) as server:
        provider, summary = client(server), Summary(total=1000)
        outcomes = list(run_requests(questions(1000), provider, Journal(tmp_path), PATIENT, summary=summary))
        record = server.record()
    assert sorted(o.request.item for o in outcomes) == sorted(f"item {i}" for i in range(1000))
    for outcome in outcomes:
        assert (outcome.entry.answer == json.loads(good(outcome.request.item))) != bool(outcome.entry.failure)
    assert {asked["fault"] for asked in record} == {"", *FAULTY.kinds}
    assert 950 <= summary.answered < 1000  # by the draw 11 % of replies are useless, and again 11 % of repairs
    assert summary.answered + summary.failed == summary.done == 1000
    assert len(record) == summary.calls == sum(outcome.entry.calls for outcome in outcomes)
    assert summary.tokens_in == sum(outcome.entry.tokens_in for outcome in outcomes)
    stalled = Counter(item_of(asked) for asked in record if asked["fault"] == "stall")
    for item in asked_after_a_good_answer(record):
        assert provider.lost[item] > stalled[item], f"{item} was asked again after a good answer"
    # Again: all of it from the journal.
    begin = time.monotonic()
    summary = Summary()
    again = list(run_requests(questions(1000), provider, Journal(tmp_path), PATIENT, summary=summary))
    assert {o.entry.key: o.entry for o in again} == {o.entry.key: o.entry for o in outcomes}
    assert (summary.from_journal, summary.calls) == (1000, 0)
    assert time.monotonic() - begin < 10


def job_process(url: str, folder: Path, count: int, concurrency: int = 16) -> "subprocess.Popen[str]":
    """A job in a process of its own; prints each item as its outcome is given."""
    call = f"test_client_faults.job({url!r}, {str(folder)!r}, {count}, {concurrency})"
    code = f"import sys; sys.path.append('..'); import test_client_faults; {call}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def job(url: str, folder: str, count: int, concurrency: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    provider = OpenAIProvider(ProviderConfig(name="scripted", base_url=url, timeout=1.0))
    config = RunningConfig(concurrency=concurrency, backoff=0.01)
    for outcome in run_requests(questions(count), provider, Journal(Path(folder)), config):
        print(outcome.request.item, flush=True)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_five_kills_lose_nothing_and_ask_nothing_twice(tmp_path):
    """What was in the journal at a kill is never asked again; of the rest only what was under way is, once more."""
    draw = random.Random(7)
    kills: list[tuple[float, set[str]]] = []
    with AnsweringServer(say_item, faults=FAULTY) as server:
        for _ in range(5):
            enough = len(server.record()) + draw.randrange(1, 250)
            with job_process(server.base_url, tmp_path, 1000) as process:
                wait_for(lambda enough=enough: len(server.record()) >= enough)
                time.sleep(draw.random() / 20)
                process.kill()
                given = process.communicate()[0].split("\n")[:-1]  # a last line may be torn
            kills.append((time.time(), {found.item for found in Journal(tmp_path).entries()}))
            assert set(given) <= kills[-1][1]  # what was given was on disk
        with job_process(server.base_url, tmp_path, 1000) as process:
            printed, errors = process.communicate()
        assert process.returncode == 0, errors
        record = server.record()
    items = {f"item {i}" for i in range(1000)}
    assert set(printed.split("\n")[:-1]) == items
    assert {found.item for found in Journal(tmp_path).entries()} == items
    assert 5 <= len(list(tmp_path.iterdir())) <= 6
    for killed, journaled in kills:
        assert not journaled & {item_of(asked) for asked in record if asked["received"] > killed}
    # An answer is lost only on its way: at each kill that of a question under way, of which there are at most 16, and
    # where a busy client had given up waiting. Between such an answer and the next question there is a time-out or a
    # kill; and no such question came while the same process was still at it.
    again = asked_after_a_good_answer(record)
    for kill, (killed, _) in enumerate(kills):
        begun = kills[kill - 1][0] if kill else 0.0
        lost = [item for item, (late, first) in again.items() if begun < first < killed < late["received"]]
        assert len(lost) <= 16, lost
    assert len(again) < 5 * 16


def test_ctrl_c_ends_a_job_at_once_with_a_clean_journal(tmp_path):
    with AnsweringServer(say_item, latency=0.05, faults=Faults(share=0.2, kinds=("stall",))) as server:
        with job_process(server.base_url, tmp_path, 1000, 8) as process:
            wait_for(lambda: len(server.record()) >= 40)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            printed, errors = process.communicate(timeout=30)
        assert time.monotonic() - begin < 5
        assert process.returncode != 0
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert errors.count("Traceback") == 1  # no task and no thread complains
        journal = Journal(tmp_path)
        assert set(printed.split()[1::2]) <= {found.item.split()[1] for found in journal.entries()}
        assert journal.ignored == 0
        (file,) = tmp_path.iterdir()
        assert file.read_bytes().endswith(b"}\n")
        # What had arrived is in the journal, and none of that is asked again.
        kept = {found.item for found in journal.entries()}
        record = server.record()
        assert len({item_of(asked) for asked in record if asked["well"]} - kept) <= 8
        list(run_requests(questions(len(kept) + 8), client(server), journal, PATIENT))
        assert not kept & {item_of(asked) for asked in server.record()[len(record) + 8 :]}
