"""Draw the README's picture: a skeleton over time and what a trained run says of it, as SVG.

python lab/readme_picture.py RUN STORE CLIP_ID docs/images/described.svg
"""

import sys
import textwrap
from html import escape
from pathlib import Path

import numpy as np

from sugar.datasets.store.store import Store
from sugar.files import write_text
from sugar.inference.recognizer import Recognizer
from sugar.reports.drawing import palette
from sugar.skeleton.clip import SkeletonClip

POSES = 6
WIDTH, HEIGHT = 150, 260
CHARACTERS = 96


def draw(clip: SkeletonClip, label: str, confidence: float, description: str) -> str:
    """Six poses of the first person, seen from the front, body parts in colors, and the text below."""
    frames = np.linspace(0, clip.num_frames - 1, POSES).round().astype(int)
    points = clip.joints[frames, 0, :, :2].astype(float)
    points *= -1  # up is up, and the person's right hand is on our left: the sensor's x runs to its own left
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    scale = min((WIDTH - 20) / (high[0] - low[0]), (HEIGHT - 20) / (high[1] - low[1]))
    colors = palette()
    part_of = {joint: part for part, joints in clip.layout.parts.items() for joint in joints}
    shapes = []
    for number, pose in enumerate((points - low) * scale):
        offset = np.array([number * WIDTH + 10, 10])
        for child, parent in clip.layout.bones:
            (x1, y1), (x2, y2) = pose[child] + offset, pose[parent] + offset
            color = "rgb({},{},{})".format(*colors[part_of[child]])
            line = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            shapes.append(f'<line {line} stroke="{color}" stroke-width="4" stroke-linecap="round"/>')
    text = f"{label} ({confidence:.0%}). {description}"
    lines = textwrap.wrap(text, CHARACTERS)
    size = f"{POSES * WIDTH} {HEIGHT + 16 + 24 * len(lines)}"
    written = "".join(f'<tspan x="10" dy="24">{escape(line)}</tspan>' for line in lines)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">',
            f"<title>{escape(text)}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *shapes,
            f'<text y="{HEIGHT}" font-family="sans-serif" font-size="17" fill="#212529">{written}</text>',
            "</svg>",
            "",
        ]
    )


def main(run: str, store: str, clip_id: str, out: str) -> None:
    opened = Store.open(store)
    clip = opened[opened.index(clip_id)]
    found = Recognizer.load(run).recognize(clip)
    write_text(Path(out), draw(clip, found.label, found.probabilities[found.label], found.description))


if __name__ == "__main__":
    main(*sys.argv[1:])
