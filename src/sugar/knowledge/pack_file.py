"""Writing a knowledge pack as YAML that people like to read, as the shipped packs are."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from sugar.errors import InputError
from sugar.files import atomic_write
from sugar.knowledge.pack import FORMAT, ClassKnowledge, KnowledgePack, load_pack

_WIDTH = 108
"""Of a line; longer texts are folded."""


def write_pack(pack: KnowledgePack, path: Path) -> None:
    """Write ``pack`` to ``path``; `load_pack` reads back the same.

    White space within texts becomes single spaces, as when a pack is read.

    Raises:
        InputError: what would be written is no valid pack; a file already there stays as it is.
    """
    path = Path(path)
    with atomic_write(path) as temporary:
        temporary.write_text(pack_text(pack), encoding="utf-8", newline="\n")
        try:
            load_pack(temporary)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), str(path))) from None


def pack_text(pack: KnowledgePack) -> str:
    """The file of a pack."""
    return "\n".join(_lines(pack)) + "\n"


def _lines(pack: KnowledgePack) -> Iterator[str]:
    yield f"format: {FORMAT}"
    yield from _entry("name: ", pack.name, indent=2)
    yield f"version: {_in_quotes(pack.version)}"
    yield from _entry("language: ", pack.language, indent=2)
    yield "provenance:"
    yield from _entry("  author: ", pack.provenance.author, indent=4)
    yield from _entry("  method: ", pack.provenance.method, indent=4)
    yield f"  date: {_in_quotes(pack.provenance.date)}"
    yield from _entry("  license: ", pack.provenance.license, indent=4)
    yield ""
    yield "classes:"
    for number, entry in enumerate(pack.classes):
        if number:
            yield ""
        yield from _class_lines(entry)


def _class_lines(entry: ClassKnowledge) -> Iterator[str]:
    yield f"  - name: {_on_one_line(_joined(entry.name))}"
    yield from _list("motion", entry.motion)
    yield from _list("visual", entry.visual)
    yield from _list("descriptions", entry.descriptions)
    if entry.motion_sentences:
        yield from _list("motion_sentences", entry.motion_sentences)


def _list(key: str, texts: Sequence[str]) -> Iterator[str]:
    yield f"    {key}:" if texts else f"    {key}: []"
    for text in texts:
        yield from _entry("      - ", text, indent=8)


def _entry(before: str, text: str, *, indent: int) -> Iterator[str]:
    """A text behind its key or dash: on that line where it fits, else folded below, ``indent`` spaces in."""
    text = _joined(text)
    line = before + _on_one_line(text)
    # Only printable characters may stand in a folded text as they are.
    if len(line) <= _WIDTH or not text.isprintable():
        yield line
        return
    yield f"{before}>-"
    margin = " " * indent
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _joined(text: str) -> str:
    return " ".join(text.split())


def _on_one_line(text: str) -> str:
    """The text as it is where YAML takes that for this very text, else in quotes."""
    dumped = yaml.safe_dump([text], width=math.inf, allow_unicode=True)
    return text if dumped == f"- {text}\n" else _in_quotes(text)


def _in_quotes(text: str) -> str:
    return yaml.safe_dump(_joined(text), default_style='"', width=math.inf, allow_unicode=True).removesuffix("\n")
