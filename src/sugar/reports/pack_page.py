"""A knowledge pack as one self-contained page: its figures, which classes lie close and why, and all its texts.

Figures come from `sugar.knowledge.quality.figures`. Texts may come from a model that read anything, so every one is
escaped and keeps its direction of writing to itself. Without scripts all can be read; they add the pairs of the map
under the pointer and the search.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, KnowledgePack
from sugar.knowledge.quality.checks import Finding
from sugar.knowledge.quality.distinguishing import ClassPair, Word
from sugar.knowledge.quality.figures import ALL, NAMELESS, Matrix, Quality, closest_pairs, texts_of
from sugar.reports.page import asset, document, fact_lists, percent, svg, svg_rect, svg_text, table

Origins = Mapping[tuple[str, str], str]

_TITLES = {
    ALL: "all texts",
    "motion": "motion",
    NAMELESS: "motion without the name",
    "visual": "visual",
    "description": "descriptions",
    "motion_sentence": "motion sentences",
}
_LEVELS = 10


def text_origins(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Where each text comes from, in words, by class and text, of rows as ``texts.jsonl`` has them.

    A row has ``class`` and ``text``, and any of ``model`` (a name, or a mapping with one), ``template``, ``media``
    (their origins), ``at``.
    """
    return {(str(row["class"]), str(row["text"])): _origin(row) for row in rows}


def _origin(row: Mapping[str, Any]) -> str:
    model = row.get("model") or ""
    if isinstance(model, Mapping):
        model = model.get("model") or model.get("name") or json.dumps(model, sort_keys=True)
    media = [str(origin) for origin in row.get("media") or ()]
    shown = ", ".join(media[:3]) + (f" and {len(media) - 3} more" if len(media) > 3 else "")
    said = [str(model), str(row.get("template") or ""), shown, str(row.get("at") or "")]
    return " · ".join(part for part in said if part)


def render_pack_page(pack: KnowledgePack, quality: Quality, origins: Origins | None = None) -> str:
    """The page as HTML text; ``origins`` says by class and text where a text comes from (see `text_origins`)."""
    body = [
        *_header(quality),
        _findings(quality),
        *_maps(quality),
        _pairs(quality),
        _counts(quality),
        _parts(pack, quality),
        *_classes(pack, quality, origins or {}),
        _data(quality),
    ]
    style = asset("page.css") + asset("pack.css")
    return document(f"{quality.pack}: knowledge pack", body, style=style, script=asset("pack.js"))


def _header(quality: Quality) -> Iterator[str]:
    texts = sum(kind.texts for kind in quality.kinds.values())
    line = f"Knowledge pack · version {quality.version} · {quality.language} · text encoder {quality.encoder}"
    yield f"<header><h1 dir='auto'>{escape(quality.pack)}</h1><p class='quiet'>{escape(line)}</p>"
    figures = {
        "classes": str(len(quality.names)),
        "texts": str(texts),
        **{
            f"{_TITLES[kind]}: held-out texts that find their class": f"{percent(found.right / found.n)} %"
            for kind in ("visual", "description", NAMELESS)
            if (found := quality.held_out.get(kind))
        },
        "findings to fix": str(sum(finding.severity == "error" for finding in quality.findings)),
    }
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    yield f"<dl class='headline'>{items}</dl>"
    made = quality.provenance
    said = {"author": made.author, "method": made.method, "date": made.date, "license": made.license}
    encoder = {"name": quality.encoder, "fingerprint": quality.fingerprint}
    facts = fact_lists({"Provenance": said, "Text encoder": encoder})
    yield f"<details><summary>Where the texts come from</summary>{facts}</details></header>"


def _link(quality: Quality, name: str) -> str:
    at = quality.names.index(name) if name in quality.names else -1
    said = f"<bdi>{escape(name)}</bdi>"
    return f"<a href='#c{at}'>{said}</a>" if at >= 0 else said


def _findings(quality: Quality) -> str:
    errors = [finding for finding in quality.findings if finding.severity == "error"]
    advice = [finding for finding in quality.findings if finding.severity == "advice"]
    if not quality.findings:
        return "<h2 id='findings'>Findings</h2><p>The checks find nothing to fix.</p>"
    return (
        "<h2 id='findings'>Findings</h2>"
        + (_finding_list(quality, f"Errors, to be fixed: {len(errors)}", errors, "errors") if errors else "")
        + (_finding_list(quality, f"Advice: {len(advice)}", advice, "advice") if advice else "")
    )


def _finding_list(quality: Quality, title: str, findings: Sequence[Finding], kind: str) -> str:
    items = "".join(
        f"<li>{_link(quality, finding.class_) if finding.class_ else 'the pack'}, {escape(finding.field)}: "
        f"<span dir='auto'>{escape(finding.problem)}</span></li>"
        for finding in findings
    )
    opened = " open" if kind == "errors" and len(findings) <= 50 else ""
    return f"<details class='{kind}'{opened}><summary>{title}</summary><ul>{items}</ul></details>"


# The map of similarities ---------------------------------------------------------------------------------------------


def _maps(quality: Quality) -> Iterator[str]:
    yield "<section class='similarity'><h2 id='similarity'>How alike the classes are</h2>"
    views = [kind for kind in _TITLES if _extent(quality.similarity.get(kind, ()))]
    if not views:
        yield "<p>There are no two classes with texts to compare.</p></section>"
        return
    yield (
        "<p class='quiet'>Cosine of the class means in the text encoder; classes in the order of the pack, from left "
        f"to right and from top to bottom. Frames mark the closest {_marked(quality)}.</p>"
        "<div class='choice' role='radiogroup' aria-label='Kind of text'>"
    )
    for number, kind in enumerate(views):
        checked = " checked" if number == 0 else ""
        yield f"<input type='radio' name='view' id='v{number}'{checked}><label for='v{number}'>{_TITLES[kind]}</label>"
    yield "</div>"
    yield (
        "<output class='needs-script' aria-live='polite'>Point at the map, or move on it with the arrow keys, for the "
        "classes of a cell; click or press Enter for all their texts.</output>"
    )
    for number, kind in enumerate(views):
        yield f"<div class='map m{number}' data-kind='{escape(kind)}'>{_map(quality, kind)}</div>"
    yield "</section>"


def _marked(quality: Quality) -> int:
    """How many pairs have a frame in a map."""
    return max(1, min(10, len(quality.names) // 3))


def _extent(matrix: Matrix) -> tuple[float, float] | None:
    values = [value for i, row in enumerate(matrix) for value in row[:i] if value is not None]
    return (min(values), max(values)) if values else None


def _map(quality: Quality, kind: str) -> str:
    matrix = quality.similarity[kind]
    low, high = _extent(matrix) or (0.0, 1.0)
    size = len(matrix)
    named = size <= 30
    cell = 34 if size <= 12 else 22 if named else 6
    longest = max(len(_short(name)) for name in quality.names)
    # Estimates in pixels of what the names need beside the cells and, turned by 45 degrees, above them.
    left, top, right = (int(6.4 * longest) + 12, int(4.6 * longest) + 14, int(3.8 * longest)) if named else (1, 1, 1)
    shades = "".join(f"<path class='l{level}' d='{path}'/>" for level, path in _level_paths(matrix, low, high))
    shapes = [f"<g transform='translate({left} {top}) scale({cell}) translate(0 .5)'>{shades}</g>"]
    marks = ""
    for first, second, _ in closest_pairs(quality.names, matrix, _marked(quality)):
        i, j = quality.names.index(first), quality.names.index(second)
        marks += "".join(f"M{left + x * cell} {top + y * cell}h{cell}v{cell}h-{cell}z" for x, y in ((i, j), (j, i)))
    shapes += [svg_rect("grid", left, top, size * cell, size * cell), f"<path class='marked' d='{marks}'/>"]
    if named:
        for at, name in enumerate(quality.names):
            middle = (at + 0.5) * cell
            shapes.append(svg_text(_short(name), left - 6, top + middle + 4, "end"))
            shapes.append(svg_text(_short(name), left + middle, top - 6, turned=True))
    shapes.append("<path class='cross' d=''/>")
    label = f"Similarity of {size} classes, {_TITLES[kind]}: {low:.3f} to {high:.3f}"
    drawing = svg(shapes, left + size * cell + right, top + size * cell + 1, label)
    place = (
        f"<svg tabindex='0' class='{'named' if named else 'many'}' "
        f"data-left='{left}' data-top='{top}' data-cell='{cell}'"
    )
    swatches = "".join(f"<i class='l{level}'></i>" for level in range(_LEVELS))
    legend = f"<p class='legend quiet'><span>{low:.3f}</span>{swatches}<span>{high:.3f}</span></p>"
    return f"<div class='scroll'>{drawing.replace('<svg', place, 1)}</div>{legend}"


def _level_paths(matrix: Matrix, low: float, high: float) -> Iterator[tuple[int, str]]:
    """One path a shade, of runs of equal cells along the rows: a map of 120 classes has 14,280 cells."""
    paths: dict[int, list[str]] = {}
    span = max(high - low, 1e-9)
    for i, row in enumerate(matrix):
        levels = [
            -1 if value is None or i == j else min(int(_LEVELS * (value - low) / span), _LEVELS - 1)
            for j, value in enumerate(row)
        ]
        edges = [0, *(j for j in range(1, len(levels)) if levels[j] != levels[j - 1]), len(levels)]
        for start, end in pairwise(edges):
            if levels[start] >= 0:
                paths.setdefault(levels[start], []).append(f"M{start} {i}h{end - start}")
    return ((level, "".join(paths[level])) for level in sorted(paths))


def _short(name: str) -> str:
    return name if len(name) <= 26 else name[:25] + "…"


# Pairs, counts, parts ------------------------------------------------------------------------------------------------


def _pairs(quality: Quality) -> str:
    if not quality.closest:
        return ""
    return (
        "<h2 id='pairs'>The closest pairs, and what tells them apart</h2>"
        "<p class='quiet'>Words, with the number of texts that use them, and claims of the motion sentences that only "
        "one of the two has; what is said of each part of the body, the most different first.</p>"
        + "".join(_pair(quality, pair, number == 0) for number, pair in enumerate(quality.closest))
    )


def _pair(quality: Quality, pair: ClassPair, opened: bool) -> str:
    texts = "text" if pair.mixed_up == 1 else "texts"
    taken = f"<b class='flag'>{pair.mixed_up} held-out {texts} mixed up</b>" if pair.mixed_up else ""
    sides = "".join(
        f"<div><h3>{_link(quality, name)}</h3><p>{_words(words)}</p>{_list(claims)}</div>"
        for name, words, claims in (
            (pair.first, pair.words_first, pair.claims_first),
            (pair.second, pair.words_second, pair.claims_second),
        )
    )
    parts = "".join(
        f"<h4>{each.part} <span class='quiet'>cosine {each.cosine:.3f}</span></h4>"
        f"<div class='sides'>{_list(each.first)}{_list(each.second)}</div>"
        for each in pair.parts
    )
    first, second = quality.names.index(pair.first), quality.names.index(pair.second)
    return (
        f"<details class='two'{' open' if opened else ''}><summary><bdi>{escape(pair.first)}</bdi> and "
        f"<bdi>{escape(pair.second)}</bdi> <span class='value'>{pair.cosine:.3f}</span> {taken}</summary>"
        f"<div class='sides'>{sides}</div>{parts}"
        f"<p class='needs-script'><button type='button' data-pair='{first} {second}'>All texts of both</button></p>"
        "</details>"
    )


def _words(words: Sequence[Word]) -> str:
    said = "".join(f"<span class='word'><bdi>{escape(word.word)}</bdi> {word.texts}</span> " for word in words)
    return said or "<span class='quiet'>no word of its own</span>"


def _list(texts: Sequence[str]) -> str:
    items = "".join(f"<li dir='auto'>{escape(text)}</li>" for text in dict.fromkeys(texts))
    return f"<ul>{items}</ul>" if items else "<p class='quiet'>nothing</p>"


def _counts(quality: Quality) -> str:
    rows = []
    for kind, title in _TITLES.items():
        figures, found = quality.kinds.get(kind), quality.held_out.get(kind)
        if (figures is None or not figures.texts) and found is None:
            continue
        cells = ["", "", ""]
        if figures is not None:
            a_class = str(figures.fewest) if figures.fewest == figures.most else f"{figures.fewest} to {figures.most}"
            cells = [str(figures.texts), a_class, f"{figures.shortest} to {figures.longest}, {figures.median:g}"]
        cells += [percent(found.right / found.n), percent(found.among_five / found.n)] if found else ["", ""]
        rows.append(f"<tr><th scope='row'>{title}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    headings = ("kind", "texts", "a class", "words, median", "found, %", "among five, %")
    return (
        "<h2 id='counts'>The texts by kind</h2><p class='quiet'>Found: each text in turn against the mean of each "
        "class's other texts; motion sentences among themselves.</p>" + table(headings, rows)
    )


def _parts(pack: KnowledgePack, quality: Quality) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{each.part}</th><td>{each.moving}</td><td>{each.still}</td><td>{each.missing}</td></tr>"
        for each in quality.parts
    )
    classes = []
    for entry, moving in zip(pack.classes, quality.coverage, strict=True):
        cells = "".join(f"<td{'' if count else ' class=none'}>{count}</td>" for count in moving)
        classes.append(f"<tr><th scope='row'>{_link(quality, entry.name)}</th>{cells}<td>{len(entry.motion)}</td></tr>")
    return (
        "<h2 id='parts'>What is said of the parts of the body</h2><p class='quiet'>Motion texts that let the part do "
        "something, that let it keep still, and that do not name it.</p>"
        + table(("part", "moves", "keeps still", "not named"), [rows])
        + "<details><summary>Class by class: texts in which the part moves</summary>"
        + table(("class", *BODY_PARTS, "of"), classes)
        + "</details>"
    )


# All texts -----------------------------------------------------------------------------------------------------------


def _classes(pack: KnowledgePack, quality: Quality, origins: Origins) -> Iterator[str]:
    yield (
        "<h2 id='classes'>All texts</h2><div class='find needs-script'><label for='find'>Classes whose name has</label>"
        "<input id='find' type='search' placeholder='hat, jacket' autocomplete='off'>"
        "<span class='quiet' id='found' role='status'></span></div>"
    )
    near = _nearest(quality)
    for number, entry in enumerate(pack.classes):
        nearest = ", ".join(f"{_link(quality, name)} {value:.3f}" for name, value in near[number])
        yield (
            f"<article class='class' id='c{number}'><h3 dir='auto'>{escape(entry.name)}</h3>"
            + (f"<p class='quiet'>nearest: {nearest}</p>" if nearest else "")
            + f"<div class='kinds'>{_kinds(entry, origins)}</div></article>"
        )


def _kinds(entry: ClassKnowledge, origins: Origins) -> str:
    blocks = []
    for kind, texts in texts_of(entry).items():
        if not texts:
            continue
        made = [_small(origins.get((entry.name, text), "")) for text in texts]
        # One answer of a model often has all texts of a kind: its origin is said once.
        shared = made[0] if len(set(made)) == 1 else ""
        items = "".join(
            f"<li dir='auto'>{escape(text)}{'' if shared else origin}</li>"
            for text, origin in zip(texts, made, strict=True)
        )
        blocks.append(f"<div><h4>{_TITLES[kind]}</h4>{shared}<ol>{items}</ol></div>")
    return "".join(blocks)


def _small(origin: str) -> str:
    return f"<small dir='auto'>{escape(origin)}</small>" if origin else ""


def _nearest(quality: Quality) -> list[list[tuple[str, float]]]:
    """The three classes nearest to each."""
    rows = []
    for i, row in enumerate(quality.similarity[ALL]):
        others = [(quality.names[j], value) for j, value in enumerate(row) if j != i and value is not None]
        rows.append(sorted(others, key=lambda other: -other[1])[:3])
    return rows


def _data(quality: Quality) -> str:
    """Names and similarities for the script: below the diagonal, row by row, in ten-thousandths."""
    values = {
        kind: [None if value is None else round(10000 * value) for i, row in enumerate(matrix) for value in row[:i]]
        for kind, matrix in quality.similarity.items()
    }
    text = json.dumps({"names": quality.names, "similarity": values}, separators=(",", ":"))
    # No text may end the element.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"<script type='application/json' id='data'>{safe}</script>"
