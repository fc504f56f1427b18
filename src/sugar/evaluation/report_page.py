"""report.json as one self-contained page: no scripts, nothing fetched, light and dark, desktop and phone.

Every figure comes from the report's content and every text of it is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from sugar.evaluation.page import asset, document, fact_lists, interval_mark, percent, svg, svg_rect, svg_text, table


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
    return document(title, parts, style=asset("page.css") + asset("report.css"))


def _p_value(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def _by_interest(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The fused scorer first, where there is one: its details stand open."""
    return sorted(names, key=lambda n: n != "fused")


def _scores(report: Mapping[str, Any]) -> str:
    scores = report["scores"]
    bounds = [b for m in scores.values() for b in m["top1_interval"]]
    low, high = min(bounds), max(bounds)
    rows = []
    for name, m in scores.items():
        cells = [
            percent(m["top1"]),
            interval_mark(m["top1"], m["top1_interval"], low, high),
            " to ".join(percent(b) for b in m["top1_interval"]),
            percent(m["top5"]),
            percent(m["mean_class"]),
            " to ".join(percent(b) for b in m["mean_class_interval"]),
            percent(m["ece"]),
        ]
        rows.append(f"<tr><th scope='row'>{escape(name)}</th>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    headings = ("scorer", "top-1 %", "", "95 % interval", "top-5 %", "mean class %", "95 % interval", "ECE %")
    return "<h2>Scores</h2>" + table(headings, rows)


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
    return "<h3>Differences</h3>" + table(headings, rows)


def _classes(report: Mapping[str, Any]) -> str:
    names = list(report["details"])
    rows = []
    for i, name in enumerate(report["classes"]):
        cells = ""
        for scorer in names:
            share = report["details"][scorer]["class_accuracy"][i]
            width = 0 if share is None else 100 * share
            bar = f"<span style='background-size:{width:.1f}% 100%'>{percent(share)}</span>"
            cells += f"<td class='bar'>{bar}</td>"
        rows.append(f"<tr><th scope='row'>{escape(name)}</th><td>{report['class_counts'][i]}</td>{cells}</tr>")
    return "<h2>Accuracy of each class, %</h2>" + table(("class", "clips", *names), rows, range(2, 2 + len(names)))


def _scorer(report: Mapping[str, Any], name: str, opened: bool) -> str:
    detail = report["details"][name]
    rows = [
        f"<tr><td class='text'>{escape(p['true'])}</td><td class='text'>{escape(p['predicted'])}</td>"
        f"<td>{p['count']} of {p['of']}</td></tr>"
        for p in detail["worst_pairs"]
    ]
    worst = table(("true", "taken for", "clips"), rows, (0, 1)) if rows else "<p>No clip is wrong.</p>"
    top1 = percent(report["scores"][name]["top1"])
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
    parts = [svg_rect("grid", left, top, size * cell, size * cell)]
    for i, row in enumerate(counts):
        total = sum(row)
        middle = top + (i + 0.5) * cell + 4
        if named:
            parts.append(svg_text(_short(classes[i]), left - 6, middle, "end"))
            parts.append(svg_text(_short(classes[i]), left + (i + 0.5) * cell, top - 6, turned=True))
        for j, count in enumerate(row):
            if not count:
                continue
            kind, share = ("right" if i == j else "wrong"), count / total
            # Errors are few: the square root makes single ones visible.
            opacity = share if i == j else max(0.15, share**0.5)
            tip = f"{classes[i]} as {classes[j]}: {count} of {total}"
            parts.append(svg_rect(kind, left + j * cell, top + i * cell, cell, cell, opacity, tip))
            if named:
                ink = f"on-{kind}" if opacity > 0.6 else ""
                parts.append(svg_text(str(count), left + (j + 0.5) * cell, middle, "middle", ink))
    # Names would shrink to nothing on a phone: the drawing scrolls instead.
    drawing = svg(parts, left + size * cell + right, top + size * cell + 4, "confusion matrix")
    return f"<div class='scroll'>{drawing}</div>"


def _reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    side, left, top = 220, 34, 8
    bottom, histogram = top + side, top + side + 66
    total = max(sum(b["count"] for b in bins), 1)
    parts = [svg_rect("grid", left, top, side, side)]
    for b in bins:
        if not b["count"]:
            continue
        x, width = left + side * b["lower"] + 1, side * (b["upper"] - b["lower"]) - 2
        height, share = side * b["accuracy"], 40 * b["count"] / total
        tip = f"{percent(b['lower'])} to {percent(b['upper'])} %: {b['count']} clips, {percent(b['accuracy'])} % right"
        parts.append(svg_rect("right", x, bottom - height, width, height, 0.75, tip))
        parts.append(svg_rect("right", x, histogram - share, width, share, 1.0, tip))
    parts.append(f"<path class='guide' d='M{left} {bottom}L{left + side} {top}'/>")
    parts.append(f"<path class='grid' d='M{left} {histogram}h{side}'/>")
    for tick in (0, 50, 100):
        place = side * tick / 100
        parts.append(svg_text(str(tick), left - 5, bottom - place + 4, "end", "quiet"))
        parts.append(svg_text(str(tick), left + place, bottom + 15, "middle", "quiet"))
    return svg(parts, left + side + 14, histogram + 4, "reliability diagram")


def _descriptions(report: Mapping[str, Any]) -> str:
    samples = []
    for d in report["descriptions"]:
        missed = "" if d["label"] == d["predicted"] else " missed"
        verdict = d["label"] if not missed else f"{d['label']}, taken for {d['predicted']}"
        reference = f"<p class='quiet'>Reference: {escape(d['reference'])}</p>" if d["reference"] else ""
        samples.append(
            f"<div class='sample{missed}'><p class='quiet'>{escape(d['clip_id'])}: {escape(verdict)}</p>"
            f"<p>{escape(d['text'])}</p>{_claims(d['claims'])}{reference}</div>"
        )
    m = report["description_metrics"]
    figures = ""
    if m:
        chrf = f", chrF {m['chrf']:.1f} ({escape(m['chrf_signature'] or '')})" if m["chrf"] is not None else ""
        faithful = ""
        if m["faithfulness"] is not None:
            faithful = f" Of {m['claims']} checkable claims the joints bear out {percent(m['faithfulness'])} %."
        figures = (
            f"<p>{m['n']} descriptions: starts with the label {percent(m['label_first'])} %, names it "
            f"{percent(m['label_named'])} %, ROUGE-L {percent(m['rouge_l'])}{chrf}.{faithful}</p>"
        )
    if not samples and not figures:
        return ""
    return "<h2>Descriptions</h2>" + figures + "".join(samples)


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    """Each checkable claim, marked by what the joints say of it."""
    marks = {True: "&#10003; true", False: "&#10007; false", None: "? cannot tell"}
    items = "".join(f"<li>{marks[claim['holds']]}: {escape(claim['text'])}</li>" for claim in claims)
    return f"<ul class='quiet'>{items}</ul>" if items else ""


def _facts(report: Mapping[str, Any]) -> str:
    blocks = {"Run": report["run"], "Fusion": report["fusion"] or {}, "Environment": report["environment"]}
    shown = {"Data": {"hash": report["data_hash"], "seed": report["seed"]}, **blocks}
    return "<h2>Where the figures come from</h2>" + fact_lists(shown)


def _short(name: str) -> str:
    return name if len(name) <= 26 else name[:25] + "…"
