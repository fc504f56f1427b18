"""The report page's maps of feature spaces, and the figures of separability beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sugar.reports.page import interval_mark, svg, svg_rect, table
from sugar.reports.traced import Traced, short

SIDE, MARGIN = 320, 14
MOST_LABELED = 12
"""Classes up to which every group has its name; of more only the chosen one has."""
LETTER, LINE = 5.3, 9.0
"""Width of a letter and height of a line of the names, estimated."""
HUE_STEP = 137.508
"""Golden angle: neighbors in the list of classes differ in hue, whatever their number."""
SHAPES = (
    (0, 0, "h0"),
    (0, 0, "h0"),
    (-3, 0, "h6m-3-3v6"),
    (-2.5, -2.5, "l5 5m0-5l-5 5"),
    (0, -3.5, "l3.5 3.5-3.5 3.5-3.5-3.5z"),
)
"""Dot and square (by their line's ends), plus, cross, diamond: where each begins and its path. Five, since hues come
near again after 8, 13 and 21 classes."""


def map_style(traced: Traced) -> str:
    """The chosen class stands out in all maps; no script is needed."""
    if not traced.report.get("representation"):
        return ""
    count = len(traced.value("classes"))
    faded = "".join(f".map:has(#k{i}:checked) .k:not(.k{i}){{opacity:.1}}\n" for i in range(count))
    named = "".join(f".map:has(#k{i}:checked) .n{i}{{display:block}}\n" for i in range(count))
    every = ".maps .name{display:block}\n" if count <= MOST_LABELED else ""
    return every + faded + named


def map_section(traced: Traced) -> str:
    """Maps, legend and tables; nothing where the report has no features."""
    found = traced.report.get("representation")
    if not found:
        return ""
    at = "representation"
    parts = [
        "<h2>Representation, before and after knowledge</h2>",
        f"<p>{traced.show(at, 'n', style='count')} of {traced.show(at, 'of', style='count')} clips as each encoder "
        "sees them, pooled over time. The figures are measured in the whole space, by cosine: a map shows who is near "
        "whom, but neither how far groups are apart nor how wide they are.</p>",
        f"<div class='map'>{_maps(traced)}</div>" if found["spaces"][0]["x"] else "",
        f"<p class='quiet'>{traced.show(at, 'note')}</p>" if found["note"] else "",
        _figures(traced),
        _differences(traced),
    ]
    return "".join(parts)


def _maps(traced: Traced) -> str:
    found = traced.value("representation")
    labels = np.array(traced.value("predictions", "labels"))[found["clips"]]
    drawn = "".join(
        f"<figure><h3>{traced.show('representation', 'spaces', i, 'name')}</h3>{_map(traced, i, labels)}"
        f"<figcaption>{traced.show('representation', 'spaces', i, 'what')}</figcaption></figure>"
        for i in range(len(found["spaces"]))
    )
    present = set(labels.tolist())
    keys = "".join(
        f"<label><input type='radio' name='class' id='k{k}'><svg width='16' height='16' viewBox='2 2 10 10' "
        f"aria-hidden='true'><path class='{_kind(k)}' style='--h:{_hue(k)}' d='{_mark(k, 7, 7)}'/></svg>"
        f"{traced.show('classes', k)}</label>"
        for k in range(len(traced.value("classes")))
        if k in present
    )
    return (
        f"<div class='maps'>{drawn}</div><fieldset class='keys'><legend>Stand out</legend>"
        f"<label><input type='radio' name='class' checked>all</label>{keys}</fieldset>"
        "<p class='quiet'>t-SNE from the first two principal components, perplexity "
        f"{traced.show('representation', 'perplexity')}, seed {traced.show('representation', 'seed')}.</p>"
    )


def _map(traced: Traced, number: int, labels: Any) -> str:
    space = traced.value("representation", "spaces", number)
    places = np.stack([space["x"], space["y"]], axis=1)
    at = MARGIN + (SIDE - 2 * MARGIN) * places
    at += (SIDE - at.min(axis=0) - at.max(axis=0)) / 2
    parts = [svg_rect("grid", 0, 0, SIDE, SIDE)]
    middles = {}
    for k in np.unique(labels).tolist():
        own = at[labels == k]
        marks = "".join(_mark(k, x, y) for x, y in own)
        parts.append(f"<path class='{_kind(k)}' style='--h:{_hue(k)}' d='{marks}'/>")
        middles[k] = np.median(own, axis=0)
    names = [
        traced.show("classes", k, style="name", tag=f"text x='{x:.0f}' y='{y:.0f}' class='name middle n{k}'")
        for k, x, y in _label_places(middles, traced.value("classes"))
    ]
    return svg([*parts, *names], SIDE, SIDE, f"t-SNE map: {space['name']}")


def _label_places(middles: Mapping[int, Any], classes: Sequence[str]) -> list[tuple[int, float, float]]:
    """Names near the middles of their groups, inside the map; each moves down until it covers no earlier one."""
    placed: list[tuple[int, float, float]] = []
    half = {k: LETTER * len(short(classes[k])) / 2 for k in middles}
    for k in sorted(middles, key=lambda k: float(middles[k][1])):
        x = min(max(float(middles[k][0]), half[k]), SIDE - half[k])
        y = float(middles[k][1]) + LINE / 3
        while any(abs(x - other) < half[k] + half[j] and abs(y - line) < LINE for j, other, line in placed):
            y += 1
        placed.append((k, x, min(y, SIDE - 2.0)))
    return placed


def _kind(k: int) -> str:
    return f"k k{k} shape{k % len(SHAPES)}"


def _hue(k: int) -> str:
    return f"{k * HUE_STEP % 360:.0f}"


def _mark(k: int, x: float, y: float) -> str:
    right, down, path = SHAPES[k % len(SHAPES)]
    return f"M{x + right:.1f} {y + down:.1f}{path}"


def _figures(traced: Traced) -> str:
    spaces = traced.value("representation", "spaces")
    bounds = [b for space in spaces for b in space["silhouette_interval"]]
    rows = []
    for i, space in enumerate(spaces):
        at = ("representation", "spaces", i)
        cells = [
            traced.show(*at, "dimensions", style="count"),
            traced.show(*at, "silhouette", style="three"),
            interval_mark(space["silhouette"], space["silhouette_interval"], min(bounds), max(bounds)),
            traced.interval(*at, "silhouette_interval", style="three"),
            traced.show(*at, "margin", style="three"),
            traced.interval(*at, "margin_interval", style="three"),
            traced.show(*at, "nearest", style="percent"),
        ]
        row = "".join(f"<td>{c}</td>" for c in cells)
        rows.append(f"<tr><th scope='row'>{traced.show(*at, 'name')}</th>{row}</tr>")
    headings = ("space", "width", "silhouette", "", "95 % interval", "margin", "95 % interval", "nearest mean right %")
    return (
        "<h3>Separability</h3>"
        + table(headings, rows)
        + "<p class='quiet'>Silhouette: how much nearer a clip is to its own class than to the next one, as a share of "
        "the larger distance. Margin: cosine to the mean of its own class, itself left out, less the cosine to the "
        "nearest other mean; unlike the silhouette it depends on how much of the sphere a space uses.</p>"
    )


def _differences(traced: Traced) -> str:
    rows = []
    for i in range(len(traced.value("representation", "differences"))):
        at = ("representation", "differences", i)
        cells = "".join(
            f"<td>{traced.show(*at, key, style='signed')}</td>"
            f"<td>{traced.interval(*at, f'{key}_interval', style='signed')}</td>"
            for key in ("silhouette", "margin")
        )
        rows.append(f"<tr><th scope='row'>{traced.show(*at, 'a')} less {traced.show(*at, 'b')}</th>{cells}</tr>")
    return table(("same clips, paired", "silhouette", "95 % interval", "margin", "95 % interval"), rows)
