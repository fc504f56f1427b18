"""Clips as GIF, MP4 and page: what is drawn, where, in which colors and how long."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.reports import drawing, show
from sugar.reports.animation import animate
from sugar.reports.page import asset
from sugar.reports.show import show_clip
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS
from sugar.skeleton.layouts import COCO17, NTU25

Image = pytest.importorskip("PIL.Image", reason="GIF needs Pillow")
SIZE = 240
EVIL = "<script>alert('&\"')</script>"


@pytest.fixture(scope="module")
def clip() -> SkeletonClip:
    return next(iter(generate(1, 3, ["wave with one hand"])))


@pytest.fixture(scope="module")
def pair() -> SkeletonClip:
    return next(iter(generate(1, 6, ["shake hands"])))


def without(clip: SkeletonClip, *ends: str) -> SkeletonClip:
    """The clip with the joints of such names not measured."""
    joints = clip.joints.copy()
    joints[:, :, [j for j, name in enumerate(clip.layout.joint_names) if name.endswith(ends)]] = 0
    return replace(clip, joints=joints)


def flat_clip(clip: SkeletonClip) -> SkeletonClip:
    """A 2-D clip of 17 joints, in pixels, y down."""
    names = {"nose": "head", "left_eye": "head", "right_eye": "head", "left_ear": "head", "right_ear": "head"}
    order = [NTU25.index(names.get(name, name)) for name in COCO17.joint_names]
    return replace(clip, joints=clip.joints[:, :, order, :2] * [300, -300] + [320, 240], layout=COCO17)


def frames_of(clip: SkeletonClip, *views: drawing.View, size: int = SIZE) -> list[np.ndarray]:
    """The first view of each frame, ``[H, W, 3]``, without captions."""
    images = drawing.draw_frames(clip, animate(clip, clip.num_frames), views or ("front",), size)
    return [np.asarray(image)[:size, :size].astype(int) for image in images]


def places(image: np.ndarray, name: str) -> np.ndarray:
    """``[N, 2]`` x and y of the pixels of a color."""
    found = (image == drawing.palette()[name]).all(axis=-1)
    return np.argwhere(found)[:, ::-1]


def opened(path: Path) -> tuple[list[np.ndarray], float]:
    """Frames and seconds of a GIF."""
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        images, seconds = [], 0.0
        for number in range(gif.n_frames):
            gif.seek(number)
            images.append(np.asarray(gif.convert("RGB")).astype(int))
            seconds += gif.info["duration"] / 1000
    return images, seconds


def test_a_gif_has_all_frames_lasts_as_long_and_shows_each_part(clip, tmp_path):
    show_clip(clip, tmp_path / "a.GIF", ("front", "side", "top"), SIZE)
    images, seconds = opened(tmp_path / "a.GIF")
    assert len(images) == clip.num_frames
    assert seconds == pytest.approx(clip.num_frames / clip.fps, rel=0.01)
    assert images[0].shape[1] >= 3 * SIZE
    assert images[0].shape[0] > SIZE
    for view in range(3):
        start = view * (SIZE + 2)
        for part in PARTS if view < 2 else ("head", "arm"):
            assert any(len(places(image[:SIZE, start : start + SIZE], part)) > 5 for image in images), (view, part)
    assert any((a != b).any() for a, b in itertools.pairwise(image[:SIZE] for image in images))
    assert [file.name for file in tmp_path.iterdir()] == ["a.GIF"]


@pytest.mark.parametrize(("fps", "frames"), [(7.3, 0), (29.97, 0), (30.0, 20), (50.0, 0), (120.0, 0), (240.0, 11)])
def test_a_gif_lasts_as_long_as_the_clip(clip, fps, frames, tmp_path):
    show_clip(replace(clip, fps=fps), tmp_path / "a.gif", ("front",), 160, frames)
    images, seconds = opened(tmp_path / "a.gif")
    assert seconds == pytest.approx(clip.num_frames / fps, rel=0.05)
    assert len(images) == min(frames or clip.num_frames, int(50 * clip.num_frames / fps + 1e-6))


def test_one_frame(clip, tmp_path):
    show_clip(SkeletonClip(clip.joints[:1], NTU25), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 1
    show_clip(SkeletonClip(clip.joints[:1], NTU25), tmp_path / "a.html")


def test_left_is_the_viewers_right(clip):
    for view, side in itertools.product(("front", "top"), ("left", "right")):
        other = "right" if side == "left" else "left"
        one_handed = without(clip, f"{other}_hand", f"{other}_hand_tip", f"{other}_thumb", f"{other}_wrist")
        for image in frames_of(one_handed, view)[::20]:
            hand, body = places(image, "hand"), places(image, "head")
            assert len(hand)
            assert (hand[:, 0].mean() > body[:, 0].mean()) == (side == "left"), (view, side)


def test_from_the_side_the_toes_point_to_the_right_and_feet_are_on_the_floor(clip):
    camera = drawing.cameras(animate(clip, clip.num_frames), ["side"], SIZE)[0]
    for image in frames_of(clip, "side")[::20]:
        feet, legs = places(image, "foot"), places(image, "leg")
        assert feet[:, 0].mean() > legs[legs[:, 1] > np.quantile(legs[:, 1], 0.8), 0].mean()
        assert abs(feet[:, 1].max() - camera.floor) < 0.05 * SIZE
        assert places(image, "head")[:, 1].max() < legs[:, 1].min()


def test_all_joints_are_in_the_picture(pair):
    animation = animate(pair, pair.num_frames)
    for camera in drawing.cameras(animation, drawing.VIEWS, SIZE):
        spots, _ = camera.look(animation.points)
        assert ((spots > 0) & (spots < SIZE)).all(), camera.view


def test_two_people_are_drawn_the_second_in_outline(pair):
    animation = animate(pair, pair.num_frames)
    camera = drawing.cameras(animation, ["front"], SIZE)[0]
    colors, head = drawing.palette(), NTU25.index("head")
    for frame, image in list(enumerate(frames_of(pair)))[::20]:
        for person, inside in enumerate((colors["head"], colors["stage"])):
            x, y = camera.look(animation.points[frame, person, head])[0].round().astype(int)
            assert (image[y, x] == inside).all(), person
            near = places(image, "head") - [x, y]
            assert (np.hypot(*near.T) < 0.04 * SIZE).sum() > 20, person


def test_a_flat_clip_has_one_view_and_its_head_is_up(clip, tmp_path):
    flat = flat_clip(clip)
    show_clip(flat, tmp_path / "a.gif", ("front", "side", "top"), SIZE)
    images, _ = opened(tmp_path / "a.gif")
    assert images[0].shape[1] == SIZE
    image = images[10][:SIZE]
    # Heads and hips there are points of synthetic clips; arms hang from above the legs.
    assert places(image, "arm")[:, 1].mean() < places(image, "leg")[:, 1].mean()
    assert not len(places(image, "floor"))


def test_what_was_not_measured_is_not_drawn(clip):
    hands = ("_hand", "_hand_tip", "_thumb", "_wrist")
    assert all(len(places(image, "hand")) for image in frames_of(clip)[::10])
    bare = frames_of(without(clip, *hands))
    assert not any(len(places(image, "hand")) for image in bare)
    assert len(places(bare[0], "arm"))
    # A joint without neighbors is a dot; somebody absent from a frame leaves the stage empty.
    alone = clip.joints.copy()
    alone[:, :, [j for j in range(25) if j != NTU25.index("left_foot")]] = 0
    alone[5:9] = 0
    images = frames_of(replace(clip, joints=alone))
    assert [len(places(image, "foot")) > 3 for image in images[:10]] == [True] * 5 + [False] * 4 + [True]
    assert not any(len(places(image, part)) for image in images for part in PARTS if part != "foot")


@pytest.mark.parametrize(("fps", "codecs"), [(30.0, show.CODECS), (29.97, ("mpeg4",)), (120.0, show.CODECS)])
def test_a_video_has_all_frames_at_the_clips_rate(clip, fps, codecs, tmp_path, monkeypatch):
    av = pytest.importorskip("av", reason="MP4 needs PyAV")
    monkeypatch.setattr(show, "CODECS", codecs)
    show_clip(replace(clip, fps=fps), tmp_path / "a.mp4", ("front", "side"), 201)
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        images = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
        assert float(stream.average_rate) == pytest.approx(fps)
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert len(images) == clip.num_frames
    height, width, _ = images[0].shape
    assert (height % 2, width % 2) == (0, 0)
    assert width in (404, 405, 406)
    colors = drawing.palette()
    for part in ("head", "arm", "leg"):
        assert (np.abs(images[20][:201] - colors[part]).max(axis=-1) < 30).sum() > 50, part


def test_a_page_of_its_own(pair, tmp_path):
    show_clip(replace(pair, label=EVIL, clip_id=EVIL + "2"), tmp_path / "a.html", ("front", "side", "top"))
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert EVIL not in text
    assert text.count("<canvas") == 3
    assert "default-src 'none'" in text
    assert text.count("<script") == 2
    for outside in ("http://", "https://", "url(", "@import", "fetch(", " src=", "import("):
        assert outside not in text
    for part in PARTS:
        assert f"<li class='part {part}'>{part}</li>" in text
    data = json.loads(re.search(r"id='animations'>(.*?)</script>", text, re.DOTALL)[1])
    assert data[0]["shape"] == list(pair.joints.shape[:3])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.avi", {}, "a clip is drawn into a .gif, .mp4 or .html file"),
        ("a", {}, "a clip is drawn into a .gif, .mp4 or .html file"),
        ("a.gif", {"views": ("front", "back")}, "views can be front, side, top, one or more of them, not front, back"),
        ("a.gif", {"views": ()}, "one or more of them, not none"),
        ("a.html", {"size": 50}, "choose a size from 160 to 2000"),
        ("a.mp4", {"size": 10**6}, "choose a size from 160 to 2000"),
        ("a.gif", {"frames": -1}, "choose a number above zero"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(clip, name, options, message, tmp_path):
    with pytest.raises(InputError) as error:
        show_clip(clip, tmp_path / name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("package", "name"), [("PIL", "a.gif"), ("PIL", "a.mp4"), ("av", "a.mp4")])
def test_a_missing_package_is_named_with_its_extra(clip, package, name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"needs {dict(PIL='Pillow', av='PyAV')[package]}.*pip install 'sugar\[show\]'"
    ):
        show_clip(clip, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_nothing_half_written_stays(clip, name, tmp_path, monkeypatch):
    if name == "a.mp4":
        pytest.importorskip("av", reason="MP4 needs PyAV")

    def broken(*given):
        yield from itertools.islice(drawing.draw_frames(*given), 3)
        raise KeyboardInterrupt

    (tmp_path / name).write_text("before")
    monkeypatch.setattr(show, "draw_frames", broken)
    with pytest.raises(KeyboardInterrupt):
        show_clip(clip, tmp_path / name)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "before")]


# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency",
# 2009: full severity, in linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(color: str, sight: str) -> np.ndarray:
    """CIELAB of ``#rrggbb`` as seen by such eyes."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", SIGHT)
def test_the_color_blind_tell_the_parts_apart(dark, sight):
    block = re.findall(r":root \{(.*?)\}", asset("player.css"), re.DOTALL)[dark]
    colors = dict(re.findall(r"--(\S+): (#[0-9a-f]{6})", block))
    for one, other in itertools.combinations((*PARTS, "stage", "floor"), 2):
        if {one, other} != {"stage", "floor"}:
            assert np.linalg.norm(lab(colors[one], sight) - lab(colors[other], sight)) > 20, (one, other)


def test_page_and_images_draw_with_the_same_measures():
    script = asset("player.js")
    widths = json.loads(re.search(r"const WIDTH = (\[.*?\])", script)[1])
    assert dict(zip(PARTS, widths, strict=True)) == drawing.WIDTHS
    assert f"HOLLOW = {drawing.HOLLOW};" in script
    assert f"head ? {drawing.HEAD} * size" in script
    assert f"width + {drawing.RIM} * size" in script


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium or chrome to open the page with")


def root_of(browser: str, page: Path, home: Path, width: int) -> str:
    """The page's root element after its script ran."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", page.as_uri() + "#selftest"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return re.search(r"<html[^>]*>", text)[0]


def painted(root: str, what: str = "painted") -> int:
    return int(re.search(rf'data-{what}="(\d+)"', root)[1])


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_paints_the_page_and_it_fits(pair, browser, width, tmp_path):
    long = replace(pair, label="Donaudampfschifffahrtsgesellschaft" * 3, clip_id="an id of many words " * 9)
    show_clip(long, tmp_path / "a.html", ("front", "side", "top"))
    root = root_of(browser, tmp_path / "a.html", tmp_path / "home", width)
    assert 'data-ready="1 clips"' in root
    assert "data-error" not in root
    assert 'data-overflow="0"' in root
    assert painted(root) > 5000
    assert 100 < painted(root, "moved") < painted(root)


def test_a_browser_leaves_out_what_was_not_measured(clip, browser, tmp_path):
    flat = flat_clip(clip)  # no floor: all that is painted is the body
    halves = {}
    for name, shown in {"whole": flat, "half": without(flat, "_knee", "_ankle", "_hip")}.items():
        joints = shown.joints.copy()
        joints[-1] = flat.joints[-1]  # each joint is there at some time, so that there is something to fill in
        show_clip(replace(shown, joints=joints), tmp_path / f"{name}.html")
        halves[name] = painted(root_of(browser, tmp_path / f"{name}.html", tmp_path / "home", 800))
    assert 300 < halves["half"] < 0.7 * halves["whole"]
