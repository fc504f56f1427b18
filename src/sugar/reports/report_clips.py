"""The report page's descriptions: their figures, and sample clips with what was said of them."""

from html import escape
from typing import Any

from sugar.reports.page import table
from sugar.reports.traced import Key, Style, Traced

CHOSEN = {"any": "drawn from all clips", "wrong": "drawn from the clips that are wrong", "": ""}
_VERDICTS = {True: ("true", "✓"), False: ("false", "✗"), None: ("unknown", "?")}


def descriptions_section(traced: Traced) -> str:
    """The figures of free answers; nothing where nothing was said."""
    m = traced.value("description_metrics")
    if not m:
        return ""
    at = "description_metrics"
    rows = [_figure(traced, "descriptions", (at, "n"), "count")]
    for key, meaning in (("label_first", "begins with the true label, %"), ("label_named", "names it anywhere, %")):
        rows.append(_figure(traced, meaning, (at, key), "percent"))
    if traced.value("run").get("free_generation_agrees") is not None:
        rows.append(
            _figure(traced, "agrees with the recognized label, %", ("run", "free_generation_agrees"), "percent")
        )
    rows.append(_figure(traced, "ROUGE-L against texts of the class, %", (at, "rouge_l"), "percent"))
    if m["chrf"] is not None:
        signature = f"chrF, {traced.show(at, 'chrf_signature', tag='small')}"
        rows.append(_figure(traced, signature, (at, "chrf"), "one"))
    if m["faithfulness"] is not None:
        meaning = f"of {traced.show(at, 'claims', style='count')} checkable claims the joints bear out, %"
        rows.append(_figure(traced, meaning, (at, "faithfulness"), "percent"))
        rows.append(_figure(traced, "answers that claim anything checkable, %", (at, "claiming"), "percent"))
    return f"<h2>Descriptions</h2><div class='said'>{table(('the LLM answers freely', ''), rows)}</div>"


def _figure(traced: Traced, meaning: str, place: tuple[Key, ...], style: Style) -> str:
    interval = (*place[:-1], f"{place[-1]}_interval")
    known = traced.value(*place[:-1]).get(f"{place[-1]}_interval")
    between = f" <small>{traced.interval(*interval)}</small>" if known else ""
    return f"<tr><th scope='row'>{meaning}</th><td>{traced.show(*place, style=style)}{between}</td></tr>"


def clips_section(traced: Traced, animations: int) -> str:
    """A card for each sample, the first ``animations`` of them with a moving skeleton."""
    cards = [_card(traced, i, i < animations) for i in range(len(traced.value("descriptions")))]
    if not cards:
        return ""
    intro = (
        (
            "<noscript><p>The skeletons move only where scripts may run; all texts and figures are below.</p>"
            "</noscript>"
            "<div class='bar'><p class='quiet'>Drag a skeleton, or use the arrow keys on it, to turn it. L and R mark "
            "the person's own left and right hand.</p>"
            "<button type='button' id='all' class='needs-script'>Pause all</button></div>"
        )
        if animations
        else ""
    )
    return f"<h2>Clips</h2>{intro}<div class='clips'>{''.join(cards)}</div>"


def _card(traced: Traced, number: int, moving: bool) -> str:
    at: tuple[Key, ...] = ("descriptions", number)
    sample = traced.value(*at)
    right = sample["label"] == sample["predicted"]
    mark = "<b class='right'>✓ right</b>" if right else "<b class='wrong'>✗ wrong</b>"
    stage = _stage(traced, at) if moving else ""
    said = f"<blockquote>{traced.show(*at, 'text')}</blockquote>" if sample["text"] else ""
    reference = f"<p class='quiet'>Reference: {traced.show(*at, 'reference')}</p>" if sample["reference"] else ""
    animated = f" data-animation='{number}'" if moving else ""
    chosen = f"<span>, {CHOSEN[sample['chosen']]}</span>" if sample["chosen"] else ""
    return (
        f"<article class='clip'{animated}>{stage}<div class='words'>"
        f"<h4>{traced.show(*at, 'label')}</h4>"
        f"<p>{mark} recognized as {traced.show(*at, 'predicted', tag='strong')}</p>"
        f"{said}{_claims(traced, at, sample['claims'])}{reference}{_choices(traced, sample['index'])}"
        f"<p class='quiet id'>{traced.show(*at, 'clip_id')}{chosen}</p></div></article>"
    )


def _stage(traced: Traced, at: tuple[Key, ...]) -> str:
    label = traced.text(*at, "label")
    return (
        "<canvas width='480' height='420' tabindex='0' role='img' "
        f"aria-label='Animated skeleton: {label}. Arrow keys turn it, space plays and pauses.'></canvas>"
        "<div class='controls needs-script'><button type='button' class='play'>Pause</button>"
        f"<input type='range' min='0' max='1000' value='0' aria-label='Time in the clip: {label}'></div>"
    )


def _claims(traced: Traced, at: tuple[Key, ...], claims: Any) -> str:
    """Each checkable claim, marked by what the joints say of it."""
    if not claims:
        return ""
    items = []
    for i, claim in enumerate(claims):
        word, sign = _VERDICTS[claim["holds"]]
        text = traced.show(*at, "claims", i, "text")
        items.append(f"<li class='{word}'><b><span aria-hidden='true'>{sign}</span> {word}</b>{text}</li>")
    total = (
        f"{traced.show(*at, 'claims', style='true')} of {traced.show(*at, 'claims', style='size')} claims true of the "
        "joints"
    )
    return f"<p class='quiet'>{total}</p><ul class='facts'>{''.join(items)}</ul>"


def _choices(traced: Traced, index: int | None) -> str:
    """What each scorer made of the clip."""
    if index is None:
        return ""
    rows = []
    for scorer, told in traced.value("predictions", "scorers").items():
        at: tuple[Key, ...] = ("predictions", "scorers", scorer)
        right = told["top"][index] == traced.value("predictions", "labels", index)
        mark = "<b class='right'>✓</b>" if right else "<b class='wrong'>✗</b>"
        rows.append(
            f"<tr><th scope='row'>{escape(scorer)}</th>"
            f"<td class='text'>{mark} {traced.show('classes', told['top'][index])}</td>"
            f"<td>{traced.show(*at, 'p_top', index, style='percent')}</td>"
            f"<td>{traced.show(*at, 'p_true', index, style='percent')}</td></tr>"
        )
    columns = table(("scorer", "first choice", "%", "truth %"), rows, (1,))
    return f"<details><summary>Each scorer's choice</summary>{columns}</details>"
