"""Clips that hold the same frames, digit by digit: copies, and one stretch of a recording that was cut twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from sugar.datasets.diagnostics.finding import Finding
from sugar.datasets.store.store import Store

Digests = npt.NDArray[np.int64]

SHARED = 0.5
"""Share of the shorter clip's frames that two cuts have in common from which they are worth a look."""
USUAL = 20
"""Clips from which a frame is a pose that everything starts from, and says nothing."""


def frame_digests(joints: npt.NDArray[np.float32]) -> Digests:
    """``[T, M, V, C]`` -> ``[T]`` a number for each frame, good within this process; 0 where nobody is measured."""
    seen = np.count_nonzero(joints.reshape(len(joints), -1), axis=1)
    return np.array([hash(frame.tobytes()) if n else 0 for frame, n in zip(joints, seen, strict=True)], np.int64)


def shared_frames(digests: Sequence[Digests]) -> dict[tuple[int, int], int]:
    """How many frames two clips have in common, where they have any; keys in rising order."""
    distinct = [np.unique(one[one != 0]) for one in digests]
    frames = np.concatenate([np.empty(0, np.int64), *distinct])
    clips = np.repeat(np.arange(len(distinct)), [len(one) for one in distinct])
    order = np.argsort(frames, kind="stable")
    frames, clips = frames[order], clips[order]
    _, starts, sizes = np.unique(frames, return_index=True, return_counts=True)
    counts: Counter[tuple[int, int]] = Counter()
    several = (sizes > 1) & (sizes < USUAL)
    for start, size in zip(starts[several].tolist(), sizes[several].tolist(), strict=True):
        counts.update(combinations(clips[start : start + size].tolist(), 2))
    return dict(sorted(counts.items()))


def shared_findings(store: Store, digests: Sequence[Digests]) -> Iterator[Finding]:
    """Copies, and clips that have at least `SHARED` of the shorter one's frames in common."""
    first: dict[bytes, int] = {}
    for row, one in enumerate(digests):
        known = first.setdefault(one.tobytes(), row)
        if known != row:
            what = f"its joints are those of {store.clip_ids[known]!r}{_otherwise(store, row, known)}"
            yield Finding(f"clip {store.clip_ids[row]!r}", what, "keep one of the two")
    for pair, frames in shared_frames(digests).items():
        short, long = sorted(pair, key=lambda row: len(digests[row]))
        if frames < SHARED * len(digests[short]) or digests[short].tobytes() == digests[long].tobytes():
            continue
        part = f"{frames} of its {len(digests[short])} frames"
        what = f"{part} are in {store.clip_ids[long]!r} too{_otherwise(store, short, long)}"
        fix = "look at both (`sugar data show`), and leave out what is cut or named wrongly"
        yield Finding(f"clip {store.clip_ids[short]!r}", what, fix)


def _otherwise(store: Store, row: int, other: int) -> str:
    """What to add if the two are not of one class."""
    mine, its = (None if (k := store.labels[i]) < 0 else store.classes[k] for i in (row, other))
    return "" if mine == its or mine is None or its is None else f", which is called {its!r}, not {mine!r}"
