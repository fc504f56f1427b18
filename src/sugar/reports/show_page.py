"""One clip as a self-contained page: views side by side that share their time and turn by dragging."""

from collections.abc import Sequence
from html import escape

from sugar.reports.animation import Animation, animations_script
from sugar.reports.page import asset, document
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS


def render_show_page(clip: SkeletonClip, animation: Animation, views: Sequence[str], size: int) -> str:
    """The page as HTML text; ``size`` is the width in pixels that a view takes where there is room."""
    title = clip.label or clip.clip_id or "clip"
    people = int(clip.present.any(axis=0).sum())
    drawn = animation.measured.shape[1]
    facts = [
        *([clip.clip_id] if clip.clip_id and clip.clip_id != title else []),
        f"{clip.num_frames} frames at {clip.fps:g} a second",
        f"layout {clip.layout.name}",
        *([f"{people} people" + (f", the {drawn} of most motion drawn" if people > drawn else "")] * (people > 1)),
    ]
    hint = "" if animation.flat else "Drag a view, or use the arrow keys on it, to turn it. "
    hands = "L and R mark the person's own left and right hand. " if animation.hands else ""
    outline = "The second person is drawn in outline. " if drawn > 1 else ""
    legend = "".join(f"<li class='part {p}'>{p}</li>" for p in PARTS)
    body = [
        f"<header><h1>{escape(title)}</h1><p class='quiet'>{escape(' · '.join(facts))}</p></header>",
        "<noscript><p>The skeleton is drawn only where scripts may run.</p></noscript>",
        "<article class='clip' data-animation='0' data-strict>",
        f"<div class='views' style='--size: {size}px'>{''.join(_view(v, title, animation.flat) for v in views)}</div>",
        "<div class='controls needs-script'><button type='button' class='play'>Pause</button>"
        "<input type='range' min='0' max='1000' value='0' aria-label='Time in the clip'><output></output></div>",
        "</article>",
        f"<ul class='legend' aria-label='Colors of the body parts'>{legend}</ul>",
        f"<p class='quiet'>{hint}{outline}{hands}Joints that were not measured are left out.</p>",
        animations_script([animation]),
    ]
    style = asset("page.css") + asset("player.css") + asset("show.css")
    return document(title, body, style=style, script=asset("player.js"))


def _view(view: str, title: str, flat: bool) -> str:
    side = "" if flat else f", {view} view. Arrow keys turn it"
    label = escape(f"Animated skeleton: {title}{side}. Space plays and pauses.")
    caption = "" if flat else f"<figcaption>{view}</figcaption>"
    return (
        f"<figure><canvas width='480' height='480' data-view='{view}' tabindex='0' role='img' "
        f"aria-label='{label}'></canvas>{caption}</figure>"
    )
