"""Frames of a clip as images: the skeleton in the colors of its body parts, from several sides. Needs Pillow."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sugar.reports.animation import Animation, Mask, Points
from sugar.reports.page import asset
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

View = Literal["front", "side", "top"]
VIEWS: tuple[View, ...] = get_args(View)

FINER = 2
"""Drawn so many times larger and averaged: smooth edges."""
WIDTHS = {"head": 0.034, "hand": 0.016, "arm": 0.028, "hip": 0.036, "leg": 0.034, "foot": 0.024}
"""Of the lines, in body heights; like ``HEAD``, ``RIM`` and ``HOLLOW`` as in player.js."""
HEAD, RIM, HOLLOW = 0.095, 0.012, 0.5

Color = tuple[int, int, int]
Point = tuple[float, float]


def palette() -> dict[str, Color]:
    """The page's colors on a light ground: one place for both."""
    found = [re.search(r":root \{(.*?)\}", asset(name), re.DOTALL) for name in ("page.css", "player.css")]
    values = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", "".join(block[1] for block in found if block)))
    return {name: (int(v[:2], 16), int(v[2:4], 16), int(v[4:], 16)) for name, v in values.items()}


def mix(color: Color, ground: Color, share: float) -> Color:
    """``share`` of a color on a ground."""
    r, g, b = (round(share * c + (1 - share) * d) for c, d in zip(color, ground, strict=True))
    return r, g, b


@dataclass(frozen=True)
class Camera:
    """Looks at the stage from one side, without perspective.

    Args:
        view: the side.
        size: of the picture in pixels.
        scale: pixels a meter.
        floor: height of the floor in the picture.
    """

    view: View
    size: float
    scale: float
    floor: float

    def look(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places ``[..., 2]`` in the picture, x to the right and y down, and how near ``[...]`` they are."""
        x, y, z = np.moveaxis(points, -1, 0)
        middle = self.size / 2
        across, down, near = {
            "front": (x, self.floor - self.scale * y, z),
            "side": (z, self.floor - self.scale * y, -x),  # the person looks to the right
            "top": (x, middle + self.scale * z, y),
        }[self.view]
        return np.stack([middle + self.scale * across, down], axis=-1), near


def cameras(animation: Animation, views: Sequence[View], size: float) -> list[Camera]:
    """One for each view, all of one scale, so that nearly all joints of all frames are in the pictures."""
    known = np.abs(animation.points[animation.measured])
    half = np.quantile(known, 0.995, axis=0)
    extents = [animation.height] if set(views) - {"top"} else []
    extents += [2 * half[0]] if set(views) - {"side"} else []
    extents += [2 * half[2]] if set(views) - {"front"} else []
    scale = 0.8 * size / (max(extents) or 1.0)
    return [Camera(view, size, scale, (1.03 * size + scale * animation.height) / 2) for view in views]


@dataclass(frozen=True, eq=False)
class Scene:
    """What all frames and views of a clip share: who moves, in which colors, and the font of small texts."""

    animation: Animation
    colors: dict[str, Color]
    font: "ImageFont.ImageFont | ImageFont.FreeTypeFont"
    em: float

    def stage(self, camera: Camera) -> "Image.Image":
        """An empty one, with the floor that 3-D clips have."""
        from PIL import Image, ImageDraw

        size = round(camera.size)
        stage = Image.new("RGB", (size, size), self.colors["stage"])
        draw, floor, rim = ImageDraw.Draw(stage), self.colors["floor"], self.colors["rim"]
        if self.animation.flat:
            return stage
        if camera.view == "top":
            draw.circle((size / 2, size / 2), 0.47 * size, floor, rim, FINER)
            draw.circle((size / 2, size / 2), 0.235 * size, None, rim, FINER)
        else:
            draw.rectangle((0, camera.floor, size, size), floor)
            draw.line((0, camera.floor, size, camera.floor), rim, FINER)
        return stage

    def people(self, draw: "ImageDraw.ImageDraw", camera: Camera, points: Points, measured: Mask) -> None:
        """Far limbs first; ``points`` ``[M, V, 3]``, ``measured`` ``[M, V]``."""
        layout, trunk, colors = self.animation.layout, self.animation.trunk, self.colors
        part_of = {joint: part for part, joints in layout.parts.items() for joint in joints}
        unit = camera.scale * self.animation.height
        strokes: list[tuple[float, int, Point, Point, float, str]] = []
        for person, seen in enumerate(measured):
            places, near = camera.look(points[person])
            at: list[Point] = [(float(x), float(y)) for x, y in places]
            if trunk and seen[trunk].all():
                draw.polygon([at[j] for j in trunk], mix(colors["hip"], colors["stage"], 0.16))
            bones = [bone for bone in layout.bones if seen[list(bone)].all()]
            joined = {joint for bone in bones for joint in bone}
            alone = [(j, j) for j in range(layout.num_joints) if seen[j] and j not in joined]
            for child, parent in [*bones, *alone]:
                width = max(2.0 * FINER, WIDTHS[part_of[child]] * unit)
                depth = float(near[child] + near[parent]) / 2
                strokes.append((depth, person, at[parent], at[child], width, part_of[child]))
            if "head" in layout.joint_names and seen[head := layout.index("head")]:
                depth = float(near[head]) + HEAD / 2 * self.animation.height  # the front of the ball hides the neck
                strokes.append((depth, person, at[head], at[head], HEAD * unit, "head"))
        for _, person, start, end, width, part in sorted(strokes, key=lambda stroke: stroke[0]):
            _stroke(draw, start, end, width + RIM * unit, colors["stage"])  # the nearer limb stands out
            _stroke(draw, start, end, width, colors[part])
            if person:  # the second is an outline
                _stroke(draw, start, end, HOLLOW * width, colors["stage"])

    def labels(self, draw: "ImageDraw.ImageDraw", camera: Camera, points: Points, measured: Mask) -> None:
        """L and R beside the hands, and a number above each of two people."""
        texts: list[tuple[str, float, float]] = []
        for person, seen in enumerate(measured):
            if not seen.any():
                continue
            places = camera.look(points[person])[0] / FINER
            middle = places[seen, 0].mean()
            for side, joint in self.animation.hands.items():
                if seen[joint] and camera.view != "side":
                    x, y = (float(v) for v in places[joint])
                    texts.append((side, x + (self.em if x >= middle else -self.em), y))
            if len(points) > 1:
                x, y = (float(v) for v in places[seen][places[seen, 1].argmin()])
                rise = HEAD / 2 * camera.scale * self.animation.height / FINER
                texts.append((str(person + 1), x, y - rise - 0.7 * self.em))
        for text, x, y in texts:
            ink, stage = self.colors["ink"], self.colors["stage"]
            draw.text((x, y), text, ink, self.font, "mm", stroke_width=2, stroke_fill=stage)

    def legend(self, width: float) -> list[tuple[Point, str]]:
        """Where each entry stands, in rows of a width."""
        names = [*PARTS, "2nd person"] if self.animation.measured.shape[1] > 1 else list(PARTS)
        entries: list[tuple[Point, str]] = []
        x = y = 0.0
        for name in names:
            length = 1.6 * self.em + float(self.font.getlength(name))
            if x and x + length > width:
                x, y = 0.0, y + 1.5 * self.em
            entries.append(((x, y), name))
            x += length + 1.1 * self.em
        return entries

    def draw_legend(self, draw: "ImageDraw.ImageDraw", at: Point, width: float) -> None:
        """A dash and a name for each entry; the dash of the second person is an outline."""
        em, quiet = self.em, self.colors["quiet"]
        for (across, down), name in self.legend(width):
            x, y = at[0] + across, at[1] + down
            color = self.colors.get(name)
            box = (x, y - 0.22 * em, x + 1.2 * em, y + 0.22 * em)
            draw.rounded_rectangle(box, 0.2 * em, color, color or quiet, max(1, round(em / 11)))
            draw.text((x + 1.6 * em, y), name, quiet, self.font, "lm")


def draw_frames(clip: SkeletonClip, animation: Animation, views: Sequence[View], size: int) -> Iterator["Image.Image"]:
    """The frames one by one: views side by side, below them id, label, time and the colors of the parts.

    Width and height are even numbers.
    """
    from PIL import Image, ImageDraw, ImageFont

    large, small, gap = max(12, size // 26), max(11, size // 30), max(2, size // 90)
    font = ImageFont.load_default(large)
    scene = Scene(animation, palette(), ImageFont.load_default(small), small)
    colors, edge = scene.colors, large
    width = len(views) * size + (len(views) - 1) * gap
    rows = scene.legend(width - 2 * edge)[-1][0][1]
    height = round(size + 4.2 * large + rows)
    page = Image.new("RGB", (width + width % 2, height + height % 2), colors["page"])
    draw = ImageDraw.Draw(page)
    line = size + 1.25 * large
    people, drawn = int(clip.present.any(axis=0).sum()), animation.measured.shape[1]
    more = f"{drawn} of {people} people" if people > drawn else ""
    title = " · ".join(text for text in (clip.clip_id, clip.label, more) if text)
    room = width - 3 * edge - draw.textlength("000.00 s", font)
    draw.text((edge, line), _fitted(title, font, room), colors["ink"], font, "lm")
    scene.draw_legend(draw, (edge, line + 1.75 * large), width - 2 * edge)
    looks = cameras(animation, views, FINER * size)
    stages = [scene.stage(camera) for camera in looks]
    for frame, (points, measured) in enumerate(zip(animation.points, animation.measured, strict=True)):
        picture = page.copy()
        time = frame * animation.seconds / max(1, len(animation.points) - 1)
        ImageDraw.Draw(picture).text((width - edge, line), f"{time:.2f} s", colors["quiet"], font, "rm")
        for number, (camera, stage) in enumerate(zip(looks, stages, strict=True)):
            fine = stage.copy()
            scene.people(ImageDraw.Draw(fine), camera, points, measured)
            view = fine.reduce(FINER)
            pen = ImageDraw.Draw(view)
            scene.labels(pen, camera, points, measured)
            if not animation.flat:
                pen.text((edge, edge), camera.view, colors["quiet"], scene.font, "lt")
            picture.paste(view, (number * (size + gap), 0))
        yield picture


def _fitted(text: str, font: "ImageFont.ImageFont | ImageFont.FreeTypeFont", width: float) -> str:
    """As much of a text as there is room for."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _stroke(draw: "ImageDraw.ImageDraw", start: Point, end: Point, width: float, color: Color) -> None:
    """A line with round ends."""
    along = np.subtract(end, start)
    length = float(np.hypot(*along))
    if length:
        x, y = float(-along[1]) / length * width / 2, float(along[0]) / length * width / 2
        corners = [(start[0] + x, start[1] + y), (end[0] + x, end[1] + y), (end[0] - x, end[1] - y)]
        draw.polygon([*corners, (start[0] - x, start[1] - y)], color)
    for place in (start, end):
        draw.circle(place, width / 2, color)
