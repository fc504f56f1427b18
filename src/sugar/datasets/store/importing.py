"""From a source to a store: read by several processes, resumable, with flat memory.

The items of a source are read in chunks, each into a part file of its own beside the store. A part that is there
is not read again, so an interrupted import loses only the chunks it was in. Meanwhile the parts are joined into the
store, in the order of the items, whatever the number of processes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from sugar.datasets.formats.source import Item, Plan, Read, Reader, SourceFile, grouped, opened
from sugar.datasets.store.manifest import Rejected
from sugar.datasets.store.rows import ROW_SCHEMA, BatchWriter, as_row
from sugar.datasets.store.store import Store, StoreWriter, check_replaceable
from sugar.datasets.store.worker_pool import reading_processes
from sugar.errors import InputError
from sugar.files import atomic_folder, write_text
from sugar.skeleton.layout import JointLayout

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

CHUNK_FILES = 64
"""Small files that one process reads at a time; what an interruption may lose."""
CHUNK_BYTES = 24 * 1024**2
"""Of large files it reads as many as have this many bytes together."""


def import_data(
    reader: Reader,
    source: str | Path,
    store: str | Path,
    *,
    name: str,
    workers: int = 0,
    console: "Console | None" = None,
) -> Store:
    """Read all of ``source`` into the new store ``store``; goes on where the same import was interrupted.

    Args:
        source: folder, zip or tar archive, or a single file.
        name: name of the data set.
        workers: processes that read; 0: as many as there are cores.
        console: where progress is shown, if it is a terminal.

    Raises:
        InputError: nothing there to read, no valid clip, or a folder that is no store.
        KeyboardInterrupt: with a message how to go on.
    """
    source, store = Path(source), Path(store)
    check_replaceable(store)
    partial = store.parent / f".{store.name}.import"
    try:
        with opened(source, partial / "unpacked") as files:
            plan = _plan(reader, source, files)
            chunks = _chunks(plan, partial, f"{name} {reader!r} {plan.read!r}")
            with closing(_read_chunks(chunks, plan, workers or os.cpu_count() or 1, console)) as parts:
                written = _join(parts, plan, partial / "joined", store, name, source.name)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{store}: import interrupted; the same command goes on where it stopped") from None
    except InputError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(partial, ignore_errors=True)
    return written


def _plan(reader: Reader, source: Path, files: Sequence[SourceFile]) -> Plan:
    try:
        return reader.plan(files)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


@dataclass(frozen=True)
class _Chunk:
    """Some items and the part file that they are read into, which is there once all are read."""

    items: tuple[Item, ...]
    part: Path

    @property
    def num_files(self) -> int:
        """How many files the items have."""
        return sum(len(item.files) for item in self.items)

    @property
    def refused(self) -> Path:
        """Where the rejected files are listed; there only if there are any, since small files take their time too."""
        return self.part.with_suffix(".json")

    def rejected(self) -> list[Rejected]:
        """The files that were rejected."""
        if not self.refused.is_file():
            return []
        return [Rejected(*row) for row in json.loads(self.refused.read_text(encoding="utf-8"))]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The clips, mapped into memory."""
        with pa.memory_map(str(self.part)) as mapped:
            file = pa.ipc.open_file(mapped)
            yield from (file.get_batch(i) for i in range(file.num_record_batches))

    def labels(self) -> set[str]:
        """The labels that occur."""
        return {
            name for batch in self.batches() for name in batch.column("label").unique().to_pylist() if name is not None
        }


def _chunks(plan: Plan, partial: Path, reader: str) -> list[_Chunk]:
    """The chunks of a plan; parts of another import in the same place are removed."""
    listing = hashlib.sha256(reader.encode())
    for item in plan.items:
        listing.update(json.dumps([item.name, [(file.name, file.size) for file in item.files]]).encode())
    record = partial / "import.json"
    try:
        same = json.loads(record.read_text(encoding="utf-8")) == listing.hexdigest()
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(partial / "parts", ignore_errors=True)
        (partial / "parts").mkdir(parents=True)
        write_text(record, json.dumps(listing.hexdigest()))
    groups = grouped(plan.items, _weight, CHUNK_BYTES)
    return [_Chunk(items, partial / "parts" / f"{at:08d}.arrow") for at, items in enumerate(groups)]


def _weight(item: Item) -> int:
    return sum(max(file.size, CHUNK_BYTES // CHUNK_FILES) for file in item.files)


def _read_chunks(
    chunks: Sequence[_Chunk], plan: Plan, workers: int, console: "Console | None"
) -> Generator[_Chunk, None, None]:
    """Read what is not there yet; yields all chunks, each once it and those before it are there."""
    todo = [chunk for chunk in chunks if not chunk.part.is_file()]
    missing = {chunk.part for chunk in todo}
    given = 0
    others = min(workers, len(todo)) - 1  # this process reads as well
    with reading_processes(others) as pool, _progress(console) as progress:
        files = sum(chunk.num_files for chunk in chunks)
        done = files - sum(chunk.num_files for chunk in todo)
        task = progress.add_task("", total=files, completed=done, clips=0, rejected=0)
        clips = rejected = 0
        for chunk, read, refused in _run(todo, plan, pool, others):
            clips, rejected = clips + read, rejected + refused
            progress.update(task, advance=chunk.num_files, clips=clips, rejected=rejected)
            missing.remove(chunk.part)
            while given < len(chunks) and chunks[given].part not in missing:
                yield chunks[given]
                given += 1
    yield from chunks[given:]


def _progress(console: "Console | None") -> "Progress":
    # Here, because the reading processes need none of it.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[clips]} clips, {task.speed:.0f}/s, {task.fields[rejected]} rejected"),
        TimeRemainingColumn(),
    )
    console = console or Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _run(
    todo: Sequence[_Chunk], plan: Plan, pool: ProcessPoolExecutor | None, others: int
) -> Iterator[tuple[_Chunk, int, int]]:
    """Read the chunks; yields each with its number of clips and of rejected files as it is done.

    Args:
        pool: ``others`` processes that read; this one reads as well. None: this one alone.
    """
    if pool is None:
        for chunk in todo:
            yield chunk, *_read_chunk(chunk, plan.read, plan.layout)
        return
    queue = iter(todo)
    running: dict[Future[tuple[int, int]], _Chunk] = {}
    try:
        while True:
            # Few in flight, so that neither memory nor what an interruption waits for grows with the source.
            for chunk in islice(queue, 3 * others - len(running)):
                running[pool.submit(_read_chunk, chunk, plan.read, plan.layout)] = chunk
            own = next(queue, None)
            if own is not None:
                yield own, *_read_chunk(own, plan.read, plan.layout)
            elif running:
                wait(running, return_when=FIRST_COMPLETED)
            else:
                return
            for future in [future for future in running if future.done()]:
                yield running.pop(future), *future.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a reading process died, most likely for want of memory; the same command with fewer --workers goes on"
        ) from None


def _read_chunk(chunk: _Chunk, read: Read, layout: JointLayout) -> tuple[int, int]:
    """Read a chunk's items into its part file; returns how many clips and how many rejected files."""
    rejected: list[Rejected] = []
    clips = 0
    temporary = chunk.part.with_suffix(".tmp")
    with BatchWriter(temporary, ROW_SCHEMA) as part:
        for item in chunk.items:
            try:
                for clip in read(item):
                    if isinstance(clip, Rejected):
                        rejected.append(clip)
                    elif clip.layout != layout:
                        reason = f"its layout is {clip.layout.name!r}, that of the others {layout.name!r}"
                        rejected.append(Rejected(item.name, reason))
                    else:
                        part.add(as_row(clip))
                        clips += 1
            except InputError as error:
                rejected.append(Rejected(item.name, str(error)))
    chunk.refused.unlink(missing_ok=True)
    if rejected:
        write_text(chunk.refused, json.dumps([[row.file, row.reason] for row in rejected]))
    temporary.replace(chunk.part)
    return clips, len(rejected)


def _join(chunks: Iterable[_Chunk], plan: Plan, folder: Path, store: Path, name: str, source: str) -> Store:
    """Write the parts into ``folder`` as they come, and make the store of it when all are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    classes = plan.classes
    if classes is None:
        chunks = list(chunks)
        classes = tuple(sorted(set().union(*(chunk.labels() for chunk in chunks))))
    rejected: list[Rejected] = []
    refused: list[Rejected] = []  # an id twice, a label outside the list
    with StoreWriter(folder, plan.layout, classes) as writer:
        for chunk in chunks:
            rejected += chunk.rejected()
            for batch in chunk.batches():
                refused += writer.add_batch(batch)
    rejected += refused
    if not writer.clips:
        why = f" (first of {len(rejected)} rejected: {rejected[0].file}: {rejected[0].reason})" if rejected else ""
        raise InputError(f"store {store}: {source} holds no valid clip{why}")
    writer.write_manifest(name, source, rejected)
    with atomic_folder(store) as complete:
        for path in folder.iterdir():
            path.replace(complete / path.name)
    return Store.open(store)
