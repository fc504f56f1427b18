"""Which frames of a video a model is shown: the mutually most dissimilar ones, so that no repeat is described twice."""

import base64
import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sugar.authoring.client.request import Media
from sugar.authoring.media.frame_features import FrameFeatures
from sugar.authoring.media.video import Frame, check_video_name, garbled, open_video, sample_frames
from sugar.errors import InputError
from sugar.files import write_text

if TYPE_CHECKING:
    from PIL import Image

TRIES = 32
"""Sets that are improved to find the best one."""
CODECS = ("libx264", "libopenh264", "mpeg4")
_VERSION = 1
"""Of what is done to a video; counted up when equal settings would give other pictures."""
_ENDS = 1 << 16
"""Bytes at either end of a video that are hashed to know it again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameConfig:
    """Which frames of a video are sent, and how."""

    size: int = 4
    """Frames sent for a video, at most."""
    threshold: float | None = None
    """Cosine similarity, up to 1, above which a frame is a repeat and not sent; by default 0.975 for `pixels` and
    0.95 for CLIP."""
    per_second: float = 8.0
    """Frames looked at in a second of video."""
    most: int = 64
    """Frames looked at in a video, at most; a long one is looked at less often."""
    longest_side: int = 768
    """Larger frames are made smaller, to this width or height in pixels."""
    quality: int = 85
    """Of the JPEG files, 1 to 95."""
    drop_garbled: bool = True
    """Leave out frames that an earlier transcoding smeared and froze: they look like nothing else, and show nothing."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.most < 1 or not self.per_second > 0:
            raise InputError("frames: size, most and per_second must be above zero")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise InputError(f"frames: threshold is a cosine similarity from -1 to 1, not {self.threshold:g}")
        if not 16 <= self.longest_side <= 8192 or not 1 <= self.quality <= 95:
            raise InputError("frames: longest_side can be 16 to 8192 pixels, and quality 1 to 95")


@dataclass(frozen=True)
class VideoConfig:
    """How a whole video is sent."""

    megabytes: float = 16.0
    """An MP4 file up to this size is sent as it is; another video is encoded anew to fit."""
    per_second: float = 10.0
    """Frames in a second of a video that is encoded anew, at most."""
    longest_side: int = 640
    """Width or height in pixels of a video that is encoded anew, at most."""

    def __post_init__(self) -> None:
        if not self.megabytes > 0 or not self.per_second > 0 or not 16 <= self.longest_side <= 8192:
            raise InputError("video: megabytes and per_second must be above zero, longest_side 16 to 8192 pixels")


# -- the filter ---------------------------------------------------------------------------------------------------


def dissimilar(features: npt.ArrayLike, size: int, threshold: float = 1.0) -> npt.NDArray[np.intp]:
    """The mutually most dissimilar of ``features`` ``[N, d]`` by cosine: see :func:`most_dissimilar`."""
    rows = np.asarray(features, float)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return most_dissimilar(rows @ rows.T, size, threshold)


def most_dissimilar(similarity: npt.ArrayLike, size: int, threshold: float = 1.0) -> npt.NDArray[np.intp]:
    """Up to ``size`` items of which the two most similar are as dissimilar as can be (max-min dispersion).

    Finding the best is NP-hard. Farthest-point sets are grown from the most dissimilar pair and from every single item
    (each next one is the least similar to those kept, until that is more similar than ``threshold``); of the largest
    sets the best 32 are improved by exchanging one of the closest pair, as long as that helps. What is
    alike goes to the earliest. If one item alone is kept, it is the one most like all the others.

    Args:
        similarity: ``[N, N]``, symmetric.
        size: how many to keep at most.
        threshold: how similar two that are kept may be.

    Returns:
        their indices, ascending; at least one.

    Raises:
        InputError: nothing to choose from, or ``size`` < 1.
    """
    # Rounded, so that what is alike is equal on every machine.
    alike = np.round(np.asarray(similarity, float), 6)
    if not len(alike) or size < 1:
        raise InputError(f"cannot choose {size} of {len(alike)} frames; both must be at least one")
    pair = [int(i) for i in np.unravel_index(alike.argmin(), alike.shape)]
    starts = [[i] for i in range(len(alike))]
    if size > 1 and pair[0] != pair[1] and alike[pair[0], pair[1]] <= threshold:
        starts.insert(0, pair)
    grown = [_grown(alike, start, size, threshold) for start in starts]
    grown.sort(key=lambda chosen: (-len(chosen), _closest(alike, chosen)[0]))
    if len(grown[0]) == 1:
        return np.array([alike.mean(axis=1).round(6).argmax()])
    improved = [_improved(alike, chosen) for chosen in grown[:TRIES] if len(chosen) == len(grown[0])]
    return np.sort(min(improved, key=lambda chosen: _closest(alike, chosen)[0]))


def _grown(alike: npt.NDArray[np.float64], start: Sequence[int], size: int, threshold: float) -> list[int]:
    kept = list(start)
    nearest = alike[kept].max(axis=0)
    while len(kept) < min(size, len(alike)):
        nearest[kept] = np.inf
        following = int(nearest.argmin())
        if nearest[following] > threshold:
            break
        kept.append(following)
        nearest = np.maximum(nearest, alike[following])
    return kept


def _closest(alike: npt.NDArray[np.float64], kept: Sequence[int]) -> tuple[float, int, int]:
    """The most similar two of a set, and how similar they are."""
    if len(kept) < 2:
        return -np.inf, 0, 0
    among = alike[np.ix_(kept, kept)].copy()
    np.fill_diagonal(among, -np.inf)
    first, second = np.unravel_index(among.argmax(), among.shape)
    return float(among[first, second]), kept[int(first)], kept[int(second)]


def _improved(alike: npt.NDArray[np.float64], kept: list[int]) -> list[int]:
    """One of the closest pair exchanged, again and again, as long as the closest pair gets less similar."""
    while len(kept) < len(alike):
        worst, *pair = _closest(alike, kept)
        tried = []
        for leaving in pair:
            rest = [item for item in kept if item != leaving]
            nearest = alike[rest].max(axis=0)
            nearest[kept] = np.inf
            tried.append([*rest, int(nearest.argmin())])
        best = min(tried, key=lambda chosen: _closest(alike, chosen)[0])
        if _closest(alike, best)[0] >= worst:
            break
        kept = best
    return kept


# -- videos -------------------------------------------------------------------------------------------------------


def select_frames(path: Path, config: FrameConfig, features: FrameFeatures, cache: Path | None = None) -> list[Media]:
    """The mutually most dissimilar frames of a video as JPEG files, in time order.

    Args:
        cache: folder in which they are kept, so that a resumed run decodes nothing again; known by the video (name,
            size, time of change, hash of its two ends), the settings and the features.

    Raises:
        InputError: see :func:`sugar.authoring.media.video.sample_frames`; or the features cannot be loaded.
    """
    path = Path(path)
    settings = {"kind": "frames", "features": features.fingerprint, **asdict(config)}
    kept = _cached(path, settings, cache)
    if kept is None:
        frames = list(sample_frames(path, config.per_second, config.most, config.longest_side))
        kept = [
            Media(jpeg(frame.image, config.quality), "image/jpeg", f"{path.name} at {frame.time_s:.2f} s")
            for frame in _chosen(frames, config, features)
        ]
        _keep(path, settings, cache, kept)
    return kept


def _chosen(frames: list[Frame], config: FrameConfig, features: FrameFeatures) -> list[Frame]:
    if config.drop_garbled:
        bad = garbled([frame.image for frame in frames])
        frames = [frame for frame, leave in zip(frames, bad, strict=True) if not leave]
    threshold = features.threshold if config.threshold is None else config.threshold
    encoded = features.encode([frame.image for frame in frames])
    return [frames[i] for i in dissimilar(encoded, config.size, threshold)]


def jpeg(image: "Image.Image", quality: int) -> bytes:
    """The picture as a JPEG file, without metadata; equal pictures give equal bytes."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def whole_video(path: Path, config: VideoConfig | None = None, cache: Path | None = None) -> Media:
    """The video itself as MP4: as it is if it is a small MP4, else encoded anew, smaller and without sound.

    Raises:
        InputError: see :func:`sugar.authoring.media.video.sample_frames`; or it does not fit even so.
    """
    path, config = Path(path), config or VideoConfig()
    limit = int(config.megabytes * 1e6)
    with open_video(path) as (container, _):
        is_mp4 = "mp4" in container.format.name
    if is_mp4 and path.suffix.lower() in (".mp4", ".m4v") and path.stat().st_size <= limit:
        return Media(path.read_bytes(), "video/mp4", path.name)
    settings = {"kind": "video", **asdict(config)}
    if kept := _cached(path, settings, cache):
        return kept[0]
    frames = sample_frames(path, config.per_second, None, config.longest_side)
    data = _encoded(frames, config.per_second)
    if len(data) > limit:
        raise InputError(
            f"{path}: takes {len(data) / 1e6:.1f} MB even at {config.longest_side} pixels and {config.per_second:g} "
            f"frames a second, and {config.megabytes:g} MB may be sent; cut it, send frames, or ask for smaller ones"
        )
    picture = Media(data, "video/mp4", f"{path.name}, at {config.per_second:g} frames a second")
    _keep(path, settings, cache, [picture])
    return picture


def _encoded(frames: Any, rate: float) -> bytes:
    """MP4 of frames at their own times, yuv420p; H.264 where PyAV can write it."""
    import av

    codec = next(codec for codec in CODECS if codec in av.codecs_available)
    file = io.BytesIO()
    ticks = Fraction(1, 1000)
    with av.open(file, "w", format="mp4") as container:
        # MPEG-4 counts time in 16 bits.
        stream: Any = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1000))
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", ticks
        if codec == "libx264":
            stream.options = {"crf": "28", "threads": "1"}
        else:
            stream.bit_rate = 1_000_000
        first = next(frames)
        width, height = (side + side % 2 for side in first.image.size)
        stream.width, stream.height = width, height
        before = -1
        for frame in chain([first], frames):
            picture = av.VideoFrame.from_image(frame.image.resize((width, height)))
            before = max(before + 1, round(frame.time_s / ticks))
            picture.pts, picture.time_base = before, ticks
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


# -- pictures kept on disk ----------------------------------------------------------------------------------------


def _kept_file(path: Path, settings: dict[str, Any], cache: Path) -> Path:
    """Where the pictures of a video are kept. Its two ends tell files of equal name, size and time apart."""
    check_video_name(path)
    try:
        with path.open("rb") as file:
            state = path.stat()
            ends = file.read(_ENDS)
            file.seek(max(0, state.st_size - _ENDS))
            ends += file.read(_ENDS)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a video") from error
    known = [_VERSION, path.name, state.st_size, state.st_mtime_ns, hashlib.sha256(ends).hexdigest(), settings]
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return cache / key[:2] / f"{key}.json"


def _cached(path: Path, settings: dict[str, Any], cache: Path | None) -> list[Media] | None:
    """None where there are none, or the file is damaged."""
    if cache is None or not (file := _kept_file(path, settings, cache)).is_file():
        return None
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        pictures = [
            Media(base64.b64decode(row["data"], validate=True), row["media_type"], row["origin"]) for row in rows
        ]
        if not rows or any(p.digest != row["sha256"] for p, row in zip(pictures, rows, strict=True)):
            raise ValueError("content does not fit its hash")
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: damaged pictures are made again (%s)", file, error)
        return None
    return pictures


def _keep(path: Path, settings: dict[str, Any], cache: Path | None, pictures: list[Media]) -> None:
    """A folder that cannot be written costs time, not the run."""
    if cache is None:
        return
    rows = [
        {
            "origin": picture.origin,
            "media_type": picture.media_type,
            "sha256": picture.digest,
            "data": base64.b64encode(picture.data).decode(),
        }
        for picture in pictures
    ]
    try:
        write_text(_kept_file(path, settings, cache), json.dumps(rows))
    except OSError as error:
        _log.warning("%s: pictures are not kept (%s)", cache, error)
