"""Prompts: templates of the package, filled with data that others wrote and that no model shall obey.

Names and texts from outside stand in a prompt between double quotes, as JSON writes them, so that none can end its own
quotation; every template says that what is quoted is data. A field is filled once: a name ``$action`` stays one.
"""

import importlib.resources
import json
import unicodedata
from collections.abc import Iterable
from functools import cache
from string import Template

from sugar.errors import InputError

NAME_LIMIT = 100
TEXT_LIMIT = 2_000
# Controls, format characters (zero-width, bidirectional), lone surrogates, line and paragraph separators.
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Marked(str):
    """Text that may stand in a prompt: quoted data, or wording of our own."""

    __slots__ = ()


def quoted(name: str, what: str = "class name") -> Marked:
    """A name between double quotes: NFC, single spaces.

    Args:
        what: what to call it in an error: ``"class name"``, ``"file name"``.

    Raises:
        InputError: empty, over 100 characters, or with a line break, a control character or an invisible one.
    """
    return _quoted(name, what, NAME_LIMIT)


def quoted_text(text: str, what: str = "text") -> Marked:
    """A longer text between double quotes: as `quoted`, up to 2,000 characters; line breaks become spaces."""
    return _quoted(" ".join(text.split()), what, TEXT_LIMIT)


def quoted_texts(texts: Iterable[str], what: str = "text") -> Marked:
    """Several texts, one a line, each as `quoted_text`; ``(none)`` without any."""
    return Marked("\n".join(f"- {quoted_text(text, what)}" for text in texts) or "(none)")


def prompt(template_name: str, **fields: Marked | int) -> str:
    """Fill ``prompts/TEMPLATE_NAME.txt``.

    Raises:
        TypeError: a field that is neither a number nor `Marked`: quote it first.
        ValueError: the template has other places to fill than ``fields``.
    """
    unmarked = [name for name, value in fields.items() if not isinstance(value, Marked | int)]
    if unmarked:
        raise TypeError(f"prompt {template_name}: quote {', '.join(unmarked)} first: unquoted text could give orders")
    template = _template(template_name)
    if set(template.get_identifiers()) != set(fields):
        places = ", ".join(sorted(template.get_identifiers()))
        raise ValueError(f"prompt {template_name}: its places to fill are {places}, not {', '.join(sorted(fields))}")
    return template.substitute(fields)


@cache
def _template(name: str) -> Template:
    file = importlib.resources.files("sugar.authoring.tasks").joinpath("prompts", f"{name}.txt")
    return Template(file.read_text(encoding="utf-8").strip() + "\n")


def _quoted(text: str, what: str, limit: int) -> Marked:
    shown = ascii(text[:40])
    odd = next((character for character in text if unicodedata.category(character) in _REFUSED), None)
    if odd is not None:
        kind = "a line break" if odd in "\n\r\x0b\x0c\x85\u2028\u2029" else "a control or invisible character"
        raise InputError(f"{what} {shown}: has {kind} (U+{ord(odd):04X}); take it out")
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if not text:
        raise InputError(f"{what} {shown} is empty; give it a text")
    if len(text) > limit:
        raise InputError(
            f"{what} {shown}... has {len(text)} characters; at most {limit} are sent to a model: shorten it"
        )
    return Marked(json.dumps(text, ensure_ascii=False))
