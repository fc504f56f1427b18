"""The journal of a job: answers and failures on disk, so that no request is paid for twice."""

import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from threading import Lock
from types import NoneType
from typing import Any, BinaryIO

from sugar.errors import InputError


@dataclass(frozen=True)
class Entry:
    """The outcome of one request: an answer or a failure, never both.

    Args:
        key: `Request.key`.
        item, template: those of the request.
        answer: JSON of the requested shape, or None.
        failure: why there is no answer, else "".
        media: origins of its media.
        model: the model and its options.
        tokens_in, tokens_out: of all calls, the repair included.
        calls: number of calls, retries and the repair included.
        at: time, UTC, ISO 8601.
    """

    key: str
    item: str
    answer: dict[str, Any] | None
    failure: str
    template: str
    media: tuple[str, ...]
    model: dict[str, Any]
    tokens_in: int
    tokens_out: int
    calls: int
    at: str


_FIELDS = tuple(field.name for field in dataclasses.fields(Entry))
_KINDS: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("key", str),
    ("item", str),
    ("answer", (dict, NoneType)),
    ("failure", str),
    ("template", str),
    ("media", list),
    ("model", dict),
    ("tokens_in", int),
    ("tokens_out", int),
    ("calls", int),
    ("at", str),
)


class Journal:
    """A folder of ``*.jsonl``; opening it reads all files, and this process appends to a file of its own.

    Memory holds the key and place of each entry (about 0.3 KB), not the entry. `refresh` reads what other processes
    have appended. Of several entries of a key an answer counts before a failure, and a later one before an earlier.
    Calls from several threads are safe.

    Attributes:
        ignored: number of unreadable lines; last lines that a kill cut short are not counted.
    """

    def __init__(self, folder: Path) -> None:
        """Read ``folder``, which may not exist yet; InputError where it cannot be read."""
        self.folder = Path(folder)
        self.ignored = 0
        self._files: dict[Path, int] = {}  # bytes read or written
        self._places: dict[str, tuple[Path, int]] = {}  # file, offset in bytes
        self._failed: set[str] = set()
        self._lock = Lock()
        self._own: FileIO | None = None
        self._own_path = self.folder
        self._open: tuple[Path, BinaryIO] | None = None  # the file read last: neighbors are mostly read together
        self.refresh()

    def refresh(self) -> None:
        """Read what other processes have appended since; InputError where the folder cannot be read."""
        with self._lock:
            try:
                for path in sorted(self.folder.glob("*.jsonl")):
                    self._read_on(path)
            except OSError as error:
                raise InputError(f"{self.folder}: the journal cannot be read ({error.strerror})") from error

    def _read_on(self, path: Path) -> None:
        end = self._files.setdefault(path, 0)
        for offset, line in _lines(path, end):
            record = _read(line)
            if record is not None:
                self._remember(record["key"], record["answer"] is not None, (path, offset))
            elif line.endswith(b"\n"):
                self.ignored += 1
            else:
                return  # cut short by a kill, or still being written
            self._files[path] = offset + len(line)

    def __len__(self) -> int:
        """The number of keys with an entry."""
        return len(self._places)

    def find(self, key: str) -> Entry | None:
        """The entry of ``key``, an answer or a failure; None if there is none."""
        with self._lock:
            place = self._places.get(key)
            record = None if place is None else _read(self._line(*place))
        return None if record is None else _entry(record)

    def add(self, entry: Entry) -> None:
        """Append one line and wait until it is on disk; InputError if that fails."""
        self.write(entry)
        self.sync()

    def write(self, entry: Entry) -> None:
        """Write one line: a kill of this process no longer loses it, a power cut does until `sync`."""
        line = json.dumps({name: getattr(entry, name) for name in _FIELDS}, ensure_ascii=False) + "\n"
        data = line.encode("utf-8", "replace")  # half a surrogate pair, which some models write, becomes "?"
        with self._lock:
            try:
                own = self._own or self._create()
                written = own.write(data)
                if written != len(data):
                    raise OSError(0, "the disk is full")
            except OSError as error:
                self._own = None  # the file may end in half a line: the next entry begins a new file
                raise self._unwritable(error) from error
            offset = self._files[self._own_path]
            self._files[self._own_path] = offset + len(data)
            self._remember(entry.key, entry.answer is not None, (self._own_path, offset))

    def sync(self) -> None:
        """Wait until all written lines are on disk."""
        own = self._own
        if own is not None:
            try:
                os.fsync(own.fileno())
            except OSError as error:
                raise self._unwritable(error) from error

    def entries(self) -> Iterator[Entry]:
        """The entry of each key, file after file."""
        for path in list(self._files):
            for offset, line in _lines(path):
                record = _read(line)
                if record is not None and self._places.get(record["key"]) == (path, offset):
                    yield _entry(record)

    def close(self) -> None:
        """Close the files; the journal can still be used."""
        with self._lock:
            if self._own is not None:
                self._own.close()
                self._own = None
            if self._open is not None:
                self._open[1].close()
                self._open = None

    def _remember(self, key: str, answered: bool, place: tuple[Path, int]) -> None:
        if answered:
            self._failed.discard(key)
        elif key in self._places and key not in self._failed:
            return
        else:
            self._failed.add(key)
        self._places[key] = place

    def _line(self, path: Path, offset: int) -> bytes:
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                self._open[1].close()
            self._open = (path, path.open("rb"))
        self._open[1].seek(offset)
        return self._open[1].readline()

    def _create(self) -> FileIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        host = re.sub(r"[^A-Za-z0-9.]+", "_", socket.gethostname()) or "host"
        path = self.folder / f"{host}-{os.getpid()}-{time.time_ns()}.jsonl"
        self._own, self._own_path = FileIO(path, "xb"), path
        self._files[path] = 0
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's name
        finally:
            os.close(folder)
        return self._own

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.folder}: the journal cannot be written ({error.strerror}); make room or allow it, and run again"
        )


def _lines(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The lines of a file from ``offset`` on, each with its offset in bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            yield offset, line
            offset += len(line)


def _read(line: bytes) -> dict[str, Any] | None:
    """The fields of a line; None if a kill, a full disk or an edit has damaged it."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or any(not isinstance(record.get(name), kind) for name, kind in _KINDS):
        return None
    return record if (record["answer"] is None) == bool(record["failure"]) else None


def _entry(record: dict[str, Any]) -> Entry:
    values = {name: record[name] for name in _FIELDS}  # a later version may have more
    return Entry(**values | {"media": tuple(record["media"])})
