"""A clip as a GIF, an MP4 or a page. GIF needs Pillow, MP4 PyAV as well: ``pip install 'sugar[show]'``."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sugar.errors import InputError
from sugar.files import atomic_write, write_text
from sugar.reports.animation import animate
from sugar.reports.drawing import VIEWS, Color, View, draw_frames, mix, palette
from sugar.reports.show_page import render_show_page
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import PARTS

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".gif", ".mp4", ".html")
SIZES = (160, 2000)
GIF_RATE = 50
"""Most frames a second: many programs show a frame of less than 2/100 s for a tenth of a second."""
CODECS = ("libx264", "libopenh264", "mpeg4")


def show_clip(
    clip: SkeletonClip, out: Path, views: Sequence[View] = ("front", "side"), size: int = 360, frames: int = 0
) -> None:
    """Draw a clip into ``out``, a GIF, MP4 or HTML file by its suffix; all of them last as long as the clip.

    Args:
        clip: its two persons of most motion are drawn, the second in outline; joints that were not measured
            are left out.
        out: file to write.
        views: sides to look from, left to right; a 2-D clip has one only.
        size: width and height of a view in pixels; on a page, about.
        frames: how many to draw, evenly spaced; 0 draws all, but no more than 50 a second in a GIF.

    Raises:
        InputError: another suffix, an unknown view, a size or count out of range, or a package is missing.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES or out.is_dir():
        raise InputError(f"{out}: a clip is drawn into a .gif, .mp4 or .html file; give the file such a name")
    if not views or not set(views) <= set(VIEWS):
        given = ", ".join(views) or "none"
        raise InputError(f"views can be {', '.join(VIEWS)}, one or more of them, not {given}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"a view of {size} pixels cannot be drawn; choose a size from {SIZES[0]} to {SIZES[1]}")
    if frames < 0:
        raise InputError(f"{frames} frames cannot be drawn; choose a number above zero, or 0 for all")
    count = min(frames or clip.num_frames, clip.num_frames)
    seconds = clip.num_frames / clip.fps
    if suffix == ".gif":
        count = max(1, min(count, int(seconds * GIF_RATE + 1e-6)))
    animation = animate(clip, count)
    shown: Sequence[View] = ("front",) if animation.flat else list(dict.fromkeys(views))
    if suffix == ".html":
        return write_text(out, render_show_page(clip, animation, shown, size))
    needed = {"PIL": "Pillow", "av": "PyAV"} if suffix == ".mp4" else {"PIL": "Pillow"}
    if missing := [name for package, name in needed.items() if not _installed(package)]:
        raise InputError(f"{out}: {suffix} needs {' and '.join(missing)}: pip install 'sugar[show]'")
    images = draw_frames(clip, animation, shown, size)
    with atomic_write(out) as temporary:
        if suffix == ".gif":
            _write_gif(images, temporary, count, seconds)
        else:
            _write_mp4(images, temporary, Fraction(count / seconds))


def _installed(package: str) -> bool:
    try:
        import_module(package)
    except ImportError:
        return False
    return True


def _write_gif(images: Iterator["Image.Image"], path: Path, count: int, seconds: float) -> None:
    """One palette for all frames; delays of whole 1/100 s that do not drift from the clip's time."""
    from PIL import Image

    shared = Image.new("P", (1, 1))
    shared.putpalette([channel for color in _gif_colors() for channel in color])
    reduced = (image.quantize(palette=shared, dither=Image.Dither.NONE) for image in images)
    ends = np.round(100 * seconds * np.arange(count + 1) / count)
    delays = [int(d) for d in 10 * np.clip(np.diff(ends), 2, 65535)]
    first = next(reduced)
    # Pillow makes one of equal neighbors; here the time below the picture always differs.
    first.save(path, "GIF", save_all=True, append_images=reduced, duration=delays, loop=0, optimize=True)


def _gif_colors() -> list[Color]:
    """Each color that is drawn, and its way to what it is drawn on."""
    colors = palette()
    used = [colors["stage"]]
    for name in (*PARTS, "ink", "quiet", "rim"):
        for ground in ("stage", "floor"):
            used += [mix(colors[name], colors[ground], share / 9) for share in range(1, 10)]
    return [*dict.fromkeys([*used, *(colors[c] for c in ("floor", "page", *PARTS, "ink"))])][:256]


def _write_mp4(images: Iterator["Image.Image"], path: Path, rate: Fraction) -> None:
    import av

    codec = next(c for c in CODECS if c in av.codecs_available)
    with av.open(str(path), "w", format="mp4") as file:
        # MPEG-4 counts time in 16 bits.
        stream: Any = file.add_stream(codec, rate=max(rate, Fraction(1, 1000)).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "18"}
        else:
            stream.bit_rate = 4_000_000
        first = next(images)
        stream.width, stream.height = first.size
        for image in chain([first], images):
            file.mux(stream.encode(av.VideoFrame.from_image(image)))
        file.mux(stream.encode())
