"""One person's joints by role, smoothed, upright, in body heights and in axes of their own body."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sugar.facts.thresholds import Thresholds
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout

Signal = npt.NDArray[np.float64]

# Names a joint goes by in the usual layouts, the best first; several in one entry are averaged.
_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("head",), ("nose",), ("left_ear", "right_ear"), ("left_eye", "right_eye")),
    "neck": (("shoulder_center",), ("spine_shoulder",), ("neck",), ("left_shoulder", "right_shoulder")),
    "pelvis": (("hip_center",), ("spine_base",), ("pelvis",), ("left_hip", "right_hip")),
}
_LIMB_NAMES = {
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "hand": ("hand", "wrist"),
    "hip": ("hip",),
    "knee": ("knee",),
    "ankle": ("ankle", "foot"),
    "foot": ("foot", "ankle", "big_toe"),
}
for _side in ("left", "right"):
    for _role, _joints in _LIMB_NAMES.items():
        _NAMES[f"{_side}_{_role}"] = tuple((f"{_side}_{joint}",) for joint in _joints)

ROLES = tuple(_NAMES)
# Where a joint is never measured, its neighbor stands in; what then depends on it is not known.
_STAND_IN = {"head": "neck", "neck": "head", "pelvis": "neck"}
_STAND_IN |= {f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("hand", "elbow"), ("elbow", "shoulder"))}
_STAND_IN |= {f"{s}_{a}": f"{s}_{b}" for s in ("left", "right") for a, b in (("foot", "ankle"), ("ankle", "knee"))}
_STAND_IN |= {f"{s}_knee": f"{s}_hip" for s in ("left", "right")}
_STAND_IN |= {f"{s}_hip": "pelvis" for s in ("left", "right")} | {f"{s}_shoulder": "neck" for s in ("left", "right")}

# Head to neck, neck to pelvis, thigh and shank as shares of the body height (Drillis and Contini 1966).
_SEGMENTS = ((("head", "neck"),), (("neck", "pelvis"),))
_LEGS = tuple(
    tuple((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right")) for a, b in (("hip", "knee"), ("knee", "ankle"))
)
_SHARES = np.array([0.115, 0.28, 0.235, 0.236])

_UPRIGHT_WITHIN = np.cos(np.deg2rad(30))
"""A standing body axis this near to the layout's vertical is taken for the true vertical: sensors look down."""


def row(role: str) -> int:
    """Index of a role in `Body.at`."""
    return ROLES.index(role)


def rows(role: str) -> list[int]:
    """Indices of the left and the right joint of a role."""
    return [ROLES.index(f"left_{role}"), ROLES.index(f"right_{role}")]


@dataclass(frozen=True, eq=False)
class Body:
    """Signals of one person, in body heights; N frames in which the person is there.

    Args:
        at: ``[N, R, 3]`` joints by role: x level, y up, z level, right-handed (of 2-D layouts z is 0).
        known: ``[R]`` roles that were measured at all.
        right: ``[N, 3]`` level unit vector to the person's right.
        forward: ``[N, 3]`` level unit vector to the front.
        turn: ``[N]`` degrees turned to the left since the first frame.
        frames: ``[N]`` their numbers in the clip.
        fps: frames a second.
        height: the body height in the clip's unit.
        depth: whether the layout has three dimensions.
        swapped: whether the sensor took left for right (`straighten`).
    """

    at: Signal
    known: npt.NDArray[np.bool_]
    right: Signal
    forward: Signal
    turn: Signal
    frames: npt.NDArray[np.int64]
    fps: float
    height: float
    depth: bool
    swapped: bool

    def joint(self, role: str) -> Signal:
        """``[N, 3]``."""
        return self.at[:, row(role)]

    def pair(self, role: str) -> Signal:
        """``[N, 2, 3]``, left and right."""
        return self.at[:, rows(role)]

    def has(self, *roles: str) -> bool:
        """Whether all of these were measured; ``"hand"`` stands for both hands."""
        return all(self.known[rows(r) if r not in ROLES else row(r)].all() for r in roles)

    def own_axes(self, vectors: Signal) -> Signal:
        """``[N, ..., 3]`` in axes of the body as it stands at the time: right, up, forward."""
        basis = np.stack([self.right, np.broadcast_to([0.0, 1.0, 0.0], self.right.shape), self.forward], axis=1)
        return np.einsum("nij,n...j->n...i", basis, vectors)


def bodies(clip: SkeletonClip, limit: Thresholds) -> list[Body | None]:
    """The bodies of a clip by person; None for a person who is never there."""
    found, upright = _readings(clip)
    return [None if f is None else _body(f[0] @ upright.T, f[1], f[2], clip, limit) for f in found]


def straighten(clip: SkeletonClip, limit: Thresholds | None = None) -> npt.NDArray[np.float32]:
    """Joints ``[T, M, V, C]`` with the sensor's two errors taken out: its tilt, and left for right.

    A sensor that looks down sees people lean; a Kinect takes whoever turns the back to it for facing it, so that
    left and right are exchanged and the knees bend backwards. A 2-D clip comes back as it is.
    """
    layout = clip.layout
    if layout.dimension != 3:
        return clip.joints
    found, upright = _readings(clip)
    # A rotation of the axes in `_readings`' order, applied to those of the layout.
    axes = _axes(layout.up)
    turn = np.zeros((3, 3))
    turn[np.ix_(axes, axes)] = upright
    joints = (clip.joints @ turn.T).astype(np.float32)
    for person, reading in enumerate(found):
        if reading is not None:
            at, known, frames = reading
            if _body(at @ upright.T, known, frames, clip, limit or Thresholds()).swapped:
                joints[:, person] = joints[:, person][:, list(layout.mirror)]
    return joints


_Reading = tuple[Signal, npt.NDArray[np.bool_], npt.NDArray[np.int64]]


def _readings(clip: SkeletonClip) -> tuple[list[_Reading | None], Signal]:
    """By person the smoothed joints by role, which were measured, and the frames; and the turn of `_upright`."""
    layout, depth = clip.layout, clip.layout.dimension == 3
    found: list[_Reading | None] = []
    for person in range(clip.num_persons):
        joints = clip.joints[:, person]
        frames = np.flatnonzero(joints.any(axis=(1, 2)))
        if not len(frames):
            found.append(None)
            continue
        at, known = _by_role(joints[frames].astype(np.float64), frames, layout)
        at = at[..., _axes(layout.up)] if depth else _from_image(at, layout.up, known)
        found.append((_smooth(at, clip.fps), known, frames))
    # All persons of a clip stand on one floor.
    return found, _upright([at for at, _, _ in filter(None, found)]) if depth else np.eye(3)


def _axes(up: int) -> list[int]:
    """The layout's axes in the order of `Body.at`; an even permutation keeps the handedness."""
    return [(up + 2) % 3, up, (up + 1) % 3]


def _body(
    at: Signal,
    known: npt.NDArray[np.bool_],
    frames: npt.NDArray[np.int64],
    clip: SkeletonClip,
    limit: Thresholds,
) -> Body:
    depth, fps = clip.layout.dimension == 3, clip.fps
    height = _height(at, known, image=not depth)
    at = at / height
    right, turn = _sideways(at, fps, depth)
    forward = np.stack([right[:, 2], np.zeros(len(right)), -right[:, 0]], axis=1)
    # A foot that stands in for the ankle lies before the shank: the knee would seem to bend backwards.
    knees = depth and {"left_ankle", "right_ankle"} <= set(clip.layout.joint_names)
    swapped = knees and _back_to_front(at, forward, limit)
    if swapped:
        swap = [ROLES.index(_other_side(role)) for role in ROLES]
        at, known, right, forward = at[:, swap], known[swap], -right, -forward
    return Body(at, known, right, forward, turn, frames, fps, height, depth, swapped)


@lru_cache(maxsize=32)
def _options(layout: JointLayout) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """By role, the joints that can make it up, the best first; none where the layout lacks them."""
    names = {name: i for i, name in enumerate(layout.joint_names)}
    return tuple(
        tuple(tuple(names[n] for n in option) for option in _NAMES[role] if all(n in names for n in option))
        for role in ROLES
    )


def _by_role(
    joints: Signal, frames: npt.NDArray[np.int64], layout: JointLayout
) -> tuple[Signal, npt.NDArray[np.bool_]]:
    """Joints by role, gaps filled in time (linearly), roles never measured filled by their neighbors."""
    measured = np.asarray(joints.any(axis=2))
    ever = np.asarray(measured.any(axis=0))
    for j in np.flatnonzero(ever & ~measured.all(axis=0)):
        there = measured[:, j]
        for axis in range(joints.shape[2]):
            joints[:, j, axis] = np.interp(frames, frames[there], joints[there, j, axis])
    at = np.zeros((len(joints), len(ROLES), joints.shape[2]))
    known = np.zeros(len(ROLES), dtype=bool)
    for i, options in enumerate(_options(layout)):
        for option in options:
            if not known[i] and all(ever[j] for j in option):
                at[:, i] = joints[:, option[0]] if len(option) == 1 else joints[:, list(option)].mean(axis=1)
                known[i] = True
    center = joints[:, ever].mean(axis=1)
    for i, unknown in enumerate(~known):
        if unknown:
            at[:, i] = _stand_in(i, at, known, center)
    return at, known


def _stand_in(i: int, at: Signal, known: npt.NDArray[np.bool_], center: Signal) -> Signal:
    role: str | None = ROLES[i]
    for _ in range(len(ROLES)):
        role = _STAND_IN.get(role) if role else None
        if role and known[row(role)]:
            return np.asarray(at[:, row(role)])
    return center


def _from_image(at: Signal, up: int, known: npt.NDArray[np.bool_]) -> Signal:
    """Pixels as x level, y up, z 0. Rows of an image count downwards, unless the head says otherwise."""
    rise = np.median(at[:, row("head"), up] - at[:, rows("ankle"), up].mean(axis=1))
    sign = 1.0 if rise > 0 and known[row("head")] and known[rows("ankle")].all() else -1.0
    return np.stack([at[..., 1 - up], sign * at[..., up], np.zeros(at.shape[:2])], axis=2)


def _smooth(at: Signal, fps: float) -> Signal:
    """Median against jumps of single frames, then a low pass of about 0.15 s."""
    width = 5 if fps >= 25 else 3
    if fps < 8 or len(at) < 3:
        return at
    if len(at) < width:
        width = 3
    half = width // 2
    flat = at.reshape(len(at), -1)
    padded = np.concatenate([np.repeat(flat[:1], half, 0), flat, np.repeat(flat[-1:], half, 0)])
    stacked = np.stack([padded[k : k + len(flat)] for k in range(width)])
    flat = np.partition(stacked, half, axis=0)[half]
    kernel = np.array([1, 4, 6, 4, 1]) / 16 if width == 5 else np.array([1, 2, 1]) / 4
    padded = np.concatenate([np.repeat(flat[:1], half, 0), flat, np.repeat(flat[-1:], half, 0)])
    return np.asarray(sum(w * padded[k : k + len(flat)] for k, w in enumerate(kernel))).reshape(at.shape)


def _height(at: Signal, known: npt.NDArray[np.bool_], image: bool) -> float:
    """Body height from the lengths of head, trunk, thigh and shank; sensors and images rather shorten them."""
    total, share = 0.0, 0.0
    for bones, part in zip((*_SEGMENTS, *_LEGS), _SHARES, strict=True):
        lengths = [
            np.linalg.norm(at[:, row(a)] - at[:, row(b)], axis=1) for a, b in bones if known[row(a)] and known[row(b)]
        ]
        if lengths:
            total += float(np.quantile(np.mean(lengths, axis=0), 0.9 if image else 0.7))
            share += part
    if total > 0:
        return total / share
    return float(np.linalg.norm(np.ptp(at, axis=1), axis=1).max()) or 1.0


def _upright(people: list[Signal]) -> Signal:
    """``[3, 3]``: the least turn of the world that makes people who stand straight vertical.

    It takes the sensor's tilt out; the identity where nobody stands straight.
    """
    axes = []
    for at in people:
        neck, pelvis = at[:, row("neck")], at[:, row("pelvis")]
        hips, knees, ankles = at[:, rows("hip")], at[:, rows("knee")], at[:, rows("ankle")]
        legs = np.linalg.norm(hips - knees, axis=2) + np.linalg.norm(knees - ankles, axis=2)
        stretched = (np.linalg.norm(hips - ankles, axis=2) > 0.93 * legs).all(axis=1)
        foot = ankles.mean(axis=1)
        axis = _unit(neck - foot)
        aligned = (_unit(neck - pelvis) * _unit(pelvis - foot)).sum(axis=1) > 0.96
        axes.append(axis[stretched & aligned & (axis[:, 1] > _UPRIGHT_WITHIN)])
    straight = np.concatenate(axes)
    if len(straight) < 3:
        return np.eye(3)
    x, y, z = _unit(straight.mean(axis=0))
    skew = np.array([[0, -x, 0], [x, 0, z], [0, -z, 0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1 + y))


def _sideways(at: Signal, fps: float, depth: bool) -> tuple[Signal, Signal]:
    """Level unit vector to the right from hips and shoulders, and the degrees turned to the left."""
    across = (at[:, rows("shoulder")] + at[:, rows("hip")])[:, 1] - (at[:, rows("shoulder")] + at[:, rows("hip")])[:, 0]
    across = across * [1.0, 0.0, 1.0]
    if not depth:
        sign = 1.0 if np.median(across[:, 0]) >= 0 else -1.0
        return np.tile([sign, 0.0, 0.0], (len(at), 1)), np.zeros(len(at))
    length = np.linalg.norm(across, axis=1)
    if not (length > 1e-6).any():
        return np.tile([1.0, 0.0, 0.0], (len(at), 1)), np.zeros(len(at))
    across = _average(across, max(1, round(0.15 * fps)))
    length = np.linalg.norm(across, axis=1)
    # A line that all but vanishes has no direction: the last good one stays.
    good = np.flatnonzero(length > 0.25 * np.median(length))
    if not len(good):
        good = np.array([int(length.argmax())])
    last = good[np.clip(np.searchsorted(good, np.arange(len(at)), side="right") - 1, 0, None)]
    right = across[last] / length[last, None]
    angle = np.unwrap(np.arctan2(-right[:, 2], right[:, 0]))
    return right, np.rad2deg(angle - angle[0])


def _back_to_front(at: Signal, forward: Signal, limit: Thresholds) -> bool:
    """Whether left and right are mixed up: a Kinect takes whoever turns the back to it for facing it.

    Knees bend to the front only. If they bend backwards by far, and the more so if the person walks
    backwards, then what the sensor calls the front is the back.
    """
    hips, knees, ankles = at[:, rows("hip")], at[:, rows("knee")], at[:, rows("ankle")]
    leg = _unit(ankles - hips)
    aside = (knees - hips) - ((knees - hips) * leg).sum(axis=2, keepdims=True) * leg
    ahead = (aside * forward[:, None]).sum(axis=2)
    ahead = np.where(np.abs(ahead) > limit.knee_noise, ahead, 0.0)
    front = float(np.maximum(ahead, 0).sum()) / len(at)
    each = np.maximum(-ahead, 0).sum(axis=0) / len(at)
    back = float(each.sum())
    moved = at[-1, row("pelvis")] - at[0, row("pelvis")]
    walked = float(moved @ _unit(forward.mean(axis=0)))
    if walked > limit.travel[1] or back <= 2 * front:
        return False
    if walked < -limit.travel[1]:
        return back >= limit.knees_back[1]
    # One knee alone is a joint out of place.
    return back >= limit.knees_back[0] and float(each.min()) >= limit.knee_each


def _other_side(role: str) -> str:
    side, _, joint = role.partition("_")
    return {"left": f"right_{joint}", "right": f"left_{joint}"}.get(side, role)


def _average(values: Signal, reach: int) -> Signal:
    """Running mean over ``reach`` frames to either side."""
    padded = np.concatenate([np.repeat(values[:1], reach, 0), values, np.repeat(values[-1:], reach, 0)])
    total = np.concatenate([np.zeros((1, values.shape[1])), padded.cumsum(axis=0)])
    return np.asarray((total[2 * reach + 1 :] - total[: -2 * reach - 1]) / (2 * reach + 1))


def _unit(vectors: Signal) -> Signal:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9))
