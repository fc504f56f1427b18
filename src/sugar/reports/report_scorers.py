"""The report page's panels, one a scorer, of which the reader selects one: classes, confusion, pairs, reliability."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from typing import Any

from sugar.reports.page import svg, svg_rect, svg_text, table
from sugar.reports.traced import Key, Traced, short

MOST_NAMED = 30
"""Classes up to which the confusion matrix has names and counts; a larger one is drawn by shade."""
SHADES = 8


def scorers_style(count: int) -> str:
    """Which panel is shown for which choice; no script is needed."""
    shown = ",".join(f"#s{i}:checked~#p{i}" for i in range(count))
    chosen = ",".join(f"#s{i}:checked~.choices [for=s{i}]" for i in range(count))
    focused = ",".join(f"#s{i}:focus-visible~.choices [for=s{i}]" for i in range(count))
    return (
        f"{shown}{{display:block}}\n{chosen}{{background:var(--ink);color:var(--page);border-color:var(--ink)}}\n"
        f"{focused}{{outline:2px solid var(--right);outline-offset:2px}}\n"
    )


def scorers_section(traced: Traced, names: Sequence[str]) -> str:
    """All panels; the first scorer's is open."""
    radios = "".join(
        f"<input type='radio' name='scorer' id='s{i}'{' checked' if i == 0 else ''}>" for i in range(len(names))
    )
    labels = "".join(f"<label for='s{i}'>{escape(name)}</label>" for i, name in enumerate(names))
    panels = "".join(_panel(traced, name, i) for i, name in enumerate(names))
    return (
        "<h2>Scorer by scorer</h2><div class='panels' role='group' aria-label='Scorer'>"
        f"{radios}<div class='choices'>{labels}</div>{panels}</div>"
    )


def _panel(traced: Traced, name: str, number: int) -> str:
    at: tuple[Key, ...] = ("details", name)
    ece = traced.show("scores", name, "ece", style="percent")
    return (
        f"<section class='panel' id='p{number}'>"
        f"<h3>{escape(name)}: accuracy of each class, %</h3>{_classes(traced, at)}"
        f"<figure><h3>Confusion</h3>{_confusion(traced, at)}"
        "<figcaption>Rows true, columns predicted, in clips. Blue is right, orange wrong; "
        "the stronger, the larger the share of its row.</figcaption></figure>"
        f"<h3>Worst pairs</h3><div class='worst'>{_pairs(traced, at)}</div>"
        f"<h3>Reliability, ECE {ece} %</h3><div class='pair'>"
        f"<figure>{_reliability(traced.value(*at, 'reliability'))}"
        "<figcaption>Accuracy, %, of the clips in each bin of stated confidence, %; on the dashed line "
        "confidence is honest. Small bars: share of clips in the bin.</figcaption>"
        f"</figure>{_bins(traced, at)}</div></section>"
    )


def _classes(traced: Traced, at: tuple[Key, ...]) -> str:
    """One bar a class, with its interval as a line."""
    items = []
    for i, share in enumerate(traced.value(*at, "class_accuracy")):
        drawn = ""
        if share is not None:
            low, high = traced.value(*at, "class_intervals", i)
            drawn = f" style='--v:{100 * share:.1f}%;--a:{100 * low:.1f}%;--b:{100 * high:.1f}%'"
        items.append(
            f"<li>{traced.show('classes', i)}{traced.show('class_counts', i, style='count', tag='small')}"
            f"<b{drawn}></b>{traced.show(*at, 'class_accuracy', i, style='percent')}</li>"
        )
    return (
        f"<ol class='classes'>{''.join(items)}</ol>"
        "<p class='quiet'>Beside each name its clips; the line on a bar is the 95 % interval.</p>"
    )


def _pairs(traced: Traced, at: tuple[Key, ...]) -> str:
    pairs = traced.value(*at, "worst_pairs")
    if not pairs:
        return "<p>No clip is wrong.</p>"
    items: list[str] = []
    for i, pair in enumerate(pairs):
        here = (*at, "worst_pairs", i)
        head = (
            f"{traced.show(*here, 'true', tag='b')} taken for {traced.show(*here, 'predicted', tag='b')}, "
            f"{traced.show(*here, 'count', style='count')} of {traced.show(*here, 'of', style='count')} clips"
        )
        if pair["texts"]:
            opened = "" if items else " open"
            items.append(f"<details{opened}><summary>{head}</summary>{_explanation(traced, here)}</details>")
        else:
            items.append(f"<p>{head}</p>")
    return "".join(items)


def _explanation(traced: Traced, pair: tuple[Key, ...]) -> str:
    at = (*pair, "texts")
    rows = []
    for key, heading in (
        ("shared", "both"),
        ("true", traced.show(*pair, "true")),
        ("predicted", traced.show(*pair, "predicted")),
    ):
        only = "" if key == "shared" else " alone"
        claims, words = traced.value(*at, f"{key}_claims"), traced.value(*at, f"{key}_words")
        said = " ".join(traced.show(*at, f"{key}_claims", n) for n in range(len(claims)))
        told = f"<p class='quiet'>words: {traced.listed(*at, f'{key}_words')}</p>" if words else ""
        if claims or words:
            rows.append(f"<div><h4>{heading}{only}</h4><p>{said}</p>{told}</div>")
    near = "; ".join(
        f"{escape(kind)}: cosine {traced.show(*at, 'similarity', kind, 'cosine', style='three')}, "
        f"place {traced.show(*at, 'similarity', kind, 'place', style='count')} among the true class's neighbors"
        for kind in traced.value(*at, "similarity")
    )
    return (f"<p class='quiet'>{near}</p>" if near else "") + f"<div class='trio'>{''.join(rows)}</div>"


def _confusion(traced: Traced, at: tuple[Key, ...]) -> str:
    classes, counts = traced.value("classes"), traced.value(*at, "confusion")
    if len(classes) > MOST_NAMED:
        return _large_confusion(counts)
    size = len(classes)
    cell = 32 if size <= 12 else 24
    longest = max(len(short(c)) for c in classes)
    # Estimates in pixels of what the names need beside the cells and, turned by 45 degrees, above them.
    left, top, right = int(6.2 * longest) + 12, int(4.5 * longest) + 14, int(3.6 * longest)
    parts = [svg_rect("grid", left, top, size * cell, size * cell)]
    for i, row in enumerate(counts):
        total, middle = sum(row), top + (i + 0.5) * cell + 4
        across = left + (i + 0.5) * cell
        turn = f"transform='rotate(-45 {across:.5g} {top - 6})'"
        parts.append(traced.show("classes", i, style="name", tag=f"text x='{left - 6}' y='{middle:.5g}' class='end'"))
        parts.append(traced.show("classes", i, style="name", tag=f"text x='{across:.5g}' y='{top - 6}' {turn}"))
        for j, count in enumerate(row):
            if not count:
                continue
            kind, opacity = ("right" if i == j else "wrong"), _opacity(count / total, i == j)
            ink = f"on-{kind}" if opacity > 0.6 else ""
            place = f"x='{left + (j + 0.5) * cell:.5g}' y='{middle:.5g}' class='middle {ink}'"
            parts.append(svg_rect(kind, left + j * cell, top + i * cell, cell, cell, opacity))
            parts.append(traced.show(*at, "confusion", i, j, style="count", tag=f"text {place}"))
    # Names would shrink to nothing on a phone: the drawing scrolls instead.
    drawing = svg(parts, left + size * cell + right, top + size * cell + 4, "confusion matrix")
    return f"<div class='scroll' tabindex='0' role='region' aria-label='Confusion matrix'>{drawing}</div>"


def _opacity(share: float, right: bool) -> float:
    """Errors are few: the square root makes single ones visible."""
    return share if right else max(0.15, share**0.5)


def _large_confusion(counts: Sequence[Sequence[int]]) -> str:
    """One path a shade, so that thousands of cells stay small."""
    cell = max(5, 600 // len(counts))
    shades: dict[tuple[str, int], list[str]] = defaultdict(list)
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            if count:
                shade = max(1, round(SHADES * _opacity(count / total, i == j)))
                shades["right" if i == j else "wrong", shade].append(f"M{j * cell} {i * cell}h{cell}v{cell}h-{cell}z")
    side = len(counts) * cell
    parts = [svg_rect("grid", 0, 0, side, side)]
    parts += [
        f"<path class='{kind}' fill-opacity='{shade / SHADES:.3g}' d='{''.join(cells)}'/>"
        for (kind, shade), cells in shades.items()
    ]
    return f"<div class='scroll'>{svg(parts, side, side, 'confusion matrix, classes in the order of the list')}</div>"


def _reliability(bins: Sequence[Any]) -> str:
    side, left, top = 220, 34, 8
    bottom, histogram = top + side, top + side + 66
    total = max(sum(b["count"] for b in bins), 1)
    parts = [svg_rect("grid", left, top, side, side)]
    for b in bins:
        if not b["count"]:
            continue
        x, width = left + side * b["lower"] + 1, side * (b["upper"] - b["lower"]) - 2
        height, share = side * b["accuracy"], 40 * b["count"] / total
        parts.append(svg_rect("right", x, bottom - height, width, height, 0.75))
        parts.append(svg_rect("right", x, histogram - share, width, share))
    parts.append(f"<path class='guide' d='M{left} {bottom}L{left + side} {top}'/>")
    parts.append(f"<path class='grid' d='M{left} {histogram}h{side}'/>")
    for tick in (0, 50, 100):
        place = side * tick / 100
        parts.append(svg_text(str(tick), left - 5, bottom - place + 4, "end", "tick"))
        parts.append(svg_text(str(tick), left + place, bottom + 15, "middle", "tick"))
    return svg(parts, left + side + 14, histogram + 4, "reliability diagram")


def _bins(traced: Traced, at: tuple[Key, ...]) -> str:
    rows = []
    for i, b in enumerate(traced.value(*at, "reliability")):
        if not b["count"]:
            continue
        here = (*at, "reliability", i)
        lower, upper = (traced.show(*here, end, style="percent") for end in ("lower", "upper"))
        cells = f"<td>{traced.show(*here, 'count', style='count')}</td>" + "".join(
            f"<td>{traced.show(*here, key, style='percent')}</td>" for key in ("confidence", "accuracy")
        )
        rows.append(f"<tr><td>{lower} to {upper}</td>{cells}</tr>")
    bins = table(("confidence %", "clips", "mean confidence %", "accuracy %"), rows)
    return f"<div class='bins'>{bins}</div>"
