"""What every reader works on: the files of a folder or an archive, and what is read at once.

A reader is a frozen dataclass whose fields are its options (`Reader`). It plans which files belong together and
reads one item at a time, so that items can be read by several processes and an interrupted import can go on.
"""

import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from sugar.datasets.store.manifest import Rejected, check_text
from sugar.errors import InputError
from sugar.skeleton.clip import MAX_FPS, SkeletonClip
from sugar.skeleton.layout import JointLayout

T = TypeVar("T")

MAX_BYTES = 256 * 1024**2
"""Largest single file that is read unless a reader allows more."""
_BOMB_RATIO = 500
_BOMB_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a folder or of a zip archive.

    Args:
        name: path within the source, with forward slashes.
        root: the folder or archive.
        size: bytes when unpacked.
    """

    name: str
    root: Path
    size: int

    @property
    def stem(self) -> str:
        return posixpath.splitext(posixpath.basename(self.name))[0]

    @property
    def suffix(self) -> str:
        """The ending in lower case, with its dot."""
        return posixpath.splitext(self.name)[1].lower()

    @property
    def folder(self) -> str:
        """Path of the folder that it lies in, within the source; empty at the top."""
        parent = str(PurePosixPath(self.name).parent)
        return "" if parent == "." else parent

    def read(self, max_bytes: int = MAX_BYTES) -> bytes:
        """The content.

        Raises:
            InputError: larger than ``max_bytes``, damaged or gone. The message does not name the file.
        """
        if self.size > max_bytes:
            raise InputError(f"{self.size:,} bytes are more than the {max_bytes:,} that such a file may have")
        try:
            try:
                with open(os.path.join(self.root, self.name), "rb", buffering=0) as file:
                    return file.readall()
            except OSError:  # afterwards, since to ask first takes time for each file
                if self.root.is_dir():
                    raise
            if self.root.name == self.name:  # a file by itself
                return self.root.read_bytes()
            return _archive(self.root, self.root.stat().st_mtime_ns).read(self.name)
        except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError, KeyError) as error:
            raise InputError(f"cannot be read ({error})") from None


@dataclass(frozen=True, slots=True)
class Item:
    """What is read at once: one file, or files that belong together, such as a recording and its labels.

    Args:
        name: what a rejected row calls it.
        files: the files, in the order that its reader put them.
    """

    name: str
    files: tuple[SourceFile, ...]


Read = Callable[[Item], Iterator[SkeletonClip | Rejected]]


@dataclass(frozen=True)
class Plan:
    """How a source is read.

    Args:
        items: what to read, in the order of the store.
        layout: joint layout of every clip.
        classes: class names in label order; None: the labels that occur, sorted.
        read: reads one item; other processes call it, so it must be picklable (a method of the reader). An
            `InputError` that it raises rejects the whole item.
    """

    items: tuple[Item, ...]
    layout: JointLayout
    classes: tuple[str, ...] | None
    read: Read

    def __post_init__(self) -> None:
        for joint in (self.layout.name, *self.layout.joint_names):
            check_text(joint, "a name in the joint layout")
        for name in self.classes or ():
            check_text(name, "a class name")


class Reader(Protocol):
    """One data set or file format."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        """What to read of ``files`` (sorted by name).

        Raises:
            InputError: nothing there that this reader reads, or a description of the data that is wrong.
        """
        ...


def read_source(reader: Reader, source: str | Path) -> Iterator[SkeletonClip | Rejected]:
    """All clips and rejected files of a source, one after another in this process.

    Raises:
        InputError: no such source, or nothing in it that the reader reads.
    """
    with TemporaryDirectory() as scratch, opened(source, Path(scratch, "unpacked")) as files:
        try:
            plan = reader.plan(files)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        for item in plan.items:
            try:
                yield from plan.read(item)
            except InputError as error:
                yield Rejected(item.name, str(error))


def one_each(files: Iterable[SourceFile], *suffixes: str) -> tuple[Item, ...]:
    """An item for each file with one of the suffixes.

    Raises:
        InputError: there is none.
    """
    items = tuple(Item(file.name, (file,)) for file in files if file.suffix in suffixes)
    if not items:
        raise InputError(f"it holds no {' or '.join(suffixes)} file")
    return items


def some_each(files: Iterable[SourceFile], suffix: str, *, num_bytes: int) -> tuple[Item, ...]:
    """Items of files with the suffix, one after the other until they have ``num_bytes`` together.

    Raises:
        InputError: there is none.
    """
    files = [file for item in one_each(files, suffix) for file in item.files]
    return tuple(Item(group[0].name, group) for group in grouped(files, lambda file: file.size, num_bytes))


def grouped(things: Iterable[T], weight: Callable[[T], int], enough: int) -> Iterator[tuple[T, ...]]:
    """The things in groups that weigh ``enough``, in order; the last may weigh less."""
    group: list[T] = []
    total = 0
    for thing in things:
        group.append(thing)
        total += weight(thing)
        if total >= enough:
            yield tuple(group)
            group, total = [], 0
    if group:
        yield tuple(group)


def check_fps(fps: float | None) -> None:
    """Refuse an option ``fps`` that is no frames a second.

    Raises:
        InputError: it is not above zero, or beyond what a clip can have.
    """
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InputError(f"fps must be above zero and at most {MAX_FPS}, not {fps}")


def single_file(path: str | Path) -> Item:
    """An item of one file on disk, read without a plan (for prediction).

    Raises:
        InputError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    return Item(str(path), (SourceFile(path.name, path, path.stat().st_size),))


def read_one(path: str | Path, read: Callable[[SourceFile], SkeletonClip]) -> SkeletonClip:
    """The clip of one file on disk (for prediction).

    Raises:
        InputError: no such file, or ``read`` refuses it; names the file.
    """
    (file,) = single_file(path).files
    try:
        return read(file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@contextmanager
def making_clip(clip_id: str, label: str | None = None) -> Iterator[None]:
    """Around the making of a clip: its names must be such as a store can hold, and errors do not repeat its id.

    Who reports an error, as a rejected row or of a path, says where it is.

    Raises:
        InputError: without the name of the clip in front.
    """
    check_text(clip_id, "its name")
    check_text(label or "", "its label")
    try:
        yield
    except InputError as error:
        raise InputError(str(error).removeprefix(f"clip {clip_id!r}: ")) from None


@contextmanager
def opened(source: str | Path, scratch: str | Path) -> Iterator[tuple[SourceFile, ...]]:
    """The files of a folder (with its subfolders), a zip or tar archive, or one file; sorted by name.

    A zip is read in place. A tar can only be read from front to back, so it is unpacked into ``scratch``, which is
    removed again. Hidden files are passed over.

    Raises:
        InputError: no such source, a damaged archive, or one that is not what it pretends to be: members outside its
            folder, or sizes out of all proportion.
    """
    source = Path(source)
    try:
        there = source.exists()
    except OSError as error:  # a name too long, say
        raise InputError(f"{str(source)[:200]}: {error.strerror}") from None
    if source.is_dir():
        yield _folder_files(source)
    elif not there or not source.is_file():
        raise InputError(f"{source}: there is no such folder or archive")
    elif source.suffix.lower() == ".zip" or (zipfile.is_zipfile(source) and source.suffix.lower() != ".npz"):
        yield _zip_files(source)
    elif _is_tar(source):
        folder = Path(scratch)
        try:
            _unpack(source, folder)
            yield _folder_files(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        yield (SourceFile(source.name, source, source.stat().st_size),)


@lru_cache(maxsize=1)
def _archive(path: Path, changed: int) -> zipfile.ZipFile:
    """The archive, opened once a process as long as it is not ``changed``: its list of members is long to read."""
    return zipfile.ZipFile(path)


def _folder_files(folder: Path) -> tuple[SourceFile, ...]:
    found: list[SourceFile] = []
    unread = [""]
    while unread:
        within = unread.pop()
        try:
            entries = [entry for entry in os.scandir(os.path.join(folder, within)) if entry.name[0] != "."]
            unread += [posixpath.join(within, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
            files = [entry for entry in entries if _is_file(entry)]
            found += [SourceFile(posixpath.join(within, file.name), folder, file.stat().st_size) for file in files]
        except OSError as error:
            raise InputError(f"{folder / within}: cannot be read ({error.strerror})") from None
    return tuple(sorted(found, key=lambda file: file.name))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file or leads to one; a link that leads in a circle does not."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _zip_files(archive: Path) -> tuple[SourceFile, ...]:
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{archive}: not a readable zip archive ({error})") from None
    for member in members:
        _refuse_outside(archive, member.filename)
        if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
            raise InputError(
                f"{archive}: {member.filename} claims to unpack from {member.compress_size:,} to "
                f"{member.file_size:,} bytes; such an archive is not read"
            )
    found = [SourceFile(m.filename, archive, m.file_size) for m in members if not _hidden(m.filename)]
    return tuple(sorted(found, key=lambda file: file.name))


def _is_tar(path: Path) -> bool:
    if path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".txz")):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (EOFError, OSError, zlib.error, LZMAError):  # a cut file of another kind
        return False


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    allowed = max(_BOMB_BYTES, _BOMB_RATIO * archive.stat().st_size)
    try:
        with tarfile.open(archive, mode="r:*") as packed:
            for member in packed:
                _refuse_outside(archive, member.name)
                allowed -= member.size
                if allowed < 0 or shutil.disk_usage(folder).free < member.size:
                    raise InputError(f"{archive}: {member.name} unpacks to more than fits or is plausible; not read")
                if member.isfile() and not _hidden(member.name):
                    packed.extract(member, folder, filter="data")
            # An archive cut between two members would look whole: its end is a block of zeros, then the stream's own.
            stream = packed.fileobj
            if stream is None or stream.tell() < packed.offset + tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it is cut short")
            while stream.read(2**20):
                pass
    except (tarfile.TarError, LZMAError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{archive}: not a readable tar archive ({error})") from None


def _refuse_outside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{archive}: its member {name!r} would lie outside its folder; such an archive is not read")


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") and part != "." for part in parts) or "__MACOSX" in parts
