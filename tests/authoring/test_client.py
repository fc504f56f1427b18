"""Jobs of many questions: every item ends once, nothing is asked twice, whatever the server or the user does."""

import asyncio
import json
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from pydantic import BaseModel
from rich.console import Console

from sugar.authoring.client.config import Prices, RunningConfig
from sugar.authoring.client.job import Outcome, run_requests
from sugar.authoring.client.journal import Journal
from sugar.authoring.client.limits import MOST_ASKED_FOR, MOST_BACKOFF, Pace, pause
from sugar.authoring.client.progress import AskingProgress, Summary
from sugar.authoring.client.request import Declined, Media, Repair, Reply, Request, Unavailable
from sugar.errors import InputError

QUICK = RunningConfig(concurrency=4, attempts=3, backoff=0.001)
PRICES = Prices(input=1e6, output=1e6)
"""A token costs one."""


class Motion(BaseModel):
    """The shape that is asked for."""

    name: str
    parts: list[str]


def good(item: str) -> str:
    return json.dumps({"name": item, "parts": ["arm lifts", "leg rests"]})


def question(number: int, prompt: str = "What happens?") -> Request:
    return Request(f"item {number}", f"{prompt} Item: item {number}", Motion, template="test")


def questions(count: int, prompt: str = "What happens?") -> Iterator[Request]:
    return (question(i, prompt) for i in range(count))


Say = Callable[[Request, Repair | None, int], str | Exception]


class Scripted:
    """A provider in memory. ``say`` gets the request, the repair and how often the item was asked before."""

    model = {"name": "scripted", "temperature": 0.5}  # noqa: RUF012

    def __init__(self, say: Say = lambda request, repair, times: good(request.item), tokens: int = 5) -> None:
        self.say, self.tokens = say, tokens
        self.times: Counter[str] = Counter()
        self.repairs: list[Repair] = []
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        times = self.times[request.item]
        self.times[request.item] += 1
        self.repairs += [repair] * (repair is not None)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        said = self.say(request, repair, times)
        if isinstance(said, Exception):
            raise said
        return Reply(said, self.tokens, self.tokens)

    async def close(self) -> None:
        self.closed = True


def run(
    folder: Path, provider: Scripted, requests: Iterator[Request], config: RunningConfig = QUICK
) -> tuple[list[Outcome], Summary]:
    summary = Summary()
    outcomes = list(run_requests(requests, provider, Journal(folder), config, summary=summary))
    assert provider.closed
    return outcomes, summary


# --- pauses, rate, cost ------------------------------------------------------------------------------------------


def test_pauses_double_with_jitter_and_heed_the_server():
    assert [pause(n, 1.0, None, lambda: 0.5) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert (pause(2, 1.0, None, lambda: 0.0), pause(2, 1.0, None, lambda: 0.99)) == (1.0, pytest.approx(2.98))
    assert pause(1000, 1.0, None) == MOST_BACKOFF
    assert pause(1, 1.0, 30.0, lambda: 0.5) == 30.5
    assert pause(5, 1.0, 0.0, lambda: 0.5) == 16
    assert pause(1, 1.0, 1e9, lambda: 0.0) == MOST_ASKED_FOR


def test_the_rate_is_even_and_a_lull_is_not_made_up_for():
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def turns(pace: Pace, count: int) -> None:
        for _ in range(count):
            await pace.turn()

    pace = Pace(120, lambda: now, sleep)
    asyncio.run(turns(pace, 4))
    assert slept == [0.5, 1.0, 1.5]
    now = 200.0
    asyncio.run(turns(pace, 2))
    assert slept[3:] == [0.5]
    asyncio.run(turns(Pace(0, lambda: now, sleep), 5))
    assert len(slept) == 4


def test_the_rate_holds_in_a_job(tmp_path):
    begin = time.monotonic()
    run(tmp_path, Scripted(), questions(13), RunningConfig(concurrency=8, requests_per_minute=1200))
    assert time.monotonic() - begin >= 12 * 60 / 1200


def test_the_concurrency_is_reached_and_kept(tmp_path):
    provider = Scripted()
    run(tmp_path, provider, questions(100))
    assert provider.most_at_once == 4


@pytest.mark.parametrize("total", [None, 40])
def test_no_question_beyond_the_cost_and_a_larger_one_goes_on(tmp_path, total):
    def job(limit: float) -> tuple[Summary, Scripted, list[Outcome]]:
        provider, summary = Scripted(), Summary(total=total)
        config = RunningConfig(concurrency=4, prices=PRICES, max_cost=limit)
        return (
            summary,
            provider,
            list(run_requests(questions(40), provider, Journal(tmp_path), config, summary=summary)),
        )

    summary, provider, outcomes = job(105)
    assert len(outcomes) == summary.answered == sum(provider.times.values()) == 10  # of 10 each
    assert (summary.cost, summary.spent, summary.left) == (100, 100, 30)
    assert "30 left" in summary.text()
    summary, provider, outcomes = job(205)
    assert (summary.from_journal, summary.answered, summary.spent, summary.left) == (10, 10, 200, 20)
    assert sum(provider.times.values()) == 10
    summary, provider, outcomes = job(0)
    assert (summary.from_journal, summary.answered, summary.spent, summary.left) == (20, 20, 400, 0)
    assert "left" not in summary.text()
    assert len(outcomes) == 40


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"concurrency": 0}, "concurrency is 0; give 1 or more"),
        ({"attempts": 0}, "attempts"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"backoff": -1}, "backoff"),
        ({"max_cost": 3}, "max_cost needs prices"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(InputError, match=told):
        RunningConfig(**settings)


# --- one item ----------------------------------------------------------------------------------------------------


def test_the_entry_tells_where_an_answer_comes_from(tmp_path):
    picture = Media(b"\xff\xd8\xff", "image/jpeg", "cook.mp4 at 1.20 s")
    request = Request("visual/cook", "What?", Motion, template="visual", media=(picture,))
    ((outcome,), _) = run(tmp_path, Scripted(), iter([request]))
    assert outcome.request is request
    told = outcome.entry
    assert (told.key, told.item, told.template) == (request.key(Scripted.model), "visual/cook", "visual")
    assert (told.media, told.model, told.failure) == (("cook.mp4 at 1.20 s",), Scripted.model, "")
    assert told.answer == json.loads(good("visual/cook"))
    assert (told.tokens_in, told.tokens_out, told.calls) == (5, 5, 1)
    assert Journal(tmp_path).find(told.key) == told


@pytest.mark.parametrize("bad", ["", "no JSON", good("x")[:-4], '{"wrong": 1}'])
def test_a_bad_reply_is_mended_once(tmp_path, bad):
    provider = Scripted(lambda request, repair, times: good("x") if repair else bad)
    ((outcome,), summary) = run(tmp_path, provider, questions(1))
    assert outcome.entry.answer == json.loads(good("x"))
    assert (outcome.entry.calls, outcome.entry.tokens_in) == (2, 10)
    assert (summary.calls, summary.repaired, summary.answered) == (2, 1, 1)
    ((repair),) = provider.repairs
    assert repair.text == bad
    assert repair.problem


def test_two_bad_replies_are_a_failure(tmp_path):
    provider = Scripted(lambda request, repair, times: f"{times} " + 1000 * "x")
    ((outcome,), summary) = run(tmp_path, provider, questions(1))
    assert outcome.entry.answer is None
    assert "no complete JSON object" in outcome.entry.failure
    assert "1 xxx" in outcome.entry.failure
    assert len(outcome.entry.failure) < 500
    assert (summary.calls, summary.failed) == (2, 1)


def test_a_declined_question_is_a_failure_at_once_and_stays_one(tmp_path):
    provider = Scripted(lambda request, repair, times: Declined("not about knives"))
    ((outcome,), _) = run(tmp_path, provider, questions(1))
    assert outcome.entry.failure == "not about knives"
    ((outcome,), summary) = run(tmp_path, Scripted(), questions(1))
    assert outcome.entry.failure == "not about knives"
    assert (summary.calls, summary.from_journal) == (0, 1)
    retry = RunningConfig(retry_failed=True)
    ((outcome,), summary) = run(tmp_path, Scripted(), questions(1), retry)
    assert outcome.entry.answer is not None
    ((outcome,), summary) = run(tmp_path, Scripted(), questions(1), retry)
    assert (summary.calls, outcome.entry.failure) == (0, "")


def test_a_failure_is_retried_once_a_job_even_where_it_stands_twice(tmp_path):
    declines = Scripted(lambda request, repair, times: Declined("no"))
    run(tmp_path, declines, questions(1))
    twice = [question(0), *questions(30), question(0)]
    outcomes, _ = run(tmp_path, declines, iter(twice), RunningConfig(concurrency=1, retry_failed=True))
    assert declines.times["item 0"] == 2  # once in each job
    assert len(outcomes) == 32


def test_an_unavailable_server_is_asked_again(tmp_path):
    provider = Scripted(lambda request, repair, times: Unavailable("503") if times < 2 else good("x"))
    ((outcome,), summary) = run(tmp_path, provider, questions(1))
    assert outcome.entry.answer is not None
    assert (outcome.entry.calls, summary.calls, summary.retried) == (3, 3, 2)


def test_an_item_that_breaks_the_server_fails_alone(tmp_path):
    def say(request: Request, repair: Repair | None, times: int) -> str | Exception:
        return Unavailable("500 out of memory") if request.item == "item 3" else good("x")

    provider = Scripted(say)
    outcomes, summary = run(tmp_path, provider, questions(50))
    assert [o.request.item for o in outcomes if o.entry.failure] == ["item 3"]
    assert "500 out of memory" in next(o.entry.failure for o in outcomes if o.entry.failure)
    assert (provider.times["item 3"], summary.failed, summary.answered) == (3, 1, 49)


@pytest.mark.parametrize("count", [2, 1000])
def test_a_server_that_is_gone_stops_the_job_and_nothing_is_recorded(tmp_path, count):
    provider = Scripted(lambda request, repair, times: Unavailable("connection refused"))
    with pytest.raises(InputError, match=r"does not answer.*connection refused.*run the same again"):
        run(tmp_path, provider, questions(count))
    assert len(provider.times) <= 4 * 4
    assert len(Journal(tmp_path)) == 0


def test_a_server_that_goes_away_later_stops_the_job_too(tmp_path):
    def say(request: Request, repair: Repair | None, times: int) -> str | Exception:
        return good("x") if int(request.item.split()[1]) < 100 else Unavailable("connection refused")

    outcomes = []
    with pytest.raises(InputError, match="12 requests in a row"):
        outcomes.extend(run_requests(questions(1000), Scripted(say), Journal(tmp_path), QUICK))
    assert len(Journal(tmp_path)) == 100
    assert all(found.answer for found in Journal(tmp_path).entries())


def test_a_wrong_key_stops_the_job(tmp_path):
    def say(request: Request, repair: Repair | None, times: int) -> str | Exception:
        return InputError("the key is wrong") if request.item == "item 20" else good("x")

    with pytest.raises(InputError, match="the key is wrong"):
        run(tmp_path, Scripted(say), questions(10_000))
    assert 1 <= len(Journal(tmp_path)) < 100


def test_a_request_that_cannot_be_made_stops_the_job(tmp_path):
    def requests() -> Iterator[Request]:
        yield from questions(20)
        raise InputError("b.mp4: not a video")

    with pytest.raises(InputError, match="not a video"):
        run(tmp_path, Scripted(), requests())
    with pytest.raises(InputError, match="not a video"):  # nothing before it is left to be asked
        list(run_requests(requests(), Scripted(), Journal(tmp_path), QUICK))


def test_the_same_request_twice_is_asked_once(tmp_path):
    provider = Scripted()
    outcomes, summary = run(tmp_path, provider, (question(i % 7) for i in range(100)))
    assert set(provider.times.values()) == {1}
    assert Counter(o.request.item for o in outcomes) == Counter(f"item {i % 7}" for i in range(100))
    assert (summary.answered, summary.from_journal, summary.done) == (7, 93, 100)


def test_a_changed_prompt_asks_only_what_changed(tmp_path):
    run(tmp_path, Scripted(), questions(50))
    provider = Scripted()
    changed = [question(i, "What really happens?" if i % 10 == 0 else "What happens?") for i in range(50)]
    outcomes, summary = run(tmp_path, provider, iter(changed))
    assert sorted(provider.times) == sorted(f"item {i}" for i in range(0, 50, 10))
    assert (len(outcomes), summary.from_journal) == (50, 45)


# --- many items --------------------------------------------------------------------------------------------------


def test_requests_come_lazily_and_a_consumer_may_stop(tmp_path):
    made = 0
    gone = threading.Event()

    def requests() -> Iterator[Request]:
        nonlocal made
        try:
            for i in range(10**9):
                made += 1
                yield question(i)
        finally:
            gone.set()

    before = set(threading.enumerate())
    provider = Scripted()
    given = run_requests(requests(), provider, Journal(tmp_path), QUICK)
    for _ in range(10):
        next(given)
    time.sleep(0.3)  # much longer than it would take to make thousands
    assert made < 60
    given.close()
    assert provider.closed
    assert gone.wait(5)
    assert not {thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()}


def test_memory_does_not_grow_with_the_job(tmp_path):
    def peak(count: int) -> float:
        journal = Journal(tmp_path / str(count))
        requests = (Request(f"i{i}", f"{i} " + "x" * 50_000, Motion) for i in range(count))
        tracemalloc.start()
        for _ in run_requests(requests, Scripted(), journal, RunningConfig(concurrency=16)):
            pass
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held / 1e6

    few, many = peak(150), peak(1000)
    assert many < few + 3  # the prompts of the others are 42 MB; the journal's index is 0.3 KB an entry


def test_the_bar_shows_the_numbers_on_a_terminal_only(tmp_path):
    for terminal in (True, False):
        console = Console(file=StringIO(), force_terminal=terminal, width=120)
        config = RunningConfig(prices=PRICES)
        with AskingProgress(20, console) as progress:
            outcomes = run_requests(
                questions(20), Scripted(), Journal(tmp_path / str(terminal)), config, progress=progress
            )
            assert len(list(outcomes)) == 20
        shown = console.file.getvalue()
        assert ("20/20" in shown and "200 tokens" in shown and "cost 200.00" in shown) == terminal
        assert bool(shown) == terminal
