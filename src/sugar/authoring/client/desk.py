"""Where all questions of one job go: the same model, journal, limits and counts for all of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from sugar.authoring.client.journal import Entry, Journal
from sugar.authoring.client.limits import RunningConfig
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.providers import ProviderConfig, from_config
from sugar.authoring.client.request import Request
from sugar.authoring.client.running import Progress, run_requests

Make = Callable[[Mapping[str, Any]], Iterable[Request]]

TOKENS_OF_PICTURE = 800
"""A rough figure: models count 250 to 1,600 for a picture of usual size."""
TOKENS_OF_ANSWER = 300
LETTERS_OF_TOKEN = 4


@dataclass(frozen=True)
class Told:
    """A good answer: what it is for, what it says, and the journal's entry of it."""

    item: str
    answer: dict[str, Any]
    entry: Entry

    def origin(self) -> dict[str, Any]:
        """Where it comes from, as plain data."""
        entry = self.entry
        return {
            "model": entry.model,
            "template": entry.template,
            "pictures": list(entry.pictures),
            "key": entry.key,
            "at": entry.at,
        }


class Runner(Protocol):
    """Takes questions and gives the good answers; ``dry``: only those that are known already."""

    dry: bool
    failures: dict[str, str]

    def ask(self, what: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Told]:
        """The good answers, in any order; the others are in ``failures``: item and reason.

        Args:
            what: small descriptions of plain types; ``make`` makes the requests of each, maybe in another process.
            total: how many requests there will be, where that is known.

        Raises:
            InputError: see `run_requests`.
        """
        ...


def ask_each(desk: Runner, requests: Sequence[Request]) -> Iterator[Told]:
    """Ask requests that are made already."""
    numbers = [{"number": number} for number in range(len(requests))]
    return desk.ask(numbers, lambda what: [requests[what["number"]]], total=len(requests))


@dataclass
class AskingRunner:
    """Asks.

    Args:
        endpoints: further base URLs of the same model, for ``workers``.
        workers: processes that ask, run by Ray; 0: this one.
        address: of the Ray cluster; empty: this machine.
        progress: is told of every outcome.
    """

    provider: ProviderConfig
    running: RunningConfig
    journal: Path
    endpoints: Sequence[str] = ()
    workers: int = 0
    address: str = ""
    progress: Progress | None = None
    summary: Summary = field(default_factory=lambda: Summary(total=0))
    failures: dict[str, str] = field(default_factory=dict)
    dry = False

    def ask(self, what: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Told]:
        if self.summary.total is not None:
            self.summary.total = None if total is None else self.summary.total + total
        if self.workers and what:
            self._shard(what, make)
        outcomes = run_requests(
            (request for description in what for request in make(description)),
            from_config(self.provider),
            Journal(self.journal),
            replace(self.running, retry_failed=self.running.retry_failed and not self.workers),
            summary=replace(self.summary) if self.workers else self.summary,  # what workers asked is counted
            progress=None if self.workers else self.progress,
        )
        for outcome in outcomes:
            entry = outcome.entry
            if entry.answer is None:
                self.failures[outcome.request.item] = entry.failure
            else:
                yield Told(outcome.request.item, entry.answer, entry)

    @contextmanager
    def open(self) -> Iterator["AskingRunner"]:
        """The desk with its workers ready, for several rounds of questions."""
        with ExitStack() as stack:
            if self.workers:
                from sugar.authoring.client.sharding import ShardingConfig, ray_session

                stack.enter_context(ray_session(ShardingConfig(self.workers, self.address or None)))
            yield self

    def _shard(self, what: Sequence[Mapping[str, Any]], make: Make) -> None:
        """Workers ask; what they found is then read from the journal that they share."""
        from sugar.authoring.client.sharding import ShardingConfig, run_sharded

        providers = [replace(self.provider, base_url=url) for url in self.endpoints] or [self.provider]
        run_sharded(
            what,
            make,
            providers,
            self.journal,
            self.running,
            ShardingConfig(self.workers, self.address or None),
            summary=self.summary,
            progress=self.progress,
        )


@dataclass
class DryRunner:
    """Asks nothing: counts what would be asked, and keeps one question of each kind to show."""

    provider: ProviderConfig
    running: RunningConfig
    journal: Path
    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    tokens_in: int = 0
    examples: dict[str, Request] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    dry = True

    def ask(self, what: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Told]:
        model = from_config(self.provider).model
        journal = Journal(self.journal) if self.journal.is_dir() else None
        for request in (request for description in what for request in make(description)):
            entry = journal.find(request.key(model)) if journal else None
            self.examples.setdefault(request.template, request)
            if entry is None or (entry.answer is None and self.running.retry_failed):
                self.new[request.template] += 1
                self.pictures += len(request.pictures)
                self.tokens_in += len(request.prompt) // LETTERS_OF_TOKEN + TOKENS_OF_PICTURE * len(request.pictures)
            else:
                self.known[request.template] += 1
                if entry.answer is not None:
                    yield Told(request.item, entry.answer, entry)

    def lines(self) -> Iterator[str]:
        """What would be asked, for people."""
        for template, example in self.examples.items():
            yield f"--- {template}: {self.new[template]} to ask, {self.known[template]} in the journal; one of them:"
            yield example.prompt.rstrip()
            yield from (f"[{picture.origin}, {len(picture.data):,} bytes]" for picture in example.pictures)
        total = sum(self.new.values())
        tokens_out = total * TOKENS_OF_ANSWER
        cost = self.running.prices.cost(self.tokens_in, tokens_out)
        yield f"--- {total} questions with {self.pictures} pictures, roughly {self.tokens_in + tokens_out:,} tokens" + (
            f", cost about {cost:,.2f}" if cost else ""
        )
