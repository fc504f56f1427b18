"""Many questions asked well: at once, at a steady rate, patiently, once each, and not beyond a cost."""

import asyncio
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Semaphore, Thread
from typing import Any

from sugar.authoring.client.answers import WrongShape, read_answer
from sugar.authoring.client.journal import Entry, Journal
from sugar.authoring.client.limits import Budget, Pace, RunningConfig, pause
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.request import Declined, Provider, Repair, Reply, Request, Unavailable
from sugar.errors import InputError

SHOWN = 300
"""Characters of a useless reply that the journal keeps."""
GONE = 3
"""Times the concurrency: so many requests in a row without a reply, and the server counts as gone."""
PATIENCE = 5.0
"""Seconds that an interrupted job is given to put away what it has."""


@dataclass(frozen=True)
class Outcome:
    """A request, and the entry that the journal now has for it."""

    request: Request
    entry: Entry


Progress = Callable[[Summary], None]


def run_requests(
    requests: Iterable[Request],
    provider: Provider,
    journal: Journal,
    config: RunningConfig,
    *,
    summary: Summary | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Ask about each request that ``journal`` has no entry for; gives the outcomes as they come, in any order.

    An outcome is on disk before it is given. Few requests are held at a time (twice the concurrency), so there may
    be millions; they are made in a thread, ahead of the questions. The provider's connections are closed at the end.
    Whoever stops early, Ctrl-C too, loses no answer that has arrived, and pays again for questions under way only.

    Args:
        summary: where to count; with its ``total``, reaching ``max_cost`` ends the job at once, without it the
            other requests are still made, to count them and to give those in the journal.
        progress: is called with the summary at each outcome, in the caller's thread.

    Raises:
        InputError: the provider's or the requests' own, and where the server has not answered 3 x concurrency
            requests in a row, or any of the job; nothing is recorded for these.
    """
    job = _Job(requests, provider, journal, config, summary or Summary())
    serving = _in_thread(job.serve)
    try:
        while (given := job.outcomes.get()) is not None:
            outcome, holds_slot = given
            if progress is not None:
                progress(job.count_time())
            yield outcome
            if holds_slot:
                job.slots.release()
        serving.result()
    finally:
        job.stop()
        wait([serving, *job.making], timeout=PATIENCE)
        job.count_time()


@dataclass
class _Item:
    """An entry to come, and the requests that it is for."""

    key: str
    requests: list[Request]
    holds_slot: bool = True


class _Job:
    """One run. All of its state belongs to the event loop's thread, but for the thread-safe queue and semaphore."""

    def __init__(
        self,
        requests: Iterable[Request],
        provider: Provider,
        journal: Journal,
        config: RunningConfig,
        summary: Summary,
    ) -> None:
        self.outcomes: queue.SimpleQueue[tuple[Outcome, bool] | None] = queue.SimpleQueue()
        self.slots = Semaphore(2 * config.concurrency + 16)  # requests that were made and whose outcome is not taken
        self._requests, self._provider, self._journal = requests, provider, journal
        self._config, self._summary = config, summary
        self._model = dict(provider.model)
        self._begin, self._since = time.monotonic() - summary.seconds, _now()
        self._pace = Pace(config.requests_per_minute)
        self._budget = Budget(config.max_cost, summary.spent, summary.done)
        self._todo: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._written: asyncio.Queue[tuple[_Item, Entry] | None] = asyncio.Queue()
        self._open: dict[str, _Item] = {}
        self._unheard: list[tuple[_Item, Entry]] = []
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self.making: list[Future[None]] = []  # the thread that makes requests, once there is one

    def serve(self) -> None:
        """Run the job, in a thread of its own."""
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass  # by `stop`
        finally:
            self._stopping = True
            self.slots.release()  # lets the thread that makes requests end
            self.outcomes.put(None)

    def stop(self) -> None:
        """End the job early, from another thread; harmless when it has ended."""
        self._stopping = True
        if self._loop is not None and self._main is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._main.cancel)

    def count_time(self) -> Summary:
        self._summary.seconds = time.monotonic() - self._begin
        return self._summary

    async def _run(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping:
            return
        making = _in_thread(self._make)
        self.making.append(making)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._give_all())
                workers = [group.create_task(self._work()) for _ in range(self._config.concurrency)]
                await asyncio.wrap_future(making)
                for _ in workers:
                    self._todo.put_nowait(None)
                await asyncio.gather(*workers)
                self._conclude()
                self._written.put_nowait(None)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._journal.sync()  # what was written and, for the interruption, not given any more
            await self._provider.close()

    def _make(self) -> None:
        """Draw the requests, in a thread of its own: making one may take long."""
        assert self._loop is not None
        # Held by nobody else, a generator is closed, with all that it has open, when this returns.
        requests, self._requests = self._requests, ()
        for request in requests:
            key = request.key(self._model)
            entry = self._journal.find(key)
            self.slots.acquire()
            if self._stopping or (self._budget.exhausted and self._summary.total is not None):
                return
            self._loop.call_soon_threadsafe(self._take, request, key, entry)

    def _take(self, request: Request, key: str, entry: Entry | None) -> None:
        """Give what the journal has, or line up what is to be asked."""
        item = self._open.get(key)
        if item is not None:
            item.requests.append(request)
            self.slots.release()
            return
        entry = entry or self._journal.find(key)  # it may have been written since
        if entry is None or (self._config.retry_failed and entry.failure and entry.at < self._since):
            self._open[key] = item = _Item(key, [request])
            self._todo.put_nowait(item)
        else:
            self._summary.from_journal += 1
            self.outcomes.put((Outcome(request, entry), True))
        if entry is not None and entry.at < self._since:
            cost = self._config.prices.cost(entry.tokens_in, entry.tokens_out)
            self._summary.spent += cost
            self._budget.count(cost)

    async def _work(self) -> None:
        """Ask about one item after the other."""
        while (item := await self._todo.get()) is not None:
            if await self._budget.enter():
                cost = await self._settle(item)
                await self._budget.leave(cost)
            else:
                del self._open[item.key]
                self._summary.left += len(item.requests)
                self.slots.release()

    async def _settle(self, item: _Item) -> float:
        """Ask about an item until there is an entry; returns its cost."""
        request, questions = item.requests[0], _Questions()
        answer, failure, heard = None, "", True
        try:
            answer = await self._answer(request, questions)
        except (WrongShape, Declined) as error:
            failure = str(error) or type(error).__name__
        except Unavailable as error:
            failure, heard = f"no answer to {questions.asked} questions, at last: {error}", False
        # No await from the last reply to here: a kill has next to no time to lose it.
        cost = self._config.prices.cost(questions.tokens_in, questions.tokens_out)
        self._summary.cost += cost
        self._summary.spent += cost
        entry = Entry(
            key=item.key,
            item=request.item,
            answer=answer,
            failure=failure,
            template=request.template,
            pictures=tuple(picture.origin for picture in request.pictures),
            model=self._model,
            tokens_in=questions.tokens_in,
            tokens_out=questions.tokens_out,
            asked=questions.asked,
            at=_now(),
        )
        if heard:
            self._write(item, entry)
        else:
            self._put_off(item, entry)
        return cost

    async def _answer(self, request: Request, questions: "_Questions") -> dict[str, Any]:
        """Ask, and once more where the reply is not of the shape; WrongShape when neither is."""
        repair = None
        for _ in range(2):
            reply = await self._reply(request, repair, questions)
            try:
                return read_answer(reply.text, request.answer)
            except WrongShape as error:
                self._summary.repaired += repair is None
                repair, problem = Repair(reply.text, str(error)), error
        raise WrongShape(f"{problem}; after a repair question the reply began: {reply.text[:SHOWN]!r}")

    async def _reply(self, request: Request, repair: Repair | None, questions: "_Questions") -> Reply:
        """Ask until there is a reply or the attempts are used up."""
        for attempt in range(1, self._config.attempts + 1):
            await self._pace.turn()
            questions.asked += 1
            self._summary.asked += 1
            try:
                reply = await self._provider.ask(request, repair)
            except Unavailable as error:
                unavailable = error
                if attempt < self._config.attempts:
                    self._summary.retried += 1
                    await asyncio.sleep(pause(attempt, self._config.backoff, error.retry_after))
            except Declined as error:
                self._hear()
                self._count(questions, error)
                raise
            else:
                self._hear()
                self._count(questions, reply)
                return reply
        raise unavailable

    def _count(self, questions: "_Questions", heard: Reply | Declined) -> None:
        for counted in (questions, self._summary):
            counted.tokens_in += heard.tokens_in
            counted.tokens_out += heard.tokens_out

    def _write(self, item: _Item, entry: Entry) -> None:
        self._journal.write(entry)
        self._summary.answered += entry.answer is not None
        self._summary.failed += entry.answer is None
        self._written.put_nowait((item, entry))

    def _put_off(self, item: _Item, entry: Entry) -> None:
        """An item without any reply is a failure only if the server answers others."""
        item.holds_slot = False  # or these would fill all slots before they are many enough
        self.slots.release()
        self._unheard.append((item, entry))
        if len(self._unheard) >= GONE * self._config.concurrency:
            raise self._gone()

    def _hear(self) -> None:
        """The server answers: what had no reply has failed by itself."""
        for item, entry in self._unheard:
            self._write(item, entry)
        self._unheard.clear()

    def _conclude(self) -> None:
        """All has been asked: what to make of the items without a reply, and how many were not asked about."""
        if self._unheard and not self._summary.answered + self._summary.failed:
            raise self._gone()
        self._hear()
        if self._budget.exhausted and self._summary.total is not None:
            self._summary.left = max(self._summary.total - self._summary.done, 0)

    def _gone(self) -> InputError:
        return InputError(
            f"the server does not answer: {len(self._unheard)} requests in a row had no reply, the last: "
            f"{self._unheard[-1][1].failure}; look after the server and run the same again: "
            "answers so far are in the journal, these requests are not recorded"
        )

    async def _give_all(self) -> None:
        """Give the outcomes that are on disk; what is written during one sync shares the next."""
        ended = False
        while not ended:
            written = [await self._written.get()]
            while not self._written.empty():
                written.append(self._written.get_nowait())
            await asyncio.to_thread(self._journal.sync)
            for given in written:
                if given is None:
                    ended = True
                    continue
                item, entry = given
                del self._open[item.key]
                self._summary.from_journal += len(item.requests) - 1
                for request in item.requests:
                    self.outcomes.put((Outcome(request, entry), item.holds_slot and request is item.requests[0]))


@dataclass
class _Questions:
    """What was asked about an item, and what it used."""

    asked: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _in_thread(work: Callable[[], None]) -> Future[None]:
    """Run ``work`` in a thread that does not keep the program alive, as those of executors do."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # whatever it is, it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=run, daemon=True, name=f"sugar {work.__name__}").start()
    return future
