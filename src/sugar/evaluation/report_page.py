"""report.json as one self-contained page: no scripts, nothing fetched, light and dark, desktop and phone.

Every figure comes from the report's content and every text of it is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #ffffff; --ink: #1c1c1a; --quiet: #62625d;
  --line: #dededa; --right: #1f66c9; --on-right: #ffffff; --wrong: #c2410c; --on-wrong: #ffffff;
  --soft: #dbe7f8; }
@media (prefers-color-scheme: dark) { :root { --page: #141413; --card: #1e1e1c; --ink: #ecece8;
  --quiet: #a3a39c; --line: #3a3a37; --right: #6aa5f5; --on-right: #10151c; --wrong: #f08a4b;
  --on-wrong: #1a0f07; --soft: #263a55; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.quiet, figcaption { color: var(--quiet); font-size: .875rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); font-size: .8125rem; }
th:first-child, td:first-child { text-align: left; }
tbody th { color: var(--ink); font-size: inherit; position: sticky; left: 0; background: var(--page); }
td.bar { min-width: 6.5rem; }
td.bar, th.text, td.text { text-align: left; }
td.bar span { display: block; padding: 0 .3rem; border-radius: 2px;
  background: linear-gradient(var(--soft), var(--soft)) no-repeat; }
td.text { white-space: normal; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: .75rem 0; padding: .75rem 1rem; }
summary { cursor: pointer; font-weight: 600; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.pair > * { flex: 1 1 17rem; min-width: 0; margin: 0; }
figure { margin: 1rem 0; }
svg { display: block; height: auto; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; }
svg text.quiet { fill: var(--quiet); }
svg .grid { stroke: var(--line); fill: none; }
svg .guide { stroke: var(--ink); stroke-opacity: .6; stroke-dasharray: 4 4; fill: none; }
svg .right { fill: var(--right); } svg .wrong { fill: var(--wrong); }
svg text.on-right { fill: var(--on-right); } svg text.on-wrong { fill: var(--on-wrong); }
svg .mark { stroke: var(--right); stroke-width: 2; }
.sample { border-left: 3px solid var(--right); padding: .1rem 0 .1rem .8rem; margin: .9rem 0; }
.sample.missed { border-color: var(--wrong); }
.sample p { margin: .15rem 0; }
dl { display: grid; grid-template-columns: minmax(10rem, max-content) 1fr; gap: .2rem 1rem; margin: .5rem 0;
  font-size: .875rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
@media (max-width: 36rem) { th, td { padding: .35rem .4rem; } .interval { display: none; }
  td.bar { min-width: 4rem; } tbody th { white-space: normal; min-width: 6.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; } }
"""


def render_page(report: Mapping[str, Any]) -> str:
    """The page of one report.json, as HTML text."""
    title = f"{report['protocol']}, {report['split']}"
    seed = "not given" if report["seed"] is None else report["seed"]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='quiet'>{report['n']} clips, {len(report['classes'])} classes, seed {escape(str(seed))}, "
        f"data {escape(str(report['data_hash'])[:12])}</p>",
        _scores(report),
        _comparisons(report),
        _classes(report),
        "<h2>Scorer by scorer</h2>",
        *(_scorer(report, name, i == 0) for i, name in enumerate(_by_interest(report["details"]))),
        _descriptions(report),
        _facts(report),
    ]
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(p for p in parts if p)
        + "\n</main>\n</body>\n</html>\n"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"  # noqa: RUF001 (an en dash is meant)


def _p_value(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def _by_interest(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The fused scorer first, where there is one: its details stand open."""
    return sorted(names, key=lambda n: n != "fused")


def _table(headings: Sequence[str], rows: Sequence[str], text_columns: Sequence[int] = ()) -> str:
    head = "".join(
        f"<th scope='col'{' class=text' if i in text_columns else ''}>{escape(h)}</th>" for i, h in enumerate(headings)
    )
    return (
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>" + "".join(rows) + "</tbody></table></div>"
    )


def _scores(report: Mapping[str, Any]) -> str:
    scores = report["scores"]
    bounds = [b for m in scores.values() for b in m["top1_interval"]]
    low, high = min(bounds), max(bounds)
    rows = []
    for name, m in scores.items():
        cells = [
            _percent(m["top1"]),
            _interval_mark(m["top1"], m["top1_interval"], low, high),
            " to ".join(_percent(b) for b in m["top1_interval"]),
            _percent(m["top5"]),
            _percent(m["mean_class"]),
            " to ".join(_percent(b) for b in m["mean_class_interval"]),
            _percent(m["ece"]),
        ]
        rows.append(f"<tr><th scope='row'>{escape(name)}</th>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    headings = ("scorer", "top-1 %", "", "95 % interval", "top-5 %", "mean class %", "95 % interval", "ECE %")
    return "<h2>Scores</h2>" + _table(headings, rows)


def _interval_mark(value: float, interval: Sequence[float], low: float, high: float) -> str:
    """A dot on its interval, on an axis that all rows share."""
    span = max(high - low, 1e-9)
    x, x0, x1 = (6 + 108 * (v - low) / span for v in (value, *interval))
    return (
        "<svg class='interval' width='120' height='16' viewBox='0 0 120 16' aria-hidden='true'>"
        f"<path class='mark' d='M{x0:.1f} 8H{x1:.1f}'/>"
        f"<circle class='right' cx='{x:.1f}' cy='8' r='4'/></svg>"
    )


def _comparisons(report: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th scope='row'>{escape(c['a'])} against {escape(c['b'])}</th>"
        f"<td>{100 * c['difference']:+.1f}</td>"
        f"<td>{100 * c['interval'][0]:+.1f} to {100 * c['interval'][1]:+.1f}</td>"
        f"<td>{c['only_a']}</td><td>{c['only_b']}</td><td>{_p_value(c['p_value'])}</td></tr>"
        for c in report["comparisons"]
    ]
    if not rows:
        return ""
    headings = (
        "same clips, paired",
        "top-1 points",
        "95 % interval",
        "only first right",
        "only second right",
        "p",
    )
    return "<h3>Differences</h3>" + _table(headings, rows)


def _classes(report: Mapping[str, Any]) -> str:
    names = list(report["details"])
    rows = []
    for i, name in enumerate(report["classes"]):
        cells = ""
        for scorer in names:
            share = report["details"][scorer]["class_accuracy"][i]
            width = 0 if share is None else 100 * share
            bar = f"<span style='background-size:{width:.1f}% 100%'>{_percent(share)}</span>"
            cells += f"<td class='bar'>{bar}</td>"
        rows.append(f"<tr><th scope='row'>{escape(name)}</th><td>{report['class_counts'][i]}</td>{cells}</tr>")
    return "<h2>Accuracy of each class, %</h2>" + _table(("class", "clips", *names), rows, range(2, 2 + len(names)))


def _scorer(report: Mapping[str, Any], name: str, opened: bool) -> str:
    detail = report["details"][name]
    rows = [
        f"<tr><td class='text'>{escape(p['true'])}</td><td class='text'>{escape(p['predicted'])}</td>"
        f"<td>{p['count']} of {p['of']}</td></tr>"
        for p in detail["worst_pairs"]
    ]
    worst = _table(("true", "taken for", "clips"), rows, (0, 1)) if rows else "<p>No clip is wrong.</p>"
    top1 = _percent(report["scores"][name]["top1"])
    return (
        f"<details{' open' if opened else ''}><summary>{escape(name)}, top-1 {top1} %</summary>"
        f"<figure>{_confusion(detail['confusion'], report['classes'])}"
        "<figcaption>Confusion: rows true, columns predicted, in clips. Blue is right, orange wrong; "
        "the stronger, the larger the share of its row.</figcaption></figure>"
        f"<div class='pair'><div><h3>Worst pairs</h3>{worst}</div>"
        f"<figure><h3>Reliability</h3>{_reliability(detail['reliability'])}"
        "<figcaption>Accuracy, %, of the clips in each bin of top-1 probability, %; on the dashed line "
        "confidence is honest. Small bars: share of clips in the bin.</figcaption></figure></div></details>"
    )


def _confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    size = len(classes)
    named = size <= 30
    cell = 32 if size <= 12 else 24 if named else max(6, 600 // size)
    longest = max(len(_short(c)) for c in classes)
    # Estimates in pixels of what the names need beside the cells and, turned by 45 degrees, above them.
    left, top, right = (int(6.2 * longest) + 12, int(4.5 * longest) + 14, int(3.6 * longest)) if named else (4, 4, 4)
    parts = [_rect("grid", left, top, size * cell, size * cell)]
    for i, row in enumerate(counts):
        total = sum(row)
        middle = top + (i + 0.5) * cell + 4
        if named:
            parts.append(_text(_short(classes[i]), left - 6, middle, "end"))
            parts.append(_text(_short(classes[i]), left + (i + 0.5) * cell, top - 6, turned=True))
        for j, count in enumerate(row):
            if not count:
                continue
            kind, share = ("right" if i == j else "wrong"), count / total
            # Errors are few: the square root makes single ones visible.
            opacity = share if i == j else max(0.15, share**0.5)
            tip = f"{classes[i]} as {classes[j]}: {count} of {total}"
            parts.append(_rect(kind, left + j * cell, top + i * cell, cell, cell, opacity, tip))
            if named:
                ink = f"on-{kind}" if opacity > 0.6 else ""
                parts.append(_text(str(count), left + (j + 0.5) * cell, middle, "middle", ink))
    # Names would shrink to nothing on a phone: the drawing scrolls instead.
    drawing = _svg(parts, left + size * cell + right, top + size * cell + 4, "confusion matrix")
    return f"<div class='scroll'>{drawing}</div>"


def _reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    side, left, top = 220, 34, 8
    bottom, histogram = top + side, top + side + 66
    total = max(sum(b["count"] for b in bins), 1)
    parts = [_rect("grid", left, top, side, side)]
    for b in bins:
        if not b["count"]:
            continue
        x, width = left + side * b["lower"] + 1, side * (b["upper"] - b["lower"]) - 2
        height, share = side * b["accuracy"], 40 * b["count"] / total
        tip = (
            f"{_percent(b['lower'])} to {_percent(b['upper'])} %: {b['count']} clips, {_percent(b['accuracy'])} % right"
        )
        parts.append(_rect("right", x, bottom - height, width, height, 0.75, tip))
        parts.append(_rect("right", x, histogram - share, width, share, 1.0, tip))
    parts.append(f"<path class='guide' d='M{left} {bottom}L{left + side} {top}'/>")
    parts.append(f"<path class='grid' d='M{left} {histogram}h{side}'/>")
    for tick in (0, 50, 100):
        place = side * tick / 100
        parts.append(_text(str(tick), left - 5, bottom - place + 4, "end", "quiet"))
        parts.append(_text(str(tick), left + place, bottom + 15, "middle", "quiet"))
    return _svg(parts, left + side + 14, histogram + 4, "reliability diagram")


def _svg(parts: Sequence[str], width: int, height: int, label: str) -> str:
    return (
        f"<svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        f"role='img' aria-label='{escape(label)}'>{''.join(parts)}</svg>"
    )


def _rect(kind: str, x: float, y: float, width: float, height: float, opacity: float = 1.0, tip: str = "") -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f"<rect class='{kind}' x='{x:.5g}' y='{y:.5g}' width='{width:.5g}' height='{height:.5g}' "
        f"fill-opacity='{opacity:.2f}'>{title}</rect>"
    )


def _text(text: str, x: float, y: float, anchor: str = "start", ink: str = "", turned: bool = False) -> str:
    turn = f" transform='rotate(-45 {x:.5g} {y:.5g})'" if turned else ""
    kind = f" class='{ink}'" if ink else ""
    return f"<text{kind} x='{x:.5g}' y='{y:.5g}' text-anchor='{anchor}'{turn}>{escape(text)}</text>"


def _descriptions(report: Mapping[str, Any]) -> str:
    samples = []
    for d in report["descriptions"]:
        missed = "" if d["label"] == d["predicted"] else " missed"
        verdict = d["label"] if not missed else f"{d['label']}, taken for {d['predicted']}"
        reference = f"<p class='quiet'>Reference: {escape(d['reference'])}</p>" if d["reference"] else ""
        samples.append(
            f"<div class='sample{missed}'><p class='quiet'>{escape(d['clip_id'])}: {escape(verdict)}</p>"
            f"<p>{escape(d['text'])}</p>{reference}</div>"
        )
    m = report["description_metrics"]
    figures = ""
    if m:
        chrf = f", chrF {m['chrf']:.1f} ({escape(m['chrf_signature'] or '')})" if m["chrf"] is not None else ""
        figures = (
            f"<p>{m['n']} descriptions: starts with the label {_percent(m['label_first'])} %, names it "
            f"{_percent(m['label_named'])} %, ROUGE-L {_percent(m['rouge_l'])}{chrf}.</p>"
        )
    if not samples and not figures:
        return ""
    return "<h2>Descriptions</h2>" + figures + "".join(samples)


def _facts(report: Mapping[str, Any]) -> str:
    blocks = {"Run": report["run"], "Fusion": report["fusion"] or {}, "Environment": report["environment"]}
    shown = {"Data": {"hash": report["data_hash"], "seed": report["seed"]}, **blocks}
    lists = []
    for heading, facts in shown.items():
        items = "".join(
            f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>"
            for key, value in _flat(facts)
            if value not in ("", "None")
        )
        if items:
            lists.append(f"<h3>{heading}</h3><dl>{items}</dl>")
    return "<h2>Where the figures come from</h2>" + "".join(lists)


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted key, text) rows."""
    if isinstance(value, Mapping):
        return [row for k, v in value.items() for row in _flat(v, f"{prefix}.{k}" if prefix else str(k))]
    if isinstance(value, float):
        return [(prefix, f"{value:.4g}")]
    if isinstance(value, list):
        return [(prefix, ", ".join(str(v) for v in value))]
    return [(prefix, str(value))]


def _short(name: str) -> str:
    return name if len(name) <= 26 else name[:25] + "…"
