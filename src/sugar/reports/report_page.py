"""report.json as one self-contained page: nothing fetched, light and dark, desktop and phone.

Every figure is taken from the report's content and says from where (`Traced`); every text of it is escaped. The one
script moves the sample clips; without it all texts and figures still stand there.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sugar.config import leaves
from sugar.reports.animation import Animation, animations_script
from sugar.reports.page import asset, document, interval_mark, table
from sugar.reports.report_clips import clips_section, descriptions_section
from sugar.reports.report_map import map_section, map_style
from sugar.reports.report_scorers import scorers_section, scorers_style
from sugar.reports.traced import Traced


def render_page(report: Mapping[str, Any], animations: Sequence[Animation] = ()) -> str:
    """The page of one report.json, as HTML text.

    Args:
        animations: the moving skeletons of ``report["descriptions"]``, in their order; none: texts alone. About 20 kB
            a person and clip.
    """
    traced = Traced(report)
    title = f"{report['protocol']}, {report['split']}"
    order = by_interest(report["scores"])
    parts = [
        _heading(traced),
        _scores(traced),
        _comparisons(traced),
        _zero_shot(traced),
        scorers_section(traced, order),
        map_section(traced),
        descriptions_section(traced),
        clips_section(traced, len(animations)),
        _facts(traced),
    ]
    style = [asset("page.css"), asset("report.css"), scorers_style(len(order)), map_style(traced)]
    if not animations:
        return document(title, parts, style="".join(style))
    style.insert(1, asset("player.css"))
    return document(title, [*parts, animations_script(animations)], style="".join(style), script=asset("player.js"))


def by_interest(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The fused scorer first, where there is one."""
    return sorted(names, key=lambda n: n != "fused")


def _heading(traced: Traced) -> str:
    seed = traced.show("seed") if traced.value("seed") is not None else "not given"
    return (
        f"<h1>{traced.show('protocol')}, {traced.show('split')}</h1>"
        f"<p class='quiet'>{traced.show('n', style='count')} clips, {traced.show('classes', style='size')} classes, "
        f"seed {seed}, data {traced.show('data_hash', style='hash')}</p>"
    )


def _scores(traced: Traced) -> str:
    scores = traced.value("scores")
    bounds = [b for m in scores.values() for b in m["top1_interval"]]
    rows = []
    for name, m in scores.items():
        at = ("scores", name)
        cells = [
            traced.show(*at, "top1", style="percent"),
            interval_mark(m["top1"], m["top1_interval"], min(bounds), max(bounds)),
            traced.interval(*at, "top1_interval"),
            traced.show(*at, "top5", style="percent"),
            traced.show(*at, "mean_class", style="percent"),
            traced.interval(*at, "mean_class_interval"),
            traced.show(*at, "ece", style="percent"),
        ]
        rows.append(_row(escape(name), cells))
    headings = ("scorer", "top-1 %", "", "95 % interval", "top-5 %", "mean class %", "95 % interval", "ECE %")
    return "<h2>Scores</h2>" + table(headings, rows)


def _row(heading: str, cells: Sequence[str]) -> str:
    return f"<tr><th scope='row'>{heading}</th>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


def _comparisons(traced: Traced) -> str:
    rows = []
    for i in range(len(traced.value("comparisons"))):
        at = ("comparisons", i)
        cells = [
            traced.show(*at, "difference", style="points"),
            traced.interval(*at, "interval", style="points"),
            traced.show(*at, "only_a", style="count"),
            traced.show(*at, "only_b", style="count"),
            traced.show(*at, "p_value", style="p"),
        ]
        rows.append(_row(f"{traced.show(*at, 'a')} against {traced.show(*at, 'b')}", cells))
    if not rows:
        return ""
    headings = ("same clips, paired", "top-1 points", "95 % interval", "only first right", "only second right", "p")
    return "<h3>Differences</h3>" + table(headings, rows)


def _zero_shot(traced: Traced) -> str:
    """Whatever figures the evaluation has of classes that never trained: facts, then one row a scorer."""
    section = traced.report.get("zero_shot")
    if not section:
        return ""
    facts = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt>{_fact(traced, key, value)}"
        for key, value in section.items()
        if key != "scores" and value not in (None, "", [])
    )
    scores = section.get("scores", {})
    columns = list(dict.fromkeys(place for figures in scores.values() for place in _figures(figures)))
    rows = []
    for name, figures in scores.items():
        there = set(_figures(figures))
        cells = [_figure(traced, ("zero_shot", "scores", name, *place)) if place in there else "" for place in columns]
        rows.append(_row(escape(name), cells))
    headings = ("scorer", *(_column(place) for place in columns))
    return "<h2>Unseen actions</h2>" + f"<dl>{facts}</dl>" + (table(headings, rows) if rows else "")


def _fact(traced: Traced, key: str, value: Any) -> str:
    share = isinstance(value, float) and 0 <= value <= 1
    return (
        f"<dd>{traced.show('zero_shot', key, style='percent')} %</dd>"
        if share
        else traced.show("zero_shot", key, tag="dd")
    )


def _figures(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Places of the shares and intervals below a scorer."""
    return [place for place, value in leaves(figures) if isinstance(value, (int, float, list))]


def _figure(traced: Traced, place: tuple[str, ...]) -> str:
    value = traced.value(*place)
    if isinstance(value, list):
        return traced.interval(*place) if len(value) == 2 else traced.show(*place)
    return traced.show(*place, style="count" if isinstance(value, int) else "percent")


def _column(place: tuple[str, ...]) -> str:
    words = " ".join(place).replace("_interval", " 95 % interval").replace("_", " ")
    return words.replace("top1", "top-1").replace("top5", "top-5")


def _facts(traced: Traced) -> str:
    headings = {"run": "Run", "fusion": "Fusion", "environment": "Environment"}
    lists = "".join(
        f"<h3>{heading}</h3>{facts}"
        for key, heading in headings.items()
        if traced.value(key) and (facts := traced.facts(key))
    )
    seed = f"<dt>seed</dt>{traced.show('seed', tag='dd')}" if traced.value("seed") is not None else ""
    data = f"<dl><dt>hash</dt>{traced.show('data_hash', tag='dd')}{seed}</dl>"
    return f"<h2>Where the figures come from</h2><h3>Data</h3>{data}{lists}"
