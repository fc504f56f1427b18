"""From sightings of bodies to the persons of a clip, with the field's cleaning steps for NTU RGB+D.

The steps are those that the papers on NTU RGB+D share: tracks of a few frames and tracks wider than tall are not
people but furniture and reflections (Shahroudy et al. 2016, section 3; Zhang et al., "View adaptive neural networks",
2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.parsing.skeleton_text import Sightings
from sugar.errors import InputError

MAX_TRACKS = 32
"""More persons than this in one clip are not kept even where everyone is: Kinect follows six at once."""
_WIDE = 0.8


@dataclass(frozen=True)
class Cleaning:
    """Which tracks of a clip are dropped. A step that would leave nobody is passed over.

    Args:
        short_track: drop a track of this many frames or fewer.
        wide_share: drop a track whose share of frames with an x-spread above 0.8 of the y-spread is this or more.
        max_persons: keep this many, those with most motion; None: all.
    """

    short_track: int
    wide_share: float
    max_persons: int | None


def persons(
    sightings: Sightings, tracks: Sequence[npt.NDArray[np.int64]], cleaning: Cleaning
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """The persons of a clip, the one with most motion first, zero where absent.

    Args:
        tracks: for each body the indices of its sightings.

    Returns:
        ``[T, M, V, 3]`` joints and ``[T, M, V]`` tracking states.

    Raises:
        InputError: no body in any frame, or more than `MAX_TRACKS` to keep.
    """
    if not tracks:
        raise InputError("no body in any frame")
    kept = list(tracks)
    kept = [track for track in kept if len(track) > cleaning.short_track] or kept
    if len(kept) > 1:
        wide = _wide(sightings.joints)
        kept = [track for track in kept if wide[track].mean() < cleaning.wide_share] or kept
    if len(kept) > 1:
        kept = sorted(kept, key=lambda track: -_motion(sightings.joints[track]))[: cleaning.max_persons]
    if len(kept) > MAX_TRACKS:
        raise InputError(f"{len(kept)} different bodies, more than the {MAX_TRACKS} that are kept")
    if len(kept) == 1 and len(kept[0]) == len(sightings.frame) == sightings.num_frames:  # one body, always there
        return sightings.joints[:, None], sightings.state[:, None]
    num_joints = sightings.joints.shape[1]
    joints = np.zeros((sightings.num_frames, len(kept), num_joints, 3), np.float32)
    states = np.zeros(joints.shape[:3], np.uint8)
    for m, track in enumerate(kept):
        joints[sightings.frame[track], m] = sightings.joints[track]
        states[sightings.frame[track], m] = sightings.state[track]
    return joints, states


def tracks_by_id(sightings: Sightings) -> list[npt.NDArray[np.int64]]:
    """The sightings of each body id, in order of appearance.

    Raises:
        InputError: an id is there twice in one frame.
    """
    number = {body: k for k, body in enumerate(dict.fromkeys(sightings.body_id))}
    if len(number) == 1:
        tracks = [np.arange(len(sightings.frame))]
    else:
        numbers = np.array([number[body] for body in sightings.body_id])
        tracks = [np.flatnonzero(numbers == k) for k in range(len(number))]
    for body, track in zip(number, tracks, strict=True):
        frame = sightings.frame[track]
        for i in np.flatnonzero(frame[1:] == frame[:-1])[:1].tolist():
            raise InputError(f"body {body.decode('ascii', 'replace')[:40]} is there twice in frame {frame[i]}")
    return tracks


def tracks_by_rank(sightings: Sightings) -> list[npt.NDArray[np.int64]]:
    """The first bodies of the frames, the second ones and so on: for files without real ids."""
    frame = sightings.frame
    rank = np.arange(len(frame)) - np.searchsorted(frame, frame)
    return [np.flatnonzero(rank == k) for k in range(int(rank.max(initial=-1)) + 1)]


def _wide(joints: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which of N bodies are wider than tall, or nearly so."""
    xy = np.ascontiguousarray(joints[:, :, :2].transpose(1, 2, 0))
    x, y = xy.max(axis=0) - xy.min(axis=0)
    return np.asarray(x > _WIDE * y)


def _motion(joints: npt.NDArray[np.float32]) -> float:
    """Variance of the coordinates over frames and joints, summed over x, y and z."""
    return float(joints.reshape(-1, 3).T.astype(np.float64, order="C").var(axis=1).sum())
