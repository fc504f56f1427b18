"""The demo's page: whole, safe and self-contained; in a browser its script runs and paints."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.synthetic import SYNTHETIC_CLASSES, generate
from sugar.evaluation.report import evaluate
from sugar.facts.description_check import CheckedClaim
from sugar.reports.animation import MAX_FRAMES, animate, read_steps
from sugar.reports.demo_page import DemoStory, StoryClip, render_demo_page
from sugar.reports.page import asset
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import rotation_matrix
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25

EVIL = "<script>alert('&\"')</script>"
VOID = {"meta", "br", "input", "rect", "path", "circle"}
SCORERS = ("fc", "text", "motion", "llm", "fused")


def facing(clip: SkeletonClip, other: SkeletonClip, apart: float = 1.0) -> SkeletonClip:
    """Two people of two clips who look at each other, ``apart`` meters between their roots."""
    frames = min(clip.num_frames, other.num_frames)
    persons = []
    for joints, angle, side in ((clip.joints, 90, -0.5), (other.joints, -90, 0.5)):
        body = joints[:frames, 0].astype(float) - joints[0, 0, 0]
        persons.append(body @ rotation_matrix(1, angle).T + [side * apart, 0, 3])
    return SkeletonClip(np.stack(persons, axis=1), NTU25, clip_id="two people", label=clip.label)


def made_up_report(classes, seed, clips=120, spread=1.0):
    """A report of made-up probabilities, for looks only."""
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % len(classes)
    probabilities = {}
    for strength, name in enumerate(SCORERS):
        logits = spread * rng.normal(size=(clips, len(classes)))
        logits[np.arange(clips), labels] += 0.8 + 0.5 * strength
        probabilities[name] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = evaluate(
        probabilities,
        labels,
        classes,
        protocol="synthetic-cross-person",
        split="test",
        data_hash="0123456789abcdef" * 4,
        seed=seed,
        run={"folder": "run", "trained": {"llm": {"id": "sugar-lm", "sha256": "fedcba9876543210" * 4}}},
        fusion={"weights": {"text": 0.4, "motion": 0.3, "llm": 0.3}},
    )
    return json.loads(json.dumps(result.to_dict())), probabilities


def story_clip(clip: SkeletonClip, side, classes, seed) -> StoryClip:
    rng = np.random.default_rng(seed)
    scores = {}
    for name in SCORERS:
        logits = 1.2 * rng.normal(size=len(classes))
        logits[classes.index(clip.label)] += 3
        p = np.exp(logits) / np.exp(logits).sum()
        scores[name] = dict(zip(classes, p.tolist(), strict=True))
    return StoryClip(
        clip_id=clip.clip_id,
        side=side,
        label=clip.label,
        predicted=max(scores["fused"], key=scores["fused"].get),
        scores=scores,
        description="The right hand rises above the head and swings from side to side four times, fast, while the "
        "left hand hangs still. The person keeps standing.",
        facts=[
            CheckedClaim("The right hand rises above the head.", True),
            CheckedClaim("The right hand swings four times.", seed % 3 != 0),
            CheckedClaim("The left hand stays still.", True),
            CheckedClaim("The person is standing.", True if seed % 2 else None),
        ],
        animation=animate(clip),
    )


@pytest.fixture(scope="module")
def story() -> DemoStory:
    classes = list(SYNTHETIC_CLASSES)
    seen, unseen = classes[:-4], classes[-4:]
    singles = list(generate(2, 5, seen))
    clips = [story_clip(c, "seen", seen, i) for i, c in enumerate((singles[::2] + singles[1::2])[:7])]
    pair = facing(*generate(1, 6, seen[:2]))
    clips.append(story_clip(pair, "seen", seen, 11))
    clips += [story_clip(c, "unseen", unseen, 20 + i) for i, c in enumerate(generate(1, 7, unseen))]
    rng = np.random.default_rng(0)
    steps = np.arange(1, 400)
    curves = {
        "alignment": [(int(s), float(4 * np.exp(-s / 90) + 0.4 + 0.1 * rng.random())) for s in steps],
        "instruction": [(int(s), float(2 * np.exp(-s / 60) + 0.2 + 0.1 * rng.random())) for s in steps],
    }
    return DemoStory(
        title="Motions it never saw, in words that hold",
        seen=made_up_report(seen, 0)[0],
        unseen=made_up_report(unseen, 1)[0],
        clips=clips,
        curves=curves,
        seconds={"data": 6.2, "alignment": 61.0, "instruction": 93.4, "evaluate": 41.0},
        environment={"python": "3.11.2", "packages": {"torch": "2.6", "numpy": "1.26"}, "cores": 2},
        faithfulness=0.931,
        note="All motions here are made up by a program.",
    )


class Page(HTMLParser):
    """Tags, attributes and texts; elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or tag == "rect":
            self.open.append(tag)
            self.inside.setdefault(tag, []).append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.inside[tag][-1] += data

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in wanted.items())]


def test_page_has_every_clip_and_all_its_words(story):
    page = Page(render_demo_page(story))
    assert len(page.having("article", class_="clip")) == len(page.having("canvas")) == len(story.clips) == 12
    assert page.inside["h4"] == [c.label for c in story.clips]
    for text, clip in zip(page.inside["article"], story.clips, strict=True):
        assert clip.description in text
        assert clip.clip_id in text
        assert ("✓ right" if clip.label == clip.predicted else "✗ wrong") in text.split("recognized as")[0]
        for claim in clip.facts:
            word = {True: "true", False: "false", None: "unknown"}[claim.holds]
            assert f"{word} {claim.text}" in text
    bars = [a for t, a in page.tags if t == "ol"]
    assert len(bars) == 12
    assert len(page.having("table")) == 2 + 12 + 1
    assert f"{100 * story.unseen['scores']['fused']['top1']:.1f} %" in page.inside["dl"][0]
    assert "93.1 %" in page.inside["dl"][0]
    assert page.inside["figcaption"][0].startswith("loss")


def test_matrix_is_a_table_with_all_counts(story):
    page = render_demo_page(story)
    matrix = re.search(r"<div class='scroll matrix'.*?</table>", page, re.S)[0]
    numbers = [int(n) for n in re.findall(r"<td class='[rw]\d' [^>]*>(\d+)</td>", matrix)]
    assert sum(numbers) == story.seen["n"]
    assert matrix.count("scope='row'") == len(story.seen["classes"]) == matrix.count("scope='col'") - 1


def test_page_loads_nothing(story):
    text = render_demo_page(story)
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not {n for n in attributes if n in ("src", "srcset", "action") or n.startswith("on")}
        assert (attributes.get("href") or "#").startswith("#")
    for outside in ("http://", "https://", "//cdn", "url(", "@import", "fetch(", "XMLHttpRequest", "import("):
        assert outside not in text
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy["content"]
    assert len(page.having("script")) == 2


def test_every_text_is_escaped(story):
    evil = replace(
        story.clips[0],
        clip_id=EVIL,
        label=EVIL,
        predicted=EVIL,
        description=EVIL,
        facts=[CheckedClaim(EVIL, True)],
        scores={EVIL: {EVIL: 1.0}, "llm": {EVIL: 1.0}},
    )
    report, _ = made_up_report([EVIL, "b", "c"], 0, clips=30)
    report["scores"][EVIL] = report["scores"]["llm"]
    told = replace(
        story,
        title=EVIL,
        note=EVIL,
        seen=report,
        clips=[evil],
        curves={EVIL: [(1, 2.0), (2, 1.0)]},
        seconds={EVIL: 1.0},
        environment={EVIL: EVIL},
    )
    text = render_demo_page(told)
    page = Page(text)
    assert len(page.having("script")) == 2
    assert EVIL not in text
    assert text.count("&lt;script&gt;") > 15
    assert page.inside["h1"] == page.inside["h4"] == page.inside["title"] == [EVIL]


def test_page_without_the_optional_parts(story):
    bare = DemoStory(story.title, story.seen, None, [replace(story.clips[0], scores={}, facts=[], description="")])
    page = Page(render_demo_page(bare))
    assert len(page.having("canvas")) == 1
    assert "by name alone" not in page.inside["main"][0]
    Page(render_demo_page(replace(bare, clips=[])))


def test_page_of_twelve_clips_of_two_people_is_small(story):
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(64, 2, 25, 3)).astype(np.float32)
    animation = animate(SkeletonClip(joints, NTU25))
    text = render_demo_page(replace(story, clips=[replace(c, animation=animation) for c in story.clips]))
    assert len(text.encode()) < 800_000


def read_page_animation(text, number):
    found = re.search(r"<script type='application/json' id='animations'>(.*?)</script>", text, re.S)
    return json.loads(found[1])[number]


def test_animation_comes_back_from_the_page(story):
    data = read_page_animation(render_demo_page(story), 7)
    animation = story.clips[7].animation
    steps, measured = read_steps(data)
    assert steps.shape == (*data["shape"], 3) == animation.steps.shape
    assert data["shape"][1] == 2
    np.testing.assert_array_equal(steps, animation.steps)
    np.testing.assert_array_equal(measured, animation.measured)
    np.testing.assert_allclose(steps * data["unit"], animation.points, atol=1e-6)
    assert [NTU25.joint_names[j] for j in data["hands"].values()] == ["left_hand", "right_hand"]
    assert data["head"] == NTU25.index("head")


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_turned_tilted_person_stands_upright_and_faces_the_viewer(up):
    clip = next(iter(generate(1, 3, SYNTHETIC_CLASSES[:1])))
    joints = np.moveaxis(clip.joints, -1, 0)
    # The same body in axes of which another one is up; all are right-handed.
    order = {0: (1, 2, 0), 1: (0, 1, 2), 2: (2, 0, 1)}[up]
    layout = JointLayout(
        "own", NTU25.joint_names, NTU25.bones, NTU25.root, NTU25.parts, NTU25.pairs, dimension=3, up=up
    )
    turned = np.stack([joints[i] for i in order], axis=-1) @ rotation_matrix(up, 130).T
    turned = turned @ rotation_matrix((up + 1) % 3, 11).T
    animation = animate(SkeletonClip(turned, layout, fps=clip.fps), max_frames=40)
    assert animation.points.shape == (40, 1, 25, 3)
    assert animation.seconds == pytest.approx((clip.num_frames - 1) / clip.fps)
    points = np.median(animation.points[:, 0], axis=0)
    at = {name: points[NTU25.index(name)] for name in NTU25.joint_names}
    across = at["left_shoulder"] - at["right_shoulder"]
    assert across[0] > 0.2  # their left is the viewer's right
    assert np.abs(across[1:]).max() < 0.06
    assert at["left_foot"][2] > at["left_ankle"][2]
    leg = at["left_hip"] + at["right_hip"] - at["left_ankle"] - at["right_ankle"]
    assert np.degrees(np.arccos(leg[1] / np.linalg.norm(leg))) < 3
    assert abs(animation.points[..., 1].min()) < 0.1
    # Nothing but turns, shifts and rounding: distances between joints stay.
    first = turned[0, 0].astype(float)
    shown = animation.points[0, 0]
    np.testing.assert_allclose(
        np.linalg.norm(shown[1:] - shown[:-1], axis=1), np.linalg.norm(first[1:] - first[:-1], axis=1), atol=1e-3
    )


def test_two_people_stand_side_by_side(story):
    points = story.clips[7].animation.points.mean(axis=(0, 2))
    assert points[1, 0] - points[0, 0] > 0.5
    assert abs(points[1, 2] - points[0, 2]) < 0.1


def test_gaps_are_filled_and_marked():
    clip = next(iter(generate(1, 3, SYNTHETIC_CLASSES[:1])))
    joints = np.concatenate([clip.joints, np.zeros_like(clip.joints)], axis=1)
    joints[10:20, 0, 5] = 0
    joints[:, 0, 24] = 0
    joints[30:, 1] = clip.joints[30:, 0] + [1, 0, 0]
    animation = animate(SkeletonClip(joints, NTU25), max_frames=len(joints))
    whole = animate(clip, max_frames=len(joints))
    assert not animation.measured[10:20, 0, 5].any()
    assert not animation.measured[:, 0, 24].any()
    assert not animation.measured[:30, 1].any()
    assert animation.measured[:10, 0, 5].all()
    elbow = animation.points[:, 0, 5] - animation.points[:, 0, 4]
    true = whole.points[:, 0, 5] - whole.points[:, 0, 4]
    assert np.abs(np.linalg.norm(elbow, axis=1) - np.linalg.norm(true, axis=1)).max() < 0.15
    assert animation.height < 2.5


def test_any_length_layout_and_dimension():
    rng = np.random.default_rng(0)
    long = animate(SkeletonClip(rng.normal(size=(500, 3, 20, 3)), KINECT20))
    assert long.steps.shape == (MAX_FRAMES, 2, 20, 3)
    still = animate(SkeletonClip(np.ones((1, 1, 20, 3)), KINECT20))
    assert still.steps.shape == (1, 1, 20, 3)
    assert still.seconds == 0
    flat = JointLayout("flat", ("a", "b"), ((1, 0),), 0, {p: () for p in NTU25.parts} | {"head": (0, 1)}, (), 2)
    shown = animate(SkeletonClip(np.array([[[[10, 20], [30, 60]]]]), flat))
    assert shown.flat
    assert shown.points[0, 0, 0, 1] > shown.points[0, 0, 1, 1]  # pixels grow downwards
    assert shown.to_dict()["hands"] == {}
    rare = np.zeros((1000, 1, 20, 3))
    rare[501] = rng.normal(size=(1, 20, 3))
    assert np.isfinite(animate(SkeletonClip(rare, KINECT20)).points).all()


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast of two colors ``#rrggbb``."""

    def luminance(color: str) -> float:
        channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colors_can_be_told_apart(dark):
    colors = {}
    for name in ("page.css", "player.css"):
        blocks = re.findall(r":root \{(.*?)\}", asset(name), re.S)
        colors |= dict(re.findall(r"--(\S+): (#[0-9a-f]{6})", blocks[dark]))
    for ground in ("page", "card", "stage"):
        for ink in ("ink", "quiet", "right", "wrong", "yes"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    assert contrast(colors["on-right"], colors["right"]) >= 4.5
    assert contrast(colors["on-wrong"], colors["wrong"]) >= 4.5
    for part in NTU25.parts:
        assert contrast(colors[part], colors["stage"]) >= 3, part
        assert contrast(colors[part], colors["floor"]) >= 3, part
    # Shaded cells: no more than 34 % of a color lies below the usual ink.
    for mark in ("right", "wrong"):
        mixed = [
            round(0.34 * int(colors[mark][i : i + 2], 16) + 0.66 * int(colors["page"][i : i + 2], 16))
            for i in (1, 3, 5)
        ]
        assert contrast(colors["ink"], "#" + "".join(f"{v:02x}" for v in mixed)) >= 4.5


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium or chrome to open the page with")


def opened(browser: str, page: Path, home: Path, width: int = 1280) -> str:
    """The page's elements after its script ran."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", page.as_uri() + "#selftest"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_paints_the_skeletons_and_the_page_fits(story, browser, width, tmp_path):
    names = [f"a rather long name of action {i}" for i in range(30)]
    wide = replace(story, seen=made_up_report([*names[:-1], "Donaudampfschifffahrtsgesellschaft" * 2], 0)[0])
    (tmp_path / "report.html").write_text(render_demo_page(wide), encoding="utf-8")
    root = re.search(r"<html[^>]*>", opened(browser, tmp_path / "report.html", tmp_path / "home", width))[0]
    assert 'data-ready="12 clips"' in root
    assert "data-error" not in root
    assert 'data-overflow="0"' in root
    painted, moved = (int(re.search(rf'data-{what}="(\d+)"', root)[1]) for what in ("painted", "moved"))
    assert painted > 5000
    assert 200 < moved < painted


def test_a_browser_tells_of_broken_data(story, browser, tmp_path):
    text = render_demo_page(story).replace('"steps":"', '"steps":"!', 1)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    root = re.search(r"<html[^>]*>", opened(browser, tmp_path / "report.html", tmp_path / "home"))[0]
    assert "data-error" in root
    assert "data-ready" not in root
