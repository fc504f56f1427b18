"""Run the requests of one job, or count them in a dry run: one model, journal, limits and totals for all tasks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from sugar.authoring.client.config import ProviderConfig, RunningConfig, ShardingConfig
from sugar.authoring.client.job import Progress, run_requests
from sugar.authoring.client.journal import Entry, Journal
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.providers import load_provider
from sugar.authoring.client.request import Request

Make = Callable[[Mapping[str, Any]], Iterable[Request]]
"""Makes the requests of a task."""

TOKENS_OF_MEDIA = 800
"""A rough figure: models count 250 to 1,600 for an image of usual size."""
TOKENS_OF_ANSWER = 300
LETTERS_OF_TOKEN = 4


@dataclass(frozen=True)
class Answer:
    """A valid answer: its item, its content, and its journal entry."""

    item: str
    content: dict[str, Any]
    entry: Entry

    def origin(self) -> dict[str, Any]:
        """Model, prompt, media and time of the answer, as plain data."""
        entry = self.entry
        return {
            "model": entry.model,
            "template": entry.template,
            "media": list(entry.media),
            "key": entry.key,
            "at": entry.at,
        }


class Runner(Protocol):
    """Runs tasks and yields the valid answers; ``dry``: only those that the journal already has."""

    dry: bool
    failures: dict[str, str]

    def run(self, tasks: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Answer]:
        """Yield the valid answers, in any order; the others are in ``failures``: item and reason.

        Args:
            tasks: small descriptions of plain types; ``make`` makes the requests of each, maybe in another process.
            total: the number of requests, if known.

        Raises:
            InputError: see `run_requests`.
        """
        ...


def run_each(runner: Runner, requests: Sequence[Request]) -> Iterator[Answer]:
    """Run requests that are made already."""
    numbers = [{"number": number} for number in range(len(requests))]
    return runner.run(numbers, lambda task: [requests[task["number"]]], total=len(requests))


@dataclass
class ModelRunner:
    """Runs tasks against a model.

    Args:
        endpoints: further base URLs of the same model, for ``workers``.
        workers: processes run by Ray that call the model; 0: this one.
        address: of the Ray cluster; empty: this machine.
        progress: called after every outcome.
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

    def run(self, tasks: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Answer]:
        if self.summary.total is not None:
            self.summary.total = None if total is None else self.summary.total + total
        if self.workers and tasks:
            self._shard(tasks, make)
        outcomes = run_requests(
            (request for task in tasks for request in make(task)),
            load_provider(self.provider),
            Journal(self.journal),
            replace(self.running, retry_failed=self.running.retry_failed and not self.workers),
            summary=replace(self.summary) if self.workers else self.summary,  # the workers have counted already
            progress=None if self.workers else self.progress,
        )
        for outcome in outcomes:
            entry = outcome.entry
            if entry.answer is None:
                self.failures[outcome.request.item] = entry.failure
            else:
                yield Answer(outcome.request.item, entry.answer, entry)

    @contextmanager
    def open(self) -> Iterator["ModelRunner"]:
        """The runner with its workers started, for several calls of `run`."""
        with ExitStack() as stack:
            if self.workers:
                from sugar.authoring.client.sharding import ray_session

                stack.enter_context(ray_session(ShardingConfig(self.workers, self.address or None)))
            yield self

    def _shard(self, tasks: Sequence[Mapping[str, Any]], make: Make) -> None:
        """Let workers call the model; their answers are then in the journal that they share."""
        from sugar.authoring.client.sharding import run_sharded

        providers = [replace(self.provider, base_url=url) for url in self.endpoints] or [self.provider]
        run_sharded(
            tasks,
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
    """Calls no model: counts the requests, and keeps one of each kind as an example."""

    provider: ProviderConfig
    running: RunningConfig
    journal: Path
    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    media: int = 0
    tokens_in: int = 0
    examples: dict[str, Request] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    dry = True

    def run(self, tasks: Sequence[Mapping[str, Any]], make: Make, total: int | None = None) -> Iterator[Answer]:
        model = load_provider(self.provider).model
        journal = Journal(self.journal) if self.journal.is_dir() else None
        for request in (request for task in tasks for request in make(task)):
            entry = journal.find(request.key(model)) if journal else None
            self.examples.setdefault(request.template, request)
            if entry is None or (entry.answer is None and self.running.retry_failed):
                self.new[request.template] += 1
                self.media += len(request.media)
                self.tokens_in += len(request.prompt) // LETTERS_OF_TOKEN + TOKENS_OF_MEDIA * len(request.media)
            else:
                self.known[request.template] += 1
                if entry.answer is not None:
                    yield Answer(request.item, entry.answer, entry)

    def lines(self) -> Iterator[str]:
        """The counts and examples, line by line, for people."""
        for template, example in self.examples.items():
            yield f"--- {template}: {self.new[template]} to ask, {self.known[template]} in the journal; one of them:"
            yield example.prompt.rstrip()
            yield from (f"[{part.origin}, {len(part.data):,} bytes]" for part in example.media)
        total = sum(self.new.values())
        tokens_out = total * TOKENS_OF_ANSWER
        cost = self.running.prices.cost(self.tokens_in, tokens_out)
        yield f"--- {total} requests with {self.media} images, roughly {self.tokens_in + tokens_out:,} tokens" + (
            f", cost about {cost:,.2f}" if cost else ""
        )
