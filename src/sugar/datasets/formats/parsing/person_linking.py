"""Persons over time: pose estimators find people frame by frame; a clip needs to know who is who.

Linking is greedy: frame by frame, the nearest pair of a known person and a found one is joined first, by the middle
of the torso. A person may move by their own size at most and be out of sight for `MAX_LOST` frames; whoever is found
elsewhere is somebody new.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout

MAX_LOST = 30
MAX_FOUND = 200
_TORSO = ("shoulder", "hip", "neck", "spine", "torso", "pelvis")

Array = npt.NDArray[np.float64]
Track = list[tuple[int, int]]
"""One person: (frame, which of the people found there)."""


def torso_joints(layout: JointLayout) -> tuple[int, ...]:
    """The joints of the torso by their names; all joints if there is none."""
    found = tuple(j for j, name in enumerate(layout.joint_names) if any(word in name for word in _TORSO))
    return found or tuple(range(layout.num_joints))


def link_persons(frames: Sequence[Array], layout: JointLayout, persons: int = 2) -> Array:
    """Follow persons over frames and keep the most present and active ones.

    Args:
        frames: ``[P, V, C + 1]`` for each frame: people found, joints, coordinates and confidence; a confidence of 0
            is a joint that was not measured.
        persons: how many to keep at most.

    Returns:
        ``[T, M, V, C + 1]``, M at most ``persons``, zero where a person is not there; M is 0 if nobody ever is.

    Raises:
        InputError: more people in a frame than can be.
    """
    return stack_tracks(frames, find_tracks(frames, torso_joints(layout)), persons)


def find_tracks(frames: Sequence[Array], torso: Sequence[int]) -> list[Track]:
    """Who is who, frame by frame; see `link_persons`."""
    tracks: list[_Known] = []
    active: list[_Known] = []
    for t, people in enumerate(frames):
        if len(people) > MAX_FOUND:
            raise InputError(f"frame {t} has {len(people):,} persons, more than the {MAX_FOUND} that can be followed")
        active = [known for known in active if t - known.track[-1][0] <= MAX_LOST]
        found = [_Known([(t, p)], *_place(person, torso)) for p, person in enumerate(people) if person[:, -1].any()]
        if active and found:
            gaps = np.linalg.norm(
                np.stack([known.center for known in active])[:, None] - np.stack([one.center for one in found]), axis=-1
            )
            gaps[gaps > np.array([known.size for known in active])[:, None]] = np.inf
            for _ in range(min(gaps.shape)):
                k, p = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
                if not np.isfinite(gaps[k, p]):
                    break
                active[k].track += found[p].track
                active[k].center = found[p].center
                # One who is half hidden for a while does not shrink at once.
                active[k].size = max(found[p].size, 0.9 * active[k].size)
                found[p].track = []
                gaps[k], gaps[:, p] = np.inf, np.inf
        new = [one for one in found if one.track]
        tracks += new
        active += new
    return [known.track for known in tracks]


def stack_tracks(frames: Sequence[Array], tracks: Sequence[Track], persons: int) -> Array:
    """The ``persons`` tracks with the most presence times motion, side by side: ``[T, M, V, C + 1]``.

    Presence is the number of frames, motion the mean over joints of the spread of their coordinates. Tracks beyond
    follow in the place of one that they never meet: after a cut or a long absence the same people have new tracks.
    """
    if persons < 1:
        raise InputError(f"persons must be 1 or more, not {persons}")

    def rank(track: Track) -> tuple[float, int, Track]:
        points = np.stack([frames[t][p] for t, p in track])
        sure = (points[..., -1:] > 0).astype(np.float64)
        count = np.maximum(sure.sum(0), 1)
        mean = (points[..., :-1] * sure).sum(0) / count
        motion = float(np.sqrt(((points[..., :-1] - mean) ** 2 * sure).sum(0) / count).mean())
        return -len(track) * motion, -len(track), track

    ranked = sorted(tracks, key=rank)
    shape = frames[0].shape[1:] if frames else (0, 0)
    stacked = np.zeros((len(frames), min(persons, len(ranked)), *shape))
    taken = np.zeros(stacked.shape[:2], bool)
    for number, track in enumerate(ranked):
        times = [t for t, _ in track]
        places = (number,) if number < persons else np.flatnonzero(~taken[times].any(axis=0))
        for m in places[:1]:
            taken[times, m] = True
            for t, p in track:
                stacked[t, m] = frames[t][p]
    return stacked


def as_joints(stacked: Array) -> tuple[Array, Array]:
    """``[T, M, V, C + 1]`` as joints and confidence of a clip: zero in both where a joint was not measured."""
    measured = (stacked[..., -1] > 0) & stacked[..., :-1].any(axis=-1)
    return np.where(measured[..., None], stacked[..., :-1], 0), np.where(measured, stacked[..., -1], 0)


@dataclass(eq=False)
class _Known:
    """A person as last seen: the middle of the torso, and the size of the body (diagonal of its box)."""

    track: Track
    center: Array
    size: float


def _place(person: Array, torso: Sequence[int]) -> tuple[Array, float]:
    measured = person[person[:, -1] > 0, :-1]
    middle = person[list(torso)]
    middle = middle[middle[:, -1] > 0, :-1]
    size = float(np.linalg.norm(measured.max(0) - measured.min(0)))
    return (middle if len(middle) else measured).mean(0), size
