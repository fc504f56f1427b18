"""What a store holds in figures, and what looks wrong in it: lengths, gaps, bones, units, axes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.store import Store
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.transforms import is_measured

BODY_METRES = (0.5, 4.0)
"""Plausible sums of the bones from the head to the farthest foot, children and noise included."""
BONE_SPREAD = 0.35
"""Spread of a bone's length through a clip (standard deviation by mean) from which tracking is in doubt."""
LARGEST_STEP = 1.5
"""Body heights between two frames that no hip travels."""
MOSTLY_EMPTY = 0.5
"""Share of frames with nobody, or of joints not measured, from which a clip is worth a look."""
FEW_CLIPS = 5
LIMBS = ("shoulder", "elbow", "hip", "knee")
"""Joints that all layouts name alike, and that facts are measured from."""


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Args:
        where: clip, class or store.
        what: what is wrong.
        mend: what to do about it.
    """

    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


@dataclass(frozen=True)
class ClipFigures:
    """One clip in figures.

    Args:
        frames, persons: their numbers.
        seconds: duration.
        empty: share of frames with nobody.
        missing: ``[V]`` share of a present person's frames in which a joint was not measured.
        bones: ``[bones]`` mean length of each bone, NaN where never seen.
        spread: ``[bones]`` standard deviation by mean.
        height: length of the longest chain of bones from the head, or from the root, to a tip.
        step: largest way of the root joint between neighbouring frames, in heights.
        head_up: share of frames with the head above the hips; None where the layout lacks them.
    """

    frames: int
    persons: int
    seconds: float
    empty: float
    missing: npt.NDArray[np.float64]
    bones: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    height: float
    step: float
    head_up: float | None


def clip_figures(clip: SkeletonClip) -> ClipFigures:
    """Measure one clip."""
    joints, layout = clip.joints.astype(np.float64), clip.layout
    measured = is_measured(clip.joints)
    present = clip.present
    child, parent = np.array(layout.bones, dtype=np.int64).reshape(-1, 2).T
    lengths = np.linalg.norm(joints[:, :, child] - joints[:, :, parent], axis=-1)
    lengths[~(measured[:, :, child] & measured[:, :, parent])] = np.nan
    flat = lengths.reshape(-1, len(child))
    bones, deviation = _over_known(flat, np.mean), _over_known(flat, np.std)
    height = _height(bones, layout)
    root = joints[:, :, layout.root]
    known = measured[1:, :, layout.root] & measured[:-1, :, layout.root]
    steps = np.linalg.norm(np.diff(root, axis=0), axis=-1)[known]
    return ClipFigures(
        frames=clip.num_frames,
        persons=int(present.any(axis=0).sum()),
        seconds=clip.num_frames / clip.fps,
        empty=float(1 - present.any(axis=1).mean()),
        missing=1 - measured[present].mean(axis=0),
        bones=bones,
        spread=deviation / np.where(bones > 0, bones, np.nan),
        height=height,
        step=float(steps.max() / height) if len(steps) and height > 0 else 0.0,
        head_up=_head_up(joints, measured, layout),
    )


def _over_known(
    values: npt.NDArray[np.float64], figure: Callable[[npt.NDArray[np.float64]], Any]
) -> npt.NDArray[np.float64]:
    """A figure of each column over its known entries; NaN where there is none."""
    known = [column[np.isfinite(column)] for column in values.T]
    return np.array([float(figure(column)) if len(column) else np.nan for column in known])


def _height(bones: npt.NDArray[np.float64], layout: JointLayout) -> float:
    """Length of the two longest chains from the root, which are those to the head or a hand and to a foot."""
    at = {layout.root: 0.0}
    waiting = list(zip(layout.bones, np.nan_to_num(bones), strict=True))
    while waiting:
        late = []
        for (child, parent), length in waiting:
            if parent in at:
                at[child] = at[parent] + float(length)
            else:
                late.append(((child, parent), length))
        waiting = late
    names = layout.joint_names
    head = max((at[j] for j in range(len(names)) if j in layout.parts["head"]), default=0.0)
    foot = max(at[j] for j in range(len(names)) if j in (*layout.parts["foot"], *layout.parts["leg"]))
    return head + foot


def _head_up(joints: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_], layout: JointLayout) -> float | None:
    hips = [j for j, name in enumerate(layout.joint_names) if name.endswith("_hip")]
    heads = [j for j in layout.parts["head"] if layout.joint_names[j] in ("head", "nose", "neck")]
    if not hips or not heads:
        return None
    known = measured[:, :, hips].all(axis=-1) & measured[:, :, heads[0]]
    if not known.any():
        return None
    difference = joints[:, :, heads[0], layout.up] - joints[:, :, hips, layout.up].mean(axis=-1)
    sign = 1 if layout.dimension == 3 else -1  # image rows count downwards
    return float((sign * difference[known] > 0).mean())


@dataclass
class StoreFigures:
    """All clips of a store in figures; see `to_dict`."""

    store: Store
    clips: list[ClipFigures] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Lengths, clips a class, gaps, and bones with their spread, as plain JSON data."""
        layout, labels = self.store.layout, self.store.labels
        frames = np.array([figures.frames for figures in self.clips])
        counts = np.bincount(labels[labels >= 0], minlength=len(self.store.classes))
        missing = np.mean([figures.missing for figures in self.clips], axis=0)
        bones = np.array([figures.bones for figures in self.clips])
        spread = np.array([figures.spread for figures in self.clips])
        names = layout.joint_names
        return {
            "name": self.store.name,
            "layout": layout.name,
            "clips": len(self.clips),
            "hours": sum(figures.seconds for figures in self.clips) / 3600,
            "frames": {
                "least": int(frames.min()),
                "median": float(np.median(frames)),
                "most": int(frames.max()),
            },
            "persons": {str(n): int(count) for n, count in _counted(figures.persons for figures in self.clips)},
            "classes": {name: int(n) for name, n in zip(self.store.classes, counts, strict=True)},
            "unlabelled": int((labels < 0).sum()),
            "empty_frames": float(np.mean([figures.empty for figures in self.clips])),
            "missing_joints": {name: float(share) for name, share in zip(names, missing, strict=True)},
            "height": float(np.median([figures.height for figures in self.clips])),
            "bones": {
                f"{names[parent]} - {names[child]}": {
                    "length": float(_over_known(bones[:, [i]], np.median)[0]),
                    "spread": float(_over_known(spread[:, [i]], np.median)[0]),
                }
                for i, (child, parent) in enumerate(layout.bones)
            },
        }


def _counted(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    numbers, counts = np.unique(list(values), return_counts=True)
    return zip(numbers.tolist(), counts.tolist(), strict=True)


def store_figures(store: Store, indices: Iterable[int] | None = None) -> StoreFigures:
    """Measure the clips of a store (of all, or of ``indices``; they may be watched by a progress bar)."""
    figures = StoreFigures(store)
    for i in range(len(store)) if indices is None else indices:
        figures.clips.append(clip_figures(store[i]))
    return figures


def findings(figures: StoreFigures) -> Iterator[Finding]:
    """What looks wrong, most general first: what all clips share is said once."""
    store, layout = figures.store, figures.store.layout
    clips = list(zip(store.clip_ids, figures.clips, strict=True))
    metres = layout.dimension == 3
    height = float(np.median([one.height for _, one in clips]))
    if metres and not BODY_METRES[0] <= height <= BODY_METRES[1]:
        unit = "millimetres" if height > 400 else "centimetres" if height > 40 else "another unit"
        yield Finding(store.name, f"people are {height:.4g} m tall", f"the data seem to be in {unit}: give the units")
        metres = False
    upright = [one.head_up for _, one in clips if one.head_up is not None]
    if upright and np.median(upright) < 0.5:
        axis = "xyz"[layout.up]
        yield Finding(store.name, "heads lie below hips in most clips", f"axis {axis} is not up: say which axis is")
    limbs = [f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS]
    if unnamed := [name for name in limbs if name not in layout.joint_names]:
        yield Finding(
            store.name,
            f"layout {layout.name!r} has no joint {unnamed[0]!r}, so little can be said of what limbs do",
            f"name its joints as others do ({', '.join(limbs[:3])}, ...), or train with model.motion.weight 0",
        )
    yield from _class_findings(store)
    yield from _same_motion(store)
    for clip_id, one in clips:
        yield from _clip_findings(clip_id, one, layout, height if metres else None)


def _class_findings(store: Store) -> Iterator[Finding]:
    if not (store.labels >= 0).any():
        yield Finding(store.name, "none of its clips has a label", "import it with labels, if it is to train or test")
        return
    counts = np.bincount(store.labels[store.labels >= 0], minlength=len(store.classes))
    for name, count in zip(store.classes, counts, strict=True):
        if count == 0:
            yield Finding(f"class {name!r}", "it has no clip", "leave it out of the class list, or add clips")
        elif count < FEW_CLIPS:
            yield Finding(f"class {name!r}", f"it has only {count} clips", "add some, or join it with another class")


def _same_motion(store: Store) -> Iterator[Finding]:
    first: dict[bytes, str] = {}
    for clip in store:
        key = clip.joints.tobytes()
        known = first.setdefault(key, clip.clip_id)
        if known != clip.clip_id:
            yield Finding(f"clip {clip.clip_id!r}", f"its joints are those of {known!r}", "keep one of the two")


def _clip_findings(clip_id: str, one: ClipFigures, layout: JointLayout, height: float | None) -> Iterator[Finding]:
    where = f"clip {clip_id!r}"
    if one.frames == 1:
        yield Finding(where, "it has a single frame, so no motion", "leave it out, or cut it longer")
    if one.empty > MOSTLY_EMPTY:
        yield Finding(where, f"nobody is there in {one.empty:.0%} of its frames", "cut it shorter")
    gone = [layout.joint_names[j] for j in np.flatnonzero(one.missing > MOSTLY_EMPTY)]
    if gone:
        yield Finding(
            where, f"{', '.join(gone[:4])} missing in most frames", "use a layout without them, or track again"
        )
    unsteady = np.flatnonzero(np.nan_to_num(one.spread) > BONE_SPREAD)
    if len(unsteady) > len(layout.bones) / 2:
        yield Finding(
            where, "most bones change their length", "joints may be in the wrong order, or tracking has failed"
        )
    if height is not None and not height / 2 <= one.height <= height * 2:
        yield Finding(where, f"the person is {one.height:.2f} m tall, the others {height:.2f} m", "check its units")
    if one.step > LARGEST_STEP:
        yield Finding(where, f"the body leaps {one.step:.1f} body heights in a frame", "two people may be mixed up")
