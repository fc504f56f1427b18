"""What a store holds in figures, and what looks wrong in it: lengths, gaps, bones, units, axes."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.diagnostics.finding import Finding
from sugar.datasets.diagnostics.shared_frames import Digests, frame_digests, shared_findings
from sugar.datasets.store.store import Store
from sugar.facts.body_frame import bodies
from sugar.facts.thresholds import Thresholds
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import is_measured
from sugar.skeleton.layout import JointLayout

BODY_METERS = (0.5, 4.0)
"""Plausible sums of the bones from the head to the farthest foot, children and noise included."""
BONE_SPREAD = 0.35
"""Spread of a bone's length through a clip (standard deviation by mean) from which tracking is in doubt."""
LARGEST_STEP = 1.5
"""Body heights between two frames that no hip travels."""
MOSTLY_EMPTY = 0.5
"""Share of frames with nobody, or of joints not measured, from which a clip is worth a look."""
FEW_CLIPS = 5
ALONG = 0.7
"""Share of a body's length along an axis from which it lies along that axis (within 45 degrees)."""
MOST_ALONG, FEW_UP = 0.6, 0.2
"""Share of clips along another axis from which that is the vertical, if no more than so many are upright."""
TOES_AHEAD = 0.02
"""Body heights by which feet point to the front."""
CLIP_SECONDS = (0.3, 600.0)
"""Plausible medians of the clips' durations."""
FASTEST = 6.0
"""Body heights a second that hands or hips pass for a twentieth of the time in no data set's usual clip: a sprint.
Hands of NW-UCLA, with its noise, come to 3.9."""
HEIGHT_METERS = 1.7
LIMBS = ("shoulder", "elbow", "hip", "knee")
"""Joints that all layouts name alike, and that facts are measured from."""


@dataclass(frozen=True)
class ClipFigures:
    """One clip in figures.

    Args:
        frames, persons: their numbers.
        fps: frames a second.
        seconds: duration.
        empty: share of frames with nobody.
        missing: ``[V]`` share of a present person's frames in which a joint was not measured.
        bones: ``[bones]`` mean length of each bone, NaN where never seen.
        spread: ``[bones]`` standard deviation by mean.
        height: length of the longest chain of bones from the head, or from the root, to a tip.
        step: largest way of the root joint between neighboring frames, in heights.
        speed: body heights a second that hands, or the root joint, pass in a twentieth of the steps.
        length_axis: ``[C]`` mean direction from the feet to the head, of length 1; None where they are never seen.
        front: 1: knees and toes are on the side that the body turns to; -1: on its back; 0: they do not say.
        digests: `frame_digests`, to find copies.
    """

    frames: int
    persons: int
    fps: float
    seconds: float
    empty: float
    missing: npt.NDArray[np.float64]
    bones: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    height: float
    step: float
    speed: float
    length_axis: npt.NDArray[np.float64] | None
    front: int
    digests: Digests


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
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    steps[~(measured[1:] & measured[:-1])] = np.nan
    root = steps[:, :, layout.root]
    hands = steps[:, :, list(layout.parts["hand"] or layout.parts["arm"])]
    return ClipFigures(
        frames=clip.num_frames,
        persons=int(present.any(axis=0).sum()),
        fps=clip.fps,
        seconds=clip.num_frames / clip.fps,
        empty=float(1 - present.any(axis=1).mean()),
        missing=1 - measured[present].mean(axis=0),
        bones=bones,
        spread=deviation / np.where(bones > 0, bones, np.nan),
        height=height,
        step=_quantile(root, 1) / height if height > 0 else 0.0,
        speed=max(_quantile(root, 0.95), _quantile(hands, 0.95)) * clip.fps / height if height > 0 else 0.0,
        length_axis=_length_axis(joints, measured, layout),
        front=_front(clip),
        digests=frame_digests(clip.joints),
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


def _quantile(values: npt.NDArray[np.float64], share: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else 0.0


def _length_axis(
    joints: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_], layout: JointLayout
) -> npt.NDArray[np.float64] | None:
    """By the parts, which every layout has whatever it calls its joints."""
    ends = []
    for parts in (("head", "arm"), ("foot", "leg", "hip")):
        used = [list(layout.parts[part]) for part in parts]
        seen = next((part for part in used if measured[:, :, part].any()), None)
        if seen is None:
            return None
        there = measured[:, :, seen, None]
        number = there.sum(axis=2)
        middle = (joints[:, :, seen] * there).sum(axis=2) / np.maximum(number, 1)
        ends.append(np.where(number > 0, middle, np.nan))
    along = ends[0] - ends[1]
    along = along[np.isfinite(along).all(axis=-1)]
    if not len(along):
        return None
    mean = np.asarray(along.mean(axis=0))
    length = float(np.linalg.norm(mean))
    return mean / length if length > 0 else None


def _front(clip: SkeletonClip) -> int:
    """Which side knees bend to and toes point to, seen from what left and right say is the front."""
    names, limit = clip.layout.joint_names, Thresholds()
    if clip.layout.dimension != 3 or not {"left_ankle", "right_ankle"} <= set(names):
        return 0  # with a foot for an ankle, straight knees would seem to bend backwards
    ahead = []
    for body in bodies(clip, limit):
        if body is None or not body.has("shoulder", "hip", "knee", "ankle"):
            continue
        sign = -1 if body.swapped else 1  # undo what was fixed
        hips, knees, ankles = body.pair("hip"), body.pair("knee"), body.pair("ankle")
        leg = ankles - hips
        share = ((knees - hips) * leg).sum(axis=2) / np.maximum((leg**2).sum(axis=2), 1e-12)
        aside = ((knees - hips - share[..., None] * leg) * body.forward[:, None]).sum(axis=2)
        bent = float(np.where(np.abs(aside) > limit.knee_noise, aside, 0).sum()) / len(aside)
        toes = float(((body.pair("foot") - ankles) * body.forward[:, None]).sum(axis=2).mean())
        if abs(bent) > limit.knees_back[0]:
            ahead.append(sign * np.sign(bent))
        elif abs(toes) > TOES_AHEAD:
            ahead.append(sign * np.sign(toes))
    return int(np.sign(sum(ahead)))


@dataclass
class StoreFigures:
    """All clips of a store in figures; see `to_dict`."""

    store: Store
    clips: list[ClipFigures] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Lengths, clips a class, gaps, and bones with their spread, as plain JSON data."""
        layout, labels = self.store.layout, self.store.labels
        frames = np.array([figures.frames for figures in self.clips])
        seconds = np.array([figures.seconds for figures in self.clips])
        counts = np.bincount(labels[labels >= 0], minlength=len(self.store.classes))
        missing = np.mean([figures.missing for figures in self.clips], axis=0)
        bones = np.array([figures.bones for figures in self.clips])
        spread = np.array([figures.spread for figures in self.clips])
        names = layout.joint_names
        return {
            "name": self.store.name,
            "layout": layout.name,
            "clips": len(self.clips),
            "fps": {f"{fps:g}": int(count) for fps, count in _counted(figures.fps for figures in self.clips)},
            "hours": float(seconds.sum()) / 3600,
            "seconds": {
                "least": float(seconds.min()),
                "median": float(np.median(seconds)),
                "most": float(seconds.max()),
            },
            "frames": {
                "least": int(frames.min()),
                "median": float(np.median(frames)),
                "most": int(frames.max()),
            },
            "persons": {str(n): int(count) for n, count in _counted(figures.persons for figures in self.clips)},
            "classes": {name: int(n) for name, n in zip(self.store.classes, counts, strict=True)},
            "unlabeled": int((labels < 0).sum()),
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


def _counted(values: Iterable[float]) -> Iterator[tuple[float, int]]:
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
    meters = layout.dimension == 3
    height = float(np.median([one.height for _, one in clips]))
    if meters and not BODY_METERS[0] <= height <= BODY_METERS[1]:
        unit = "millimeters" if height > 400 else "centimeters" if height > 40 else "another unit"
        yield Finding(store.name, f"people are {height:.4g} m tall", f"the data seem to be in {unit}: give the units")
        meters = False
    axes = np.array([one.length_axis for _, one in clips if one.length_axis is not None])
    turned = list(_axis_findings(store.name, axes, layout))
    yield from turned or _mirror_findings(store.name, [one.front for _, one in clips])
    yield from _time_findings(store.name, [one for _, one in clips])
    limbs = [f"{side}_{joint}" for side in ("left", "right") for joint in LIMBS]
    if unnamed := [name for name in limbs if name not in layout.joint_names]:
        yield Finding(
            store.name,
            f"layout {layout.name!r} has no joint {unnamed[0]!r}, so little can be said of what limbs do",
            f"name its joints as others do ({', '.join(limbs[:3])}, ...), or train with model.motion.weight 0",
        )
    yield from _class_findings(store)
    yield from shared_findings(store, [one.digests for one in figures.clips])
    for clip_id, one in clips:
        yield from _clip_findings(clip_id, one, layout, height if meters else None)


def _axis_findings(where: str, axes: npt.NDArray[np.float64], layout: JointLayout) -> Iterator[Finding]:
    """Whether most people stand along another axis than the layout's; some may lie, along any.

    Args:
        axes: ``[N, C]`` directions from the feet to the head.
    """
    if not len(axes):
        return
    sign = 1 if layout.dimension == 3 else -1  # image rows count downwards
    along = {
        (axis, way): float((way * axes[:, axis] > ALONG).mean()) for axis in range(axes.shape[1]) for way in (1, -1)
    }
    axis, way = max(along, key=along.__getitem__)
    if along[axis, way] < MOST_ALONG or along[layout.up, sign] > FEW_UP:
        return
    found, meant = ("-" * (way < 0) + "xyz"[axis], "-" * (sign < 0) + "xyz"[layout.up])
    if layout.dimension == 2 and axis != layout.up:
        fix = "x and y are swapped: write x, to the right, first"
    elif layout.dimension == 2:
        fix = "dataset.yaml needs up: y, or none if it has that already"
    else:
        fix = f"dataset.yaml needs up: {found}, or if it has an up already, another"
    yield Finding(where, f"people stand along {found}, not along {meant}", fix)


def _mirror_findings(where: str, fronts: Sequence[int]) -> Iterator[Finding]:
    backs = fronts.count(-1)
    if backs > 2 * fronts.count(1) and backs >= len(fronts) / 10:  # a sensor may swap them in some clips
        yield Finding(
            where,
            f"left and right seem exchanged: in {backs} of {len(fronts)} clips knees or feet point backwards",
            "negate an axis, or swap the names",
        )


def _time_findings(where: str, clips: Sequence[ClipFigures]) -> Iterator[Finding]:
    fps, seconds, speed = (
        float(np.median([getattr(one, name) for one in clips])) for name in ("fps", "seconds", "speed")
    )
    at = f"at {fps:g} frames a second"
    if not CLIP_SECONDS[0] <= seconds <= CLIP_SECONDS[1]:
        yield Finding(where, f"clips last {seconds:.3g} s (median) {at}", "check fps, and how they were cut")
    if speed > FASTEST:
        yield Finding(where, f"hands move at {HEIGHT_METERS * speed:.0f} m/s {at}", "check fps")


def _class_findings(store: Store) -> Iterator[Finding]:
    if not (store.labels >= 0).any():
        yield Finding(store.name, "none of its clips has a label", "import it with labels, if it is to train or test")
        return
    plain: dict[str, str] = {}
    for name in store.classes:
        first = plain.setdefault(re.sub(r"[\s_]+", "", name).casefold(), name)
        if first != name:
            what = f"it differs from {first!r} by case or spaces only"
            yield Finding(f"class {name!r}", what, "spell them alike, if they are one")
    counts = np.bincount(store.labels[store.labels >= 0], minlength=len(store.classes))
    for name, count in zip(store.classes, counts, strict=True):
        if count == 0:
            yield Finding(f"class {name!r}", "it has no clip", "leave it out of the class list, or add clips")
        elif count < FEW_CLIPS:
            yield Finding(f"class {name!r}", f"it has only {count} clips", "add some, or join it with another class")


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
