"""Large jobs, sharded by Ray Data over many workers and one or several endpoints, with one journal.

``ray`` is imported when a job starts.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.authoring.client.config import ProviderConfig, RunningConfig, ShardingConfig
from sugar.authoring.client.job import Progress, run_requests
from sugar.authoring.client.journal import Journal
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.providers import load_provider
from sugar.authoring.client.request import Request
from sugar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Make = Callable[[Mapping[str, Any]], Iterable[Request]]

CLAIMED_AT_ONCE = 16
"""Requests that a worker makes before it claims them from the other workers."""
RESTARTS = 3
"""Times that each worker may die and be restarted; Ray Data would restart it forever."""


def run_sharded(
    tasks: Iterable[Mapping[str, Any]],
    make: Make,
    providers: Sequence[ProviderConfig],
    journal: Path,
    config: RunningConfig,
    sharding: ShardingConfig,
    *,
    summary: Summary | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Run all requests that the journal has no entry for; the answers are then in the journal.

    The workers take ``tasks`` in batches and make their requests. A batch of a worker that died is taken again; what
    the journal has is not run again, nor is a request that equals one of another worker. ``config`` holds for the whole
    job: each worker has its share. Tasks should name media by the paths of their files. On a cluster the journal's
    folder must be shared by all machines, and the key must be in the environment of each.

    Args:
        tasks: plain types only, as JSON has them; small, since all of them are held in memory.
        make: makes the requests of a task; of modules that the workers can import.
        providers: the endpoints, taken in turn; the same model with the same options at each.
        summary: totals, updated in place.

    Returns:
        the summary, with the totals of all workers.

    Raises:
        InputError: Ray is missing, the providers are not of one model, workers die again and again, or what
            `run_requests` raises in one.
        RuntimeError: Ray or the code of ``make`` failed; what was answered is in the journal.
    """
    if not providers:
        raise InputError("no provider given; give at least one")
    models = [dict(load_provider(provider).model) for provider in providers]
    if any(model != models[0] for model in models):
        raise InputError("the providers of one job must have the same model and options, for they share one journal")
    ray = _ray()
    rows = [json.dumps({"row": row, "task": dict(task)}) for row, task in enumerate(tasks)]
    summary = summary or Summary()
    begin = time.monotonic() - summary.seconds
    try:
        with ray_session(sharding):
            for counted in _run(ray, rows, make, providers, journal.absolute(), config, sharding.workers):
                if counted["error"]:
                    raise InputError(counted["error"])
                for name in _COUNTED:
                    before = getattr(summary, name)
                    setattr(summary, name, before + type(before)(counted[name]))
                summary.seconds = time.monotonic() - begin
                if progress is not None:
                    progress(summary)
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"sharing out failed; the same command goes on where it stopped: {error}") from error
    return summary


@contextmanager
def ray_session(sharding: ShardingConfig) -> Iterator[None]:
    """Run Ray for several jobs in turn, since starting it takes seconds; reuse a session that is open already.

    Raises:
        InputError: Ray is missing, or there is no cluster at the address.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    _start(ray, sharding)
    try:
        yield
    finally:
        ray.shutdown()


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read at import: turns off Ray's usage reports
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its logs are in files
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise InputError("sharing out a job needs Ray, which is missing: pip install 'sugar[ray]'") from error
    return ray


def _start(ray: Any, sharding: ShardingConfig) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if sharding.address is not None:
        try:
            ray.init(address=sharding.address, **quiet)
        except (ConnectionError, ValueError) as error:
            raise InputError(
                f"sharding.address: no Ray cluster at {sharding.address!r}; start one with `ray start`"
            ) from error
    else:
        # Workers mostly wait, so they may be more than the processors; one more for Ray Data itself.
        ray.init(num_cpus=sharding.workers + 1, include_dashboard=False, object_store_memory=2**28, **quiet)


def _run(
    ray: Any,
    rows: Sequence[str],
    make: Make,
    providers: Sequence[ProviderConfig],
    journal: Path,
    config: RunningConfig,
    workers: int,
) -> Iterator[dict[str, Any]]:
    """Run the dataset through its workers; yield the totals of each batch, or the error that stopped it."""
    import pyarrow as pa

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    share = replace(
        config,
        concurrency=max(1, config.concurrency // workers),
        requests_per_minute=config.requests_per_minute / workers,
        max_cost=config.max_cost / workers,
    )
    # Long batches, since each ends with a wait for its slowest request; but enough of them for all workers.
    size = max(2 * share.concurrency, min(16 * share.concurrency, len(rows) // (4 * workers)))
    blocks = [pa.table({"row": rows[at : at + size]}) for at in range(0, len(rows), size)]
    claims = ray.remote(_Claims).options(num_cpus=0).remote()
    counted = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        batch_size=None,
        batch_format="pyarrow",
        concurrency=workers,
        num_cpus=1,
        fn_constructor_args=(make, list(providers), str(journal), share, claims, workers * (1 + RESTARTS)),
    )
    yield from counted.iter_rows()


class _Claims:
    """An actor that assigns each request to one row, so that equal requests run once."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._workers = 0

    def join(self) -> int:
        """A number for a new worker."""
        self._workers += 1
        return self._workers - 1

    def claim(self, keys: list[str], rows: list[int]) -> list[bool]:
        """Return which requests belong to these rows; a row that comes again gets the same answer."""
        return [self._rows.setdefault(key, row) == row for key, row in zip(keys, rows, strict=True)]


class _Worker:
    """One process that runs requests; Ray Data gives it batch after batch."""

    def __init__(
        self,
        make: Make,
        providers: Sequence[ProviderConfig],
        journal: str,
        config: RunningConfig,
        claims: Any,
        most: int,
    ) -> None:
        import ray

        self._get, self._claims = ray.get, claims
        number: int = ray.get(claims.join.remote())
        self._error = ""
        if number >= most:
            self._error = (
                "workers die again and again, most likely of a file or for want of memory: look at their input"
            )
        self._make, self._config = make, config
        self._provider = load_provider(providers[number % len(providers)])
        self._model = dict(self._provider.model)
        self._journal = Journal(Path(journal))
        self._summary = Summary()  # of all batches, so that cost and a lost server count across them
        self._repeated = 0

    def __call__(self, batch: "pa.Table") -> dict[str, list[Any]]:
        before = replace(self._summary)
        if not self._error:
            try:
                self._run([json.loads(row) for row in batch["row"].to_pylist()])
            except InputError as error:  # its type would be lost on the way
                self._error = str(error)
        counted = {name: float(getattr(self._summary, name) - getattr(before, name)) for name in _COUNTED}
        return {"error": [self._error]} | {name: [value] for name, value in counted.items()}

    def _run(self, rows: list[dict[str, Any]]) -> None:
        if self._summary.left:  # an earlier batch reached the cost limit
            self._summary.left += len(rows)
            return
        self._repeated = 0
        self._journal.refresh()  # a batch that comes again was begun by another process
        requests = self._requests(rows)
        for _ in run_requests(requests, self._provider, self._journal, self._config, summary=self._summary):
            pass
        self._summary.from_journal += self._repeated

    def _requests(self, rows: Iterable[dict[str, Any]]) -> Iterator[Request]:
        """The requests that belong to this worker."""
        rows = iter(rows)
        while some := list(islice(rows, CLAIMED_AT_ONCE)):
            made = [(row["row"], request) for row in some for request in self._make(row["task"])]
            requests = [request for _, request in made]
            keys = [request.key(self._model) for request in requests]
            claimed = self._get(self._claims.claim.remote(keys, [row for row, _ in made]))
            self._repeated += claimed.count(False)
            yield from (request for request, mine in zip(requests, claimed, strict=True) if mine)


_COUNTED = tuple(field.name for field in fields(Summary) if field.name not in ("total", "seconds"))
