"""Pictures of a clip for a model that looks at it, where a data set has no video. Needs Pillow, for MP4 also PyAV."""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sugar.authoring.client.request import Media
from sugar.authoring.media.frames import most_dissimilar
from sugar.errors import InputError
from sugar.reports.animation import Animation, animate
from sugar.reports.drawing import FINER, VIEWS, Scene, View, cameras, palette
from sugar.reports.show import SIZES, show_clip
from sugar.skeleton.clip import SkeletonClip

if TYPE_CHECKING:
    from PIL import Image

DRAWN = "drawn skeleton"


@dataclass(frozen=True)
class SkeletonFrameConfig:
    """Which frames of a skeleton clip are drawn, and how."""

    size: int = 4
    """Frames sent for a clip, at most."""
    threshold: float = 0.97
    """Frames whose joints are, in the root mean square, nearer to each other than one minus this, in heights of what is
    drawn, are repeats; 0.97 is about 5 cm of a standing person."""
    most: int = 64
    """Frames looked at in a clip, at most, evenly spaced."""
    views: tuple[View, ...] = ("front", "side")
    """PreparedSplit to look from, left to right in one picture; a 2-D clip has one only."""
    pixels: int = 384
    """Width and height of a view."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.most < 1:
            raise InputError("skeleton frames: size and most must be above zero")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"skeleton frames: threshold can be 0 to 1, not {self.threshold:g}")
        if not self.views or not set(self.views) <= set(VIEWS):
            raise InputError(f"skeleton frames: views can be {', '.join(VIEWS)}, one or more of them")
        if not SIZES[0] <= self.pixels <= SIZES[1]:
            raise InputError(f"skeleton frames: pixels can be {SIZES[0]} to {SIZES[1]}, not {self.pixels}")


def skeleton_frames(clip: SkeletonClip, config: SkeletonFrameConfig | None = None) -> list[Media]:
    """The mutually most dissimilar frames of a clip, drawn, as PNG files in time order.

    Frames are compared by their joints and not by the drawing, most of which is background: similarity is one minus
    the root mean square distance of the joints on the stage, in heights of what is drawn, so that a step across the
    room counts as well. The clip's name and label are not in the pictures; its two persons of most motion are.

    Raises:
        InputError: Pillow is missing, or a coordinate is too far away to draw.
    """
    config = config or SkeletonFrameConfig()
    _check(clip)
    animation = animate(clip, config.most)
    somebody = np.flatnonzero(animation.measured.any(axis=(1, 2)))
    kept = somebody[
        most_dissimilar(pose_similarity(animation)[np.ix_(somebody, somebody)], config.size, config.threshold)
    ]
    numbers = np.linspace(0, clip.num_frames - 1, len(animation.points)).round().astype(int)
    views: Sequence[View] = ("front",) if animation.flat else list(dict.fromkeys(config.views))
    return [
        Media(_png(image), "image/png", f"{clip.clip_id} frame {numbers[frame]}, {DRAWN}")
        for frame, image in zip(kept, _drawn(animation, kept, views, config.pixels), strict=True)
    ]


def skeleton_video(
    clip: SkeletonClip, views: Sequence[View] = ("front", "side"), pixels: int = 384, per_second: float = 10.0
) -> Media:
    """The whole clip, drawn, as MP4 of at most ``per_second`` frames a second; without its name and label.

    Raises:
        InputError: Pillow or PyAV is missing, an unknown view, or a size or coordinate that cannot be drawn.
    """
    _check(clip)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "clip.mp4"
        frames = max(1, round(clip.num_frames / clip.fps * per_second))
        show_clip(replace(clip, clip_id="", label=None), out, views, pixels, frames)
        return Media(out.read_bytes(), "video/mp4", f"{clip.clip_id}, {DRAWN}")


def pose_similarity(animation: Animation) -> npt.NDArray[np.float64]:
    """``[T, T]``: one minus the root mean square distance of the joints, in heights of the stage's contents."""
    _, persons, joints, axes = animation.points.shape
    poses = animation.points.reshape(-1, persons * joints * axes)
    length = np.square(poses).sum(axis=1)
    squares = (length[:, None] + length - 2 * poses @ poses.T) / (persons * joints)
    return 1.0 - np.sqrt(np.maximum(squares, 0.0)) / (animation.height or 1.0)


def _check(clip: SkeletonClip) -> None:
    try:
        import_module("PIL")
    except ImportError as error:
        raise InputError("drawn skeletons need Pillow: pip install 'sugar[ask]'") from error


def _drawn(
    animation: Animation, frames: npt.NDArray[np.intp], views: Sequence[View], pixels: int
) -> list["Image.Image"]:
    """Views side by side, all of one scale; below them what the colors mean."""
    from PIL import Image, ImageDraw, ImageFont

    em = max(11, pixels // 30)
    scene = Scene(animation, palette(), ImageFont.load_default(em), em)
    width = len(views) * pixels
    height = round(pixels + scene.legend(width - 2 * em)[-1][0][1] + 2 * em)
    looks = cameras(animation, views, FINER * pixels)
    images = []
    for frame in frames:
        image = Image.new("RGB", (width, height), scene.colors["page"])
        scene.draw_legend(ImageDraw.Draw(image), (em, pixels + em), width - 2 * em)
        points, measured = animation.points[frame], animation.measured[frame]
        for number, camera in enumerate(looks):
            fine = scene.stage(camera)
            scene.people(ImageDraw.Draw(fine), camera, points, measured)
            view = fine.reduce(FINER)
            pen = ImageDraw.Draw(view)
            scene.labels(pen, camera, points, measured)
            if not animation.flat:
                pen.text((em, em), camera.view, scene.colors["quiet"], scene.font, "lt")
            image.paste(view, (number * pixels, 0))
        images.append(image)
    return images


def _png(image: "Image.Image") -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
