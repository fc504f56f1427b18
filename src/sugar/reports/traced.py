"""Values of a report on a page, each with the place in the JSON that it comes from.

An element shows the value at ``data-path`` (a JSON pointer, RFC 6901) in the style ``data-as``; a page that takes
its figures through `Traced` cannot show one that the JSON does not hold.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Literal

from sugar.config import leaves
from sugar.reports.page import percent

Style = Literal["text", "count", "size", "percent", "points", "three", "signed", "one", "p", "hash", "name", "true"]
Key = str | int

LONGEST_NAME = 26


def short(name: str) -> str:
    """A name cut to what fits beside a drawing."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


STYLES: Mapping[str, Callable[[Any], str]] = {
    "text": lambda v: "–" if v is None else _text(v),  # noqa: RUF001 (an en dash is meant)
    "count": lambda v: f"{v:d}",
    "size": lambda v: str(len(v)),
    "percent": percent,
    "points": lambda v: f"{100 * v:+.1f}",
    "three": lambda v: f"{v:.3f}",
    "signed": lambda v: f"{v:+.3f}",
    "one": lambda v: f"{v:.1f}",
    "p": lambda v: "< 0.001" if v < 0.001 else f"{v:.3f}",
    "hash": lambda v: str(v)[:12],
    "name": lambda v: short(str(v)),
    "true": lambda v: str(sum(claim["holds"] is True for claim in v)),
}
"""How a value is written: ``percent`` and ``points`` take shares, ``true`` counts the claims that hold."""


class Traced:
    """A report whose values are shown with their places."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report

    def value(self, *keys: Key) -> Any:
        """What stands at a place."""
        found: Any = self.report
        for key in keys:
            found = found[key]
        return found

    def plain(self, *keys: Key, style: Style = "text") -> str:
        """The value as text, not escaped."""
        return STYLES[style](self.value(*keys))

    def mark(self, *keys: Key, style: Style = "text") -> str:
        """The two attributes of an element that shows this value and nothing else."""
        pointer = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)
        return f"data-path='{escape(pointer)}' data-as='{style}'"

    def show(self, *keys: Key, style: Style = "text", tag: str = "span") -> str:
        """An element that shows the value; ``tag`` may carry attributes."""
        return f"<{tag} {self.mark(*keys, style=style)}>{self.text(*keys, style=style)}</{tag.split()[0]}>"

    def text(self, *keys: Key, style: Style = "text") -> str:
        """The value as escaped text, for an element that has `mark`."""
        return escape(self.plain(*keys, style=style))

    def interval(self, *keys: Key, style: Style = "percent") -> str:
        """Both ends of an interval."""
        return f"{self.show(*keys, 0, style=style)} to {self.show(*keys, 1, style=style)}"

    def listed(self, *keys: Key) -> str:
        """The texts of a list, by commas."""
        return ", ".join(self.show(*keys, i) for i in range(len(self.value(*keys))))

    def facts(self, *keys: Key) -> str:
        """Nested mappings as a list of dotted names and values; empty values are left out."""
        items = "".join(
            f"<dt>{escape('.'.join(place))}</dt>{self.show(*keys, *place, tag='dd')}"
            for place, value in leaves(self.value(*keys))
            if value is not None and value not in ("", [])
        )
        return f"<dl>{items}</dl>" if items else ""


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(v) for v in value)
    return str(value)
