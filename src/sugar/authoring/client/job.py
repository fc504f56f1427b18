"""Run many requests concurrently: at a steady rate, with retries, without repeats, up to a cost."""

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
from sugar.authoring.client.config import RunningConfig
from sugar.authoring.client.journal import Entry, Journal
from sugar.authoring.client.limits import Budget, Pace, pause
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.request import Declined, Provider, Repair, Reply, Request, Unavailable
from sugar.errors import InputError

SHOWN = 300
"""Characters of an invalid reply that the journal keeps."""
GONE = 3
"""The server counts as gone after this many times the concurrency of requests in a row without a reply."""
PATIENCE = 5.0
"""Seconds in which an interrupted job writes the answers that it has."""


@dataclass(frozen=True)
class Outcome:
    """A request and its journal entry."""

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
    """Run each request that ``journal`` has no entry for; yield the outcomes as they come, in any order.

    An outcome is on disk before it is yielded. Few requests are held at a time (twice the concurrency), so there may
    be millions; a thread makes them ahead of the calls. The provider's connections are closed at the end. Stopping
    early, also by Ctrl-C, loses no answer that has arrived; only calls under way are paid again.

    Args:
        summary: totals, updated in place; with its ``total``, reaching ``max_cost`` ends the job at once, without it
            the other requests are still made, to count them and to yield those in the journal.
        progress: called with the summary at each outcome, in the caller's thread.

    Raises:
        InputError: from the provider or the requests; the server has not answered 3 x concurrency requests in a row,
            or any of the job. Nothing is recorded for these.
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
    """A pending entry and the requests that it answers."""

    key: str
    requests: list[Request]
    holds_slot: bool = True


class _Job:
    """One run. Its state belongs to the event loop's thread, except for the thread-safe queue and semaphore."""

    def __init__(
        self,
        requests: Iterable[Request],
        provider: Provider,
        journal: Journal,
        config: RunningConfig,
        summary: Summary,
    ) -> None:
        self.outcomes: queue.SimpleQueue[tuple[Outcome, bool] | None] = queue.SimpleQueue()
        self.slots = Semaphore(2 * config.concurrency + 16)  # requests that were made and whose outcome was not taken
        self._requests, self._provider, self._journal = requests, provider, journal
        self._config, self._summary = config, summary
        self._model = dict(provider.model)
        self._begin, self._since = time.monotonic() - summary.seconds, _now()
        self._pace = Pace(config.requests_per_minute)
        self._budget = Budget(config.max_cost, summary.spent, summary.done)
        self._todo: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._written: asyncio.Queue[tuple[_Item, Entry] | None] = asyncio.Queue()
        self._open: dict[str, _Item] = {}
        self._unanswered: list[tuple[_Item, Entry]] = []
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
        """End the job early, from another thread; does nothing if it has ended."""
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
            self._journal.sync()  # entries that an interruption kept from being yielded
            await self._provider.close()

    def _make(self) -> None:
        """Make the requests, in a thread of its own: one may take long."""
        assert self._loop is not None
        # With no other reference a generator, and all that it has open, is closed when this returns.
        requests, self._requests = self._requests, ()
        for request in requests:
            key = request.key(self._model)
            entry = self._journal.find(key)
            self.slots.acquire()
            if self._stopping or (self._budget.exhausted and self._summary.total is not None):
                return
            self._loop.call_soon_threadsafe(self._take, request, key, entry)

    def _take(self, request: Request, key: str, entry: Entry | None) -> None:
        """Yield the entry that the journal has, or queue the request."""
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
        """Process one item after the other."""
        while (item := await self._todo.get()) is not None:
            if await self._budget.enter():
                cost = await self._settle(item)
                await self._budget.leave(cost)
            else:
                del self._open[item.key]
                self._summary.left += len(item.requests)
                self.slots.release()

    async def _settle(self, item: _Item) -> float:
        """Call the model until there is an entry for an item; return its cost."""
        request, usage = item.requests[0], _Usage()
        answer, failure, replied = None, "", True
        try:
            answer = await self._answer(request, usage)
        except (WrongShape, Declined) as error:
            failure = str(error) or type(error).__name__
        except Unavailable as error:
            failure, replied = f"no answer to {usage.calls} calls, at last: {error}", False
        # No await between the last reply and this: a kill has next to no time to lose it.
        cost = self._config.prices.cost(usage.tokens_in, usage.tokens_out)
        self._summary.cost += cost
        self._summary.spent += cost
        entry = Entry(
            key=item.key,
            item=request.item,
            answer=answer,
            failure=failure,
            template=request.template,
            media=tuple(part.origin for part in request.media),
            model=self._model,
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            calls=usage.calls,
            at=_now(),
        )
        if replied:
            self._write(item, entry)
        else:
            self._postpone(item, entry)
        return cost

    async def _answer(self, request: Request, usage: "_Usage") -> dict[str, Any]:
        """Call the model, and once more to repair a reply of the wrong shape; WrongShape if that fails too."""
        repair = None
        for _ in range(2):
            reply = await self._reply(request, repair, usage)
            try:
                return read_answer(reply.text, request.answer)
            except WrongShape as error:
                self._summary.repaired += repair is None
                repair, problem = Repair(reply.text, str(error)), error
        raise WrongShape(f"{problem}; after a repair question the reply began: {reply.text[:SHOWN]!r}")

    async def _reply(self, request: Request, repair: Repair | None, usage: "_Usage") -> Reply:
        """Call the model until there is a reply or the attempts are used up."""
        for attempt in range(1, self._config.attempts + 1):
            await self._pace.turn()
            usage.calls += 1
            self._summary.calls += 1
            try:
                reply = await self._provider.ask(request, repair)
            except Unavailable as error:
                unavailable = error
                if attempt < self._config.attempts:
                    self._summary.retried += 1
                    await asyncio.sleep(pause(attempt, self._config.backoff, error.retry_after))
            except Declined as error:
                self._record_unanswered()
                self._count(usage, error)
                raise
            else:
                self._record_unanswered()
                self._count(usage, reply)
                return reply
        raise unavailable

    def _count(self, usage: "_Usage", reply: Reply | Declined) -> None:
        for counted in (usage, self._summary):
            counted.tokens_in += reply.tokens_in
            counted.tokens_out += reply.tokens_out

    def _write(self, item: _Item, entry: Entry) -> None:
        self._journal.write(entry)
        self._summary.answered += entry.answer is not None
        self._summary.failed += entry.answer is None
        self._written.put_nowait((item, entry))

    def _postpone(self, item: _Item, entry: Entry) -> None:
        """Keep an item without any reply: it is a failure only if the server answers others."""
        item.holds_slot = False  # or these would fill all slots before the server counts as gone
        self.slots.release()
        self._unanswered.append((item, entry))
        if len(self._unanswered) >= GONE * self._config.concurrency:
            raise self._gone()

    def _record_unanswered(self) -> None:
        """The server answers again: record the items without a reply as failures of their own."""
        for item, entry in self._unanswered:
            self._write(item, entry)
        self._unanswered.clear()

    def _conclude(self) -> None:
        """After the last call: record the items without a reply, and count those that were not called for."""
        if self._unanswered and not self._summary.answered + self._summary.failed:
            raise self._gone()
        self._record_unanswered()
        if self._budget.exhausted and self._summary.total is not None:
            self._summary.left = max(self._summary.total - self._summary.done, 0)

    def _gone(self) -> InputError:
        return InputError(
            f"the server does not answer: {len(self._unanswered)} requests in a row had no reply, the last: "
            f"{self._unanswered[-1][1].failure}; look after the server and run the same again: "
            "answers so far are in the journal, these requests are not recorded"
        )

    async def _give_all(self) -> None:
        """Yield the outcomes that are on disk; entries written during one sync share the next."""
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
class _Usage:
    """Calls and tokens of an item."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _in_thread(work: Callable[[], None]) -> Future[None]:
    """Run ``work`` in a daemon thread; those of executors would keep the program alive."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # raised where the result is read
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=run, daemon=True, name=f"sugar {work.__name__}").start()
    return future
