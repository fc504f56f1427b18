"""Videos as pictures, frame by frame. Needs PyAV and Pillow: ``pip install 'sugar[ask]'``.

A video is data from outside: it is read through a file object with no protocol allowed, so that a playlist
that calls itself a video opens nothing else.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SPARSE = 5.0
"""Seconds between samples from which key frames are near enough, so that the rest need not be decoded."""
FEWEST = 0.9
"""Share of the samples that must have a key frame of their own for that."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video: upright, RGB, square pixels.

    Args:
        time_s: seconds after the video's first frame.
        image: the picture.
    """

    time_s: float
    image: "Image.Image"


def check_video_name(path: Path) -> None:
    """Names go into messages, records and prompts.

    Raises:
        InputError: the name has control characters, line ends or bytes that are no text.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in str(path)):
        raise InputError(f"{str(path)!a}: the name of a video has control characters; rename it")


def sample_frames(
    path: Path, per_second: float, most: int | None = None, longest_side: int | None = None
) -> Iterator[Frame]:
    """Frames evenly spaced over a video, one at a time: what it shows in the middle of equal parts.

    Only one frame is held at a time. Damage: decoding stops at the first error and goes on at the next key frame,
    because frames in between are drawn on top of what was lost; frames that the decoder marks as corrupt go too.
    A video with an error in every frame is decoded once more with the errors let pass. Where samples are more than
    5 s apart, and key frames suffice, only these are decoded.

    Args:
        path: any container and codec that FFmpeg knows.
        per_second: samples a second of video.
        most: fewer a second for a long video, so that there are no more than this.
        longest_side: larger pictures are made smaller, to this width or height in pixels.

    Raises:
        InputError: no such file, a name with control characters, nothing in it that can be decoded, or PyAV
            or Pillow is missing.
    """
    if not (per_second > 0 and math.isfinite(per_second)) or (most is not None and most < 1):
        raise InputError(f"{path}: cannot take {per_second:g} frames a second, {most} at most; choose above zero")
    times, keys = _scan(path)
    seconds = float(times.max()) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0  # the last lasts as well
    count = max(1, min(math.ceil(seconds * per_second), most or len(times)))
    targets = _Targets(count, seconds)
    parts = {targets.before(float(time)) for time in times[keys]}
    only_keys = seconds / count > SPARSE and len(parts) >= FEWEST * count
    found = False
    for strict in (True, False):
        for time, frame, ratio in _at(targets, _decoded(path, only_keys, strict)):
            found = True
            yield Frame(time, _upright(frame, ratio, longest_side))
        if found:
            return
    raise InputError(f"{path}: no frame of it can be decoded; give a video that plays")


@dataclass(frozen=True)
class _Targets:
    """The middles of ``count`` equal parts of a video."""

    count: int
    seconds: float

    def before(self, time: float) -> int:
        """How many of them are earlier."""
        return min(self.count, max(0, math.ceil(time * self.count / self.seconds - 0.5))) if self.seconds else 0


_Decoded = tuple[float, Any, float]
"""Seconds, PyAV's frame, width of a pixel as a multiple of its height."""


def _at(targets: _Targets, decoded: Iterable[_Decoded]) -> Iterator[_Decoded]:
    """What is shown at the targets, each once."""
    shown: _Decoded | None = None
    done = 0
    for later in decoded:
        if shown is not None and (due := targets.before(later[0])) > done:
            yield shown
            done = due
        shown = later
    if shown is not None and done < targets.count:
        yield shown


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its first video stream; what fails in opening becomes one line.

    Raises:
        InputError: see :func:`sample_frames`.
    """
    check_video_name(path)
    for package, name in {"av": "PyAV", "PIL": "Pillow"}.items():
        try:
            import_module(package)
        except ImportError as error:
            raise InputError(f"{path}: to read videos needs {name}: pip install 'sugar[ask]'") from error
    import av

    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a video") from error
    with file:
        try:
            container = av.open(file, options={"protocol_whitelist": "none"}, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{path}: is no video that can be read ({reason}); give a whole video file") from error
        with container:
            if not container.streams.video:
                raise InputError(f"{path}: has no pictures in it; give a video")
            yield container, container.streams.video[0]


def _scan(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Seconds of each packet from the earliest on, and whether it starts anew; nothing is decoded.

    The declared duration would not do: a truncated file lies about it, and some have none.
    """
    with open_video(path) as (container, stream):
        packets = [(_ticks(p, n, stream), p.is_keyframe) for n, p in enumerate(_packets(container, stream)) if p.size]
    times = np.array([time for time, _ in packets], float)
    return times - (times.min() if len(times) else 0.0), np.array([key for _, key in packets], bool)


def _ticks(item: Any, number: int, stream: Any) -> float:
    """Seconds of a packet or frame on the file's clock; AVI has decoding times only, a raw stream none."""
    ticks = item.pts if item.pts is not None else item.dts
    if ticks is None or stream.time_base is None:
        return number / float(stream.guessed_rate or 25)
    return float(ticks * stream.time_base)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Up to the first place where the container itself is broken; an empty packet at the end."""
    import av

    try:
        yield from container.demux(stream)
    except (av.error.FFmpegError, OSError):
        return


def _decoded(path: Path, only_keys: bool, strict: bool) -> Iterator[_Decoded]:
    """Sound frames in the order they are shown, timed from the first."""
    import av

    with open_video(path) as (container, stream):
        if stream.codec_context is None:
            raise InputError(f"{path}: is in a format that the installed PyAV cannot decode; convert it to H.264")
        if strict:
            stream.codec_context.options = {"err_detect": "explode"}
        if only_keys:
            stream.codec_context.skip_frame = "NONKEY"
        start: float | None = None
        number, broken = 0, False
        for packet in _packets(container, stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                broken = strict
                continue
            for frame in frames:
                time = _ticks(frame, number, stream)
                start = time if start is None else start
                number += 1
                broken = strict and ((broken and not frame.key_frame) or frame.is_corrupt)
                if not broken and not frame.is_corrupt:
                    yield time - start, frame, float(stream.sample_aspect_ratio or 1) or 1.0


def _upright(frame: Any, ratio: float, longest_side: int | None) -> "Image.Image":
    """As it is meant to be seen: pixels square, turned as the camera's note says."""
    width, height = frame.width * max(ratio, 1.0), frame.height / min(ratio, 1.0)
    scale = min(1.0, longest_side / max(width, height)) if longest_side else 1.0
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = frame.reformat(*size, format="rgb24", interpolation="AREA")
    image = picture.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


# -- pictures that were garbled before the file was made ----------------------------------------------------------

PATCH = (64, 32)
"""Rows and columns of a patch, of a picture 256 pixels high."""
STRIPED = 0.9
"""Share of a patch's variance that its columns' means explain, from which it counts as smeared."""
DETAIL = 25.0
"""Least variance (8-bit levels squared) of such a patch: a plain wall is not smeared."""
TURNS = 1.3
"""Least way up and down through its columns' means, of the way from the least to the greatest: an edge has 1."""
FROZEN = 1.5
"""Mean difference (8-bit levels) up to which two samples show the same picture."""
MORE, MUCH_MORE = 0.05, 0.2
"""Share of smeared patches above the video's median, for a frozen picture, and for one beside it."""


def garbled(images: Sequence["Image.Image"]) -> npt.NDArray[np.bool_]:
    """``[N]``: true for samples that a broken recording or an earlier transcoding left smeared and frozen.

    Where a decoder lost its data it drags pixels along and repeats the picture; once that is encoded anew, the
    file is sound and no decoder complains. A picture counts as such when it stands still in a video that
    otherwise moves, and has more smeared patches than this video usually has; so do smeared ones beside it.
    """
    if len(images) < 3:
        return np.zeros(len(images), bool)
    gray = [_gray(image) for image in images]
    smeared = np.array([[_smeared(picture), _smeared(picture.T)] for picture in gray])
    excess = (smeared - np.median(smeared, axis=0)).max(axis=1)
    change = np.array([np.abs(a - b).mean() for a, b in pairwise(gray)])
    if np.median(change) <= FROZEN:
        return np.zeros(len(images), bool)
    still = np.append(change, np.inf) <= FROZEN
    still[1:] |= still[:-1].copy()
    found = still & (excess >= MORE)
    beside = np.zeros(len(images), bool)
    beside[1:] |= found[:-1]
    beside[:-1] |= found[1:]
    return np.asarray(found | (beside & (excess >= MUCH_MORE)))


def _gray(image: "Image.Image") -> npt.NDArray[np.float32]:
    return np.asarray(image.convert("L").resize((256, 256)), np.float32)


def _smeared(gray: npt.NDArray[np.float32]) -> float:
    """Share of patches whose rows are all alike, though their columns differ."""
    rows, columns = PATCH
    height, width = gray.shape
    patches = gray.reshape(height // rows, rows, width // columns, columns).swapaxes(1, 2)
    variance = patches.var(axis=(2, 3))
    profile = patches.mean(axis=2)
    striped = profile.var(axis=2) > STRIPED * variance
    turning = np.abs(np.diff(profile, axis=2)).sum(axis=2) >= TURNS * np.ptp(profile, axis=2)
    return float(((variance >= DETAIL) & striped & turning).mean())
