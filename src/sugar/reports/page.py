"""What the HTML pages share: one self-contained document, tables, numbers, and shapes of a drawing.

Pages load nothing, not even from their own folder: styles and scripts are text files of this package, set
into the page, and a content security policy forbids the rest.
"""

import hashlib
import importlib.resources
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sugar.config import flatten


def asset(name: str) -> str:
    """A style or script of this package, as text."""
    return importlib.resources.files("sugar.reports").joinpath("assets", name).read_text(encoding="utf-8")


def document(title: str, body: Sequence[str], *, style: str, script: str = "") -> str:
    """A whole page. The script is the only one that may run: the policy names it by its hash."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    if script:
        digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        "<meta http-equiv='Content-Security-Policy' "
        f'content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(p for p in body if p)
        + "\n</main>\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def percent(share: float | None) -> str:
    """A share as per cent with one digit; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}"  # noqa: RUF001 (an en dash is meant)


def table(headings: Sequence[str], rows: Sequence[str], text_columns: Sequence[int] = ()) -> str:
    """A table that scrolls in its own box; ``rows`` are ``<tr>`` elements, headings are plain text."""
    head = "".join(
        f"<th scope='col'{' class=text' if i in text_columns else ''}>{escape(h)}</th>" for i, h in enumerate(headings)
    )
    return (
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>" + "".join(rows) + "</tbody></table></div>"
    )


def interval_mark(value: float, interval: Sequence[float], low: float, high: float) -> str:
    """A dot on its interval, on an axis that all rows of a table share."""
    span = max(high - low, 1e-9)
    x, x0, x1 = (6 + 108 * (v - low) / span for v in (value, *interval))
    return (
        "<svg class='interval' width='120' height='16' viewBox='0 0 120 16' aria-hidden='true'>"
        f"<path class='mark' d='M{x0:.1f} 8H{x1:.1f}'/>"
        f"<circle class='right' cx='{x:.1f}' cy='8' r='4'/></svg>"
    )


def fact_lists(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    """Nested facts by heading (data, run, environment, ...) as lists of dotted names and values."""
    lists = []
    for heading, facts in blocks.items():
        items = "".join(
            f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>"
            for key, value in flatten(facts).items()
            if (text := _fact(value)) not in ("", "None")
        )
        if items:
            lists.append(f"<h3>{escape(heading)}</h3><dl>{items}</dl>")
    return "".join(lists)


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)


def svg(parts: Sequence[str], width: int, height: int, label: str) -> str:
    """A drawing of the given shapes; ``label`` is what those hear who do not see it."""
    return (
        f"<svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        f"role='img' aria-label='{escape(label)}'>{''.join(parts)}</svg>"
    )


def svg_rect(kind: str, x: float, y: float, width: float, height: float, opacity: float = 1.0, tip: str = "") -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f"<rect class='{kind}' x='{x:.5g}' y='{y:.5g}' width='{width:.5g}' height='{height:.5g}' "
        f"fill-opacity='{opacity:.2f}'>{title}</rect>"
    )


def svg_text(text: str, x: float, y: float, anchor: str = "start", ink: str = "", turned: bool = False) -> str:
    turn = f" transform='rotate(-45 {x:.5g} {y:.5g})'" if turned else ""
    kind = f" class='{ink}'" if ink else ""
    return f"<text{kind} x='{x:.5g}' y='{y:.5g}' text-anchor='{anchor}'{turn}>{escape(text)}</text>"
