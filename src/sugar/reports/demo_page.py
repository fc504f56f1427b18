"""The report of `sugar demo`: what was recognized and what was said, beside the moving skeletons.

One self-contained page: its script draws the clips and nothing else; without it all texts and figures
still stand there. Every figure comes from the story and every text of it is escaped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from sugar.facts.description_check import CheckedClaim
from sugar.models.scorers.scorers import FUSED, FUSED_DESCRIPTION, SCORERS
from sugar.reports.animation import Animation, animations_script
from sugar.reports.page import asset, document, fact_lists, interval_mark, percent, svg, svg_text, table
from sugar.skeleton.layout import PARTS

MEANINGS = {scorer.name: scorer.description for scorer in SCORERS} | {FUSED: FUSED_DESCRIPTION}
TOP = 5
CURVE_POINTS = 240
SHADES = (0.25, 0.5, 0.75)
"""Shares of a row from which a cell of the confusion matrix takes the next of four shades."""


@dataclass(frozen=True, eq=False)
class StoryClip:
    """One clip of the gallery.

    Args:
        side: "seen": an action of the training set, "unseen": one known by name alone.
        label: the true name; ``predicted``: the answer.
        scores: probability of each candidate name by scorer. Bars show "fused", or else the last scorer.
        description: what the LLM said.
        facts: its claims, and whether the joints bear each out (None: they cannot tell).
    """

    clip_id: str
    side: Literal["seen", "unseen"]
    label: str
    predicted: str
    scores: Mapping[str, Mapping[str, float]]
    description: str
    facts: Sequence[CheckedClaim]
    animation: Animation


@dataclass(frozen=True, eq=False)
class DemoStory:
    """All that the page shows.

    Args:
        title: heading of the page.
        seen: report of `sugar eval` (`EvaluationResult.to_dict`) on unseen people and cameras.
        unseen: likewise of the actions known by name alone, or None.
        clips: the gallery, in order.
        curves: (step, loss) of each training stage.
        seconds: duration of each step of the demo, in order.
        environment: versions and hardware; seeds and hashes are taken from the reports as well.
        faithfulness: share of the checkable claims of all descriptions that the joints bear out.
        note: one more sentence below the introduction.
    """

    title: str
    seen: Mapping[str, Any]
    unseen: Mapping[str, Any] | None
    clips: Sequence[StoryClip]
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    faithfulness: float | None = None
    note: str = ""


def render_demo_page(story: DemoStory) -> str:
    """The page as HTML text; about 40 kB for each clip of two persons."""
    body = [
        f"<header><h1>{escape(story.title)}</h1>{_introduction(story)}{_headline(story)}</header>",
        _scores(story),
        _gallery(story),
        _confusion(story.seen),
        _curves(story.curves),
        _origin(story),
        animations_script([clip.animation for clip in story.clips]),
    ]
    style = asset("page.css") + asset("player.css") + asset("demo.css")
    return document(story.title, body, style=style, script=asset("player.js"))


def _introduction(story: DemoStory) -> str:
    seen, unseen = len(story.seen["classes"]), story.unseen
    by_name = f", and {len(unseen['classes'])} actions that it knows by name alone" if unseen else ""
    note = f"<p class='quiet'>{escape(story.note)}</p>" if story.note else ""
    return (
        f"<p class='lead'>A model that sees nothing but the joints of moving bodies learned {seen} actions; "
        f"here it meets people and cameras that were not in its training{by_name}. "
        "Each clip shows what it recognized and what it says of the movement, claim by claim held against the "
        f"joints.</p>{note}"
    )


def _headline(story: DemoStory) -> str:
    figures = [(_best(story.seen), "seen actions right", f"unseen people and cameras, {story.seen['n']} clips")]
    if story.unseen:
        count = len(story.unseen["classes"])
        detail = f"{count} names never seen, chance {percent(1 / count)} %, {story.unseen['n']} clips"
        figures.append((_best(story.unseen), "unseen actions right", detail))
    if story.faithfulness is not None:
        figures.append((story.faithfulness, "of claims are true", "checkable claims of all descriptions"))
    cells = [f"<dt>{what}<small>{detail}</small></dt><dd>{percent(share)} %</dd>" for share, what, detail in figures]
    if story.seconds:
        total = sum(story.seconds.values())
        cells.append(f"<dt>from nothing to this page<small>all steps together</small></dt><dd>{_duration(total)}</dd>")
    return "<dl class='headline'>" + "".join(f"<div>{c}</div>" for c in cells) + "</dl>"


def _best(report: Mapping[str, Any]) -> float:
    return float(report["scores"][_main(report["scores"])]["top1"])


def _main(scores: Mapping[str, Any]) -> str:
    """The scorer that speaks for all: the fused one, or else the last."""
    return "fused" if "fused" in scores else list(scores)[-1]


def _in_order(scores: Mapping[str, Any]) -> list[str]:
    known = [name for name in MEANINGS if name in scores]
    return known + [name for name in scores if name not in MEANINGS]


def _scores(story: DemoStory) -> str:
    parts = [_score_table("Seen actions, unseen people and cameras", story.seen)]
    if story.unseen:
        parts.append(_score_table("Unseen actions, by name alone", story.unseen))
    used = _in_order({**(story.unseen or story.seen)["scores"], **story.seen["scores"]})
    meanings = "".join(f"<dt>{escape(n)}</dt><dd>{escape(MEANINGS[n])}</dd>" for n in used if n in MEANINGS)
    return f"<h2>Scores</h2><div class='pair'>{''.join(parts)}</div><dl class='meanings'>{meanings}</dl>"


def _score_table(heading: str, report: Mapping[str, Any]) -> str:
    scores, count = report["scores"], len(report["classes"])
    bounds = [b for m in scores.values() for b in m["top1_interval"]]
    rows = []
    for name in _in_order(scores):
        m = scores[name]
        cells = [percent(m["top1"]), interval_mark(m["top1"], m["top1_interval"], min(bounds), max(bounds))]
        cells.append(" to ".join(percent(b) for b in m["top1_interval"]))
        cells += [percent(m["top5"])] if count > TOP else []
        kind = " class='main'" if name == _main(scores) else ""
        rows.append(f"<tr{kind}><th scope='row'>{escape(name)}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    headings = ["scorer", "top-1 %", "", "95 % interval", *(["top-5 %"] if count > TOP else [])]
    size = f"{report['n']} clips, {count} actions, chance {percent(1 / count)} %"
    return f"<section><h3>{heading}</h3>{table(headings, rows)}<p class='quiet'>{size}</p></section>"


def _gallery(story: DemoStory) -> str:
    legend = "".join(f"<li class='part {p}'>{p}</li>" for p in PARTS)
    parts = [
        "<h2 id='clips'>Clips</h2>",
        "<p class='quiet'>Drag a skeleton, or use the arrow keys on it, to turn it. "
        "L and R mark the person's own left and right hand.</p>",
        "<noscript><p>The skeletons move only where scripts may run; all texts and figures are below.</p></noscript>",
        f"<div class='bar'><ul class='legend' aria-label='Colors of the body parts'>{legend}</ul>"
        "<button type='button' id='all' class='needs-script'>Pause all</button></div>",
    ]
    headings = {"seen": "Actions of the training set", "unseen": "Actions known by name alone"}
    for side, heading in headings.items():
        cards = [_card(c, i) for i, c in enumerate(story.clips) if c.side == side]
        if cards:
            parts.append(f"<h3>{heading}</h3><div class='clips'>{''.join(cards)}</div>")
    return "".join(parts)


def _card(clip: StoryClip, number: int) -> str:
    name, right = escape(clip.label), clip.label == clip.predicted
    mark = "<b class='right'>✓ right</b>" if right else "<b class='wrong'>✗ wrong</b>"
    answer = escape(clip.predicted)
    picture = escape(f"Animated skeleton: {clip.label}. Arrow keys turn it, space plays and pauses.")
    return (
        f"<article class='clip' data-side='{clip.side}' data-animation='{number}'>"
        f"<canvas width='480' height='420' tabindex='0' role='img' aria-label='{picture}'></canvas>"
        "<div class='controls needs-script'><button type='button' class='play'>Pause</button>"
        f"<input type='range' min='0' max='1000' value='0' aria-label='Time in the clip: {escape(clip.label)}'></div>"
        f"<div class='words'><h4>{name}</h4>"
        f"<p class='verdict'>{mark} <span>recognized as <strong>{answer}</strong></span></p>"
        f"{_bars(clip)}{_description(clip)}{_choices(clip)}"
        f"<p class='quiet id'>{escape(clip.clip_id)}</p></div></article>"
    )


def _bars(clip: StoryClip) -> str:
    if not clip.scores:
        return ""
    scorer = _main(clip.scores)
    best = sorted(clip.scores[scorer].items(), key=lambda pair: -pair[1])[:TOP]
    items = []
    for name, p in best:
        true = " <em>true</em>" if name == clip.label else ""
        items.append(
            f"<li{' class=true' if true else ''}><span>{escape(name)}{true}</span><span>{_probability(p)}</span>"
            f"<i style='width:{100 * p:.1f}%'></i></li>"
        )
    return f"<ol class='bars' aria-label='Most probable by {escape(scorer)}'>{''.join(items)}</ol>"


def _probability(p: float) -> str:
    return "&lt; 0.1 %" if 0 < p < 0.0005 else f"{percent(p)} %"


def _choices(clip: StoryClip) -> str:
    rows = []
    for scorer in _in_order(clip.scores):
        name, p = max(clip.scores[scorer].items(), key=lambda pair: pair[1])
        mark = "<b class='right'>✓ right</b>" if name == clip.label else "<b class='wrong'>✗ wrong</b>"
        rows.append(
            f"<tr><th scope='row'>{escape(scorer)}</th><td class='text'>{escape(name)}</td>"
            f"<td>{percent(p)}</td><td>{mark}</td></tr>"
        )
    if len(rows) < 2:
        return ""
    columns = table(("scorer", "first choice", "%", ""), rows, (1,))
    return f"<details><summary>Each scorer's choice</summary>{columns}</details>"


_VERDICTS = {True: ("true", "✓", "true"), False: ("false", "✗", "false"), None: ("unknown", "?", "unknown")}


def _description(clip: StoryClip) -> str:
    said = f"<blockquote>{escape(clip.description)}</blockquote>" if clip.description else ""
    items = []
    for claim in clip.facts:
        kind, sign, word = _VERDICTS[claim.holds]
        items.append(
            f"<li class='{kind}'><b><span aria-hidden='true'>{sign}</span> {word}</b> {escape(claim.text)}</li>"
        )
    if not items:
        return said
    checked = [claim.holds for claim in clip.facts if claim.holds is not None]
    total = f"{sum(checked)} of {len(checked)} checkable claims true" if checked else "no claim can be checked"
    return f"{said}<p class='quiet'>{total}</p><ul class='facts'>{''.join(items)}</ul>"


def _confusion(report: Mapping[str, Any]) -> str:
    name = _main(report["scores"])
    counts, classes = report["details"][name]["confusion"], report["classes"]
    head = "".join(f"<th scope='col'><span>{escape(c)}</span></th>" for c in classes)
    rows = []
    for i, row in enumerate(counts):
        cells, total = [], sum(row)
        for j, count in enumerate(row):
            share = count / total if count else 0.0
            shade = 1 + sum(share >= s for s in SHADES)
            tip = escape(f"{classes[i]} as {classes[j]}: {count} of {total}")
            cells.append(f"<td class='{'rw'[i != j]}{shade}' title='{tip}'>{count}</td>" if count else "<td></td>")
        rows.append(f"<tr><th scope='row'>{escape(classes[i])}</th>{''.join(cells)}</tr>")
    return (
        f"<h2>Confusion of seen actions ({escape(name)})</h2>"
        "<p class='quiet' id='confusion-key'>Rows true, columns recognized, in clips; empty is none. "
        "Blue on the diagonal is right, orange beside it wrong; the stronger, the larger the share of its row.</p>"
        "<div class='scroll matrix' role='region' tabindex='0' aria-label='Confusion matrix, scrolls sideways'>"
        "<table aria-describedby='confusion-key'><thead><tr><th scope='col'>true</th>"
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _curves(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    drawn = [_curve(stage, points) for stage, points in curves.items() if len(points) > 1]
    return f"<h2>Training</h2><div class='curves'>{''.join(drawn)}</div>" if drawn else ""


def _curve(stage: str, points: Sequence[tuple[int, float]]) -> str:
    width, height, left, right, top, bottom = 400, 210, 40, 12, 10, 24
    kept = [points[round(i)] for i in _spread(len(points), CURVE_POINTS)]
    ticks = _ticks(min(loss for _, loss in points), max(loss for _, loss in points))
    first, last, low, high = kept[0][0], kept[-1][0], ticks[0], ticks[-1]

    def place(step: float, loss: float) -> tuple[float, float]:
        x = left + (width - left - right) * (step - first) / max(last - first, 1)
        return x, top + (height - top - bottom) * (high - loss) / (high - low)

    parts = []
    for tick in ticks:
        y = place(first, tick)[1]
        parts.append(f"<path class='grid' d='M{left} {y:.1f}H{width - right}'/>")
        parts.append(svg_text(f"{tick:g}", left - 6, y + 4, "end", "quiet"))
    line = "L".join("{:.1f} {:.1f}".format(*place(*p)) for p in kept)
    parts.append(f"<path class='curve' d='M{line}'/>")
    parts.append(svg_text(f"{first:,}", left, height - 8, "start", "quiet"))
    parts.append(svg_text(f"{last:,} steps", width - right, height - 8, "end", "quiet"))
    start, end = points[0][1], points[-1][1]
    drawing = svg(parts, width, height, f"{stage}: loss from {start:.3g} to {end:.3g} in {last:,} steps")
    return f"<figure><h3>{escape(stage)}</h3>{drawing}<figcaption>loss, {start:.3g} to {end:.3g}</figcaption></figure>"


def _spread(length: int, most: int) -> list[float]:
    count = min(length, most)
    return [i * (length - 1) / max(count - 1, 1) for i in range(count)]


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round values that enclose both."""
    span = max(high - low, 1e-6)
    magnitude = 10 ** math.floor(math.log10(span / 3))
    step = next(m * magnitude for m in (1, 2, 5, 10) if span / (m * magnitude) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{i * step:.6g}") for i in range(first, max(last, first + 1) + 1)]


def _origin(story: DemoStory) -> str:
    steps = "".join(f"<dt>{escape(n)}</dt><dd>{_duration(s)}</dd>" for n, s in story.seconds.items())
    times = f"<h3>Time</h3><dl>{steps}</dl>" if steps else ""
    blocks: dict[str, Mapping[str, Any]] = {}
    for side, report in (("Seen", story.seen), ("Unseen", story.unseen or {})):
        keys = ("protocol", "split", "n", "seed", "data_hash", "run", "fusion")
        blocks[side] = {key: report[key] for key in keys if report.get(key) is not None}
    blocks["Environment"] = story.environment or story.seen.get("environment", {})
    return (
        "<h2>Where the figures come from</h2><details><summary>Times, seeds, hashes, versions</summary>"
        f"{times}{fact_lists(blocks)}</details>"
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
