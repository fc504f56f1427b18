"""The ways of hands and feet: how far, how high, in which direction, in what shape, how often, how fast."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sugar.facts.body_frame import Body, Signal, row, rows
from sugar.facts.swings import count_swings, least_swing, turning_points
from sugar.facts.thresholds import Thresholds

# Boundaries between the levels of `sugar.facts.claims.HEIGHTS` lie between the heights of two joints.
_BETWEEN = np.array([0.5, 0.4, 0.5, 0.5, 0.5])


@dataclass(frozen=True)
class PathFacts:
    """The shape of one path, in body heights and seconds, in axes of the body: outward, up, forward.

    Args:
        strokes: longest stroke within half a second along outward, up, forward and against each.
        leads: for each axis, 1 if it goes along it only from the start, -1 if against it only, 0 if both alike.
        turning: degrees by which it turns, clockwise as the person sees it; without about-turns.
        sense: share of that in all turning.
        width: of its turns the lesser width, that as a share of the greater, and how round they are (about 0.9 a
            circle, 0.55 a triangle).
        bulge: how far the way out, or the strokes of its swings, leave a straight line, as a share of their length.
        repeats: swings; 1 is a single movement, 0 none.
        rate: swings a second.
        swing_axis: 0 outward, 1 up, 2 forward.
        work: its length while the limb is in action, away from its start.
    """

    strokes: tuple[float, float, float, float, float, float] = (0.0,) * 6
    leads: tuple[float, float, float] = (0.0,) * 3
    turning: float = 0.0
    sense: float = 0.0
    width: tuple[float, float, float] = (0.0,) * 3
    bulge: float = 1.0
    repeats: int = 0
    rate: float = 0.0
    swing_axis: int = 0
    work: float = 0.0


@dataclass(frozen=True)
class LimbFacts:
    """One hand or foot, in body heights and seconds, in axes of the body: outward, up, forward.

    Args:
        known: whether its joint was measured.
        extent: diagonal of the box that holds its path against the body (feet: against the floor).
        start: level at the start, an index of HEIGHTS.
        highest, lowest: range of the level at the top and the low point of its path, margin included.
        top, bottom: that level without margin.
        rise, fall: its way up and down from the start.
        ranges: extent along outward, up, forward.
        innermost: how far outward of the midline it is at its innermost.
        speed: top speed.
        path: its shape; that of a limb that does not move is empty.
    """

    known: bool
    extent: float
    start: int
    highest: tuple[int, int]
    lowest: tuple[int, int]
    top: int
    bottom: int
    rise: float
    fall: float
    ranges: tuple[float, float, float]
    innermost: float
    speed: float
    path: PathFacts

    @property
    def repeats(self) -> int:
        return self.path.repeats

    def mirrored(self) -> "LimbFacts":
        """The other side's limb of the same clip seen in a mirror."""
        return replace(self, path=replace(self.path, turning=-self.path.turning))


@dataclass(frozen=True)
class HandsFacts:
    """The two hands beside each other, in body heights.

    Args:
        closest: their least distance; met: how much it is less than the largest one before it.
        parted: how much their distance grows from a least to a later one.
        near: the distance from which that growth starts.
        crossed: how far each is beyond the other at most.
        together: correlation of their velocities, or of one with the mirror image of the other.
    """

    closest: float
    met: float
    parted: float
    near: float
    crossed: float
    together: float


def limbs(body: Body, limit: Thresholds) -> tuple[tuple[LimbFacts, LimbFacts], tuple[LimbFacts, LimbFacts], HandsFacts]:
    """Facts of the left and right hand, of the left and right foot, and of the two hands beside each other."""
    shoulders = body.pair("shoulder").mean(axis=1)[:, None]
    hands = body.own_axes(body.pair("hand") - shoulders)
    floor = np.array([0.0, np.quantile(body.pair("foot")[..., 1].min(axis=1), 0.1), 0.0])
    pelvis = (body.joint("pelvis") * [1.0, 0.0, 1.0])[:, None]
    feet = body.own_axes(body.pair("foot") - pelvis - floor)
    world = np.concatenate([body.pair("hand"), body.pair("foot")], axis=1)
    local = np.concatenate([hands, feet], axis=1)
    local[:, [0, 2], 0] *= -1  # outward is left of the left limbs

    gap = np.linalg.norm(world[:, 0] - world[:, 1], axis=1)
    extents = np.concatenate([_hand_extents(body, hands), _extent(world[:, 2:])])
    # A foot is as high as its ankle: toes hang.
    heights = np.concatenate([world[:, :2, 1], body.pair("ankle")[..., 1]], axis=1)
    levels = _levels(heights, body, limit.level_margin)
    lead = max(1, round(0.1 * body.fps))
    moved = np.concatenate([local[:, :2], world[:, 2:]], axis=1)
    moved = moved - moved[:lead].mean(axis=0)
    speeds = _top_speeds(local, body.fps)
    start = heights[:lead].mean(axis=0)
    found = []
    for i in range(4):
        moves = extents[i] >= (limit.moves if i < 2 else limit.foot_moves)[1]
        found.append(
            LimbFacts(
                known=bool(body.known[rows("hand" if i < 2 else "foot")[i % 2]]),
                extent=float(extents[i]),
                start=int(np.median(levels[1, :lead, i])),
                highest=(int(levels[0, :, i].max()), int(levels[2, :, i].max())),
                lowest=(int(levels[0, :, i].min()), int(levels[2, :, i].min())),
                top=int(levels[1, :, i].max()),
                bottom=int(levels[1, :, i].min()),
                rise=float(heights[:, i].max() - start[i]),
                fall=float(start[i] - heights[:, i].min()),
                ranges=_three(np.ptp(local[:, i], axis=0)),
                innermost=float(local[:, i, 0].min()),
                speed=float(speeds[i]),
                path=_path(local[:, i], moved[:, i], i % 2 == 0, body.fps, limit) if moves else PathFacts(),
            )
        )
    return (found[0], found[1]), (found[2], found[3]), _beside(body, hands, gap)


def _path(local: Signal, moved: Signal, left: bool, fps: float, limit: Thresholds) -> PathFacts:
    """The shape of one path ``[N, 3]``; ``moved``: how far from its start, of feet against the floor."""
    away = np.linalg.norm(moved, axis=1)
    core = _core(away, limit.core)
    inside = local[core]
    window = max(1, round(0.5 * fps))
    along, against = _strokes(inside, window)
    # Hands are raised before and lowered after what they do: that counts for up and down alone.
    rises, falls = _strokes(local, window)
    along[1], against[1] = rises[1], falls[1]
    begin = local[: max(1, round(0.1 * fps))].mean(axis=0)
    out, back = local.max(axis=0) - begin, begin - local.min(axis=0)
    repeats, rate, axis = count_swings([inside[:, k] for k in range(3)], _outwards(moved), limit, fps)
    turns, _ = turning_points(inside[:, axis], least_swing(inside[:, axis], limit))
    wide = local[_core(away, limit.circle_core)]
    turning, sense, width = _turning(wide, left, limit)
    if repeats > abs(turning) / 360 + limit.circle_swings:
        turning, sense = 0.0, 0.0
    if is_circle(turning, sense, width, limit, says=True):
        # Each turn goes once to and fro aside, the way to the circle and back does not.
        _, ends = turning_points(wide[:, 0], limit.swing[0])
        halves = np.abs(np.diff(ends))
        repeats = max(1, round(float(halves.sum() / (2 * halves.max())))) if len(halves) else 1
        rate = repeats * fps / len(wide)
    return PathFacts(
        strokes=(*_three(along), *_three(against)),
        leads=_three((out - back) / np.maximum(out + back, 1e-9)),
        turning=turning,
        sense=sense,
        width=width,
        bulge=min(_bulge(local, [_way_out(away)]), _bulge(inside, list(pairwise(turns)))),
        repeats=repeats,
        rate=rate,
        swing_axis=axis,
        work=float(np.linalg.norm(np.diff(inside, axis=0), axis=1).sum()),
    )


def _hand_extents(body: Body, hands: Signal) -> Signal:
    """Way of each hand against the shoulders.

    The lesser of two views, with axes of the room and with axes of the trunk: neither hands that hang while
    the trunk bends nor hands that bend with it take part by that.
    """
    trunk = body.own_axes(body.joint("neck") - body.joint("pelvis"))
    axis = trunk / np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)
    right = np.array([1.0, 0.0, 0.0]) - axis * axis[:, :1]
    right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-9)
    front = np.cross(right, axis)
    leaning = np.einsum("nij,nkj->nki", np.stack([right, axis, front], axis=1), hands)
    return np.minimum(_extent(hands), _extent(leaning))


def _extent(paths: Signal) -> Signal:
    """Diagonal of the box that holds each path ``[N, K, 3]``: ``[K]``."""
    return np.asarray(np.linalg.norm(np.ptp(paths, axis=0), axis=1))


def _three(values: Signal) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _levels(heights: Signal, body: Body, margin: float) -> npt.NDArray[np.int64]:
    """``[3, N, 4]``: level of each height ``[N, 4]`` less the margin, as it is, and with the margin."""
    y = body.at[..., 1]
    feet = y[:, rows("foot")].min(axis=1)
    floor = np.minimum(feet, np.quantile(feet, 0.1) + 0.05)
    trunk, neck = (
        float(np.median(np.linalg.norm(body.joint(a) - body.joint(b), axis=1)))
        for a, b in (("neck", "pelvis"), ("head", "neck"))
    )
    # Kinect v1 puts the pelvis above the hips, later sensors between them.
    hip = (y[:, row("pelvis")] + y[:, rows("hip")].mean(axis=1)) / 2
    shoulder = y[:, row("pelvis")] + trunk
    knee = np.minimum(y[:, rows("knee")].min(axis=1), hip)
    joints = np.stack([floor, knee, hip, hip + 0.7 * (shoulder - hip), shoulder, shoulder + neck], axis=1)
    bounds = joints[:, :-1] + _BETWEEN * (joints[:, 1:] - joints[:, :-1])
    bounds = np.concatenate([bounds, joints[:, -1:] + 0.4 * neck], axis=1)
    shifted = heights + np.array([-margin, 0, margin])[:, None, None]
    return np.asarray((shifted[..., None] > bounds[None, :, None]).sum(axis=-1))


def _strokes(path: Signal, window: int) -> tuple[Signal, Signal]:
    """Longest way of a path ``[N, 3]`` along and against each axis within ``window`` frames: ``[3]`` each."""
    window = min(window, len(path))
    padded = np.concatenate([path, np.repeat(path[-1:], window, axis=0)])
    ahead = np.lib.stride_tricks.sliding_window_view(padded, window + 1, axis=0) - path[..., None]
    return ahead.max(axis=(0, 2)), -ahead.min(axis=(0, 2))


def _top_speeds(paths: Signal, fps: float) -> Signal:
    """Highest speed of each path ``[N, K, 3]`` over a tenth of a second: ``[K]``."""
    lag = min(max(1, round(0.1 * fps)), len(paths) - 1)
    if lag < 1:
        return np.zeros(paths.shape[1])
    return np.asarray(np.linalg.norm(paths[lag:] - paths[:-lag], axis=2).max(axis=0) * fps / lag)


def _core(away: Signal, share: float) -> slice:
    """The frames from the first to the last in which it is more than a share of its farthest away from its start."""
    far = np.flatnonzero(away > share * away.max())
    return slice(int(far[0]), int(far[-1]) + 1) if len(far) else slice(0, len(away))


def _bulge(path: Signal, strokes: list[tuple[int, int]]) -> float:
    """Median over the strokes of how far each leaves the line between its ends, as a share of its length."""
    shares = []
    for begin, end in strokes:
        chord = path[end] - path[begin]
        length = float(np.linalg.norm(chord))
        offset = path[begin : end + 1] - path[begin]
        aside = offset - np.outer(offset @ chord, chord) / max(length, 1e-9) ** 2
        shares.append(float(np.linalg.norm(aside, axis=1).max()) / max(length, 1e-9))
    return float(np.median(shares)) if shares else 1.0


def _outwards(moved: Signal) -> Signal:
    """Way from the start ``[N, 3]`` toward the farthest point: ``[N]``."""
    far = moved[int(np.linalg.norm(moved, axis=1).argmax())]
    return np.asarray(moved @ far / max(float(np.linalg.norm(far)), 1e-9))


def _way_out(away: Signal) -> tuple[int, int]:
    """From the last frame near the start to the farthest."""
    far = int(away.argmax())
    near = np.flatnonzero(away[:far] < 0.15 * away[far])
    return (int(near[-1]) if len(near) else 0), far


def _turning(path: Signal, left: bool, limit: Thresholds) -> tuple[float, float, tuple[float, float, float]]:
    """Turning of a path in axes outward, up, forward: degrees clockwise, share in one sense, width.

    A path is seen by the person: from behind when it is upright, from above when it is level, from below when
    it is over the head. ``left``: outward is to the left.
    """
    steps = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
    marks = np.arange(0, steps[-1], max(limit.circle_step, steps[-1] / 60))
    if len(marks) < 6:
        return 0.0, 0.0, (0.0, 0.0, 0.0)
    # Even steps along the way: a hand that lingers trembles, it does not turn.
    rest = np.stack([np.interp(marks, steps, path[:, axis]) for axis in range(3)], axis=1)
    over_head = rest[:, 1].mean() > 0.15
    rest = rest - rest.mean(axis=0)
    u, f = rest[:, 1], rest[:, 2]
    angle = 0.5 * np.arctan2(2 * (u * f).mean(), (u * u).mean() - (f * f).mean())
    steep = abs(np.cos(angle)) >= abs(np.sin(angle))
    sign = np.cos(angle) if steep else np.sin(angle) * (-1 if over_head else 1)
    across = -rest[:, 0] if left else rest[:, 0]
    above = (1 if sign >= 0 else -1) * (np.cos(angle) * u + np.sin(angle) * f)
    step = np.stack([np.diff(across), np.diff(above)], axis=1)
    bend = np.arctan2(step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0], (step[:-1] * step[1:]).sum(axis=1))
    bend[np.abs(bend) > np.deg2rad(limit.circle_reversal)] = 0.0
    begin, end = _longest_turn(bend)
    total = float(np.abs(bend[begin:end]).sum())
    turned = float(bend[begin:end].sum())
    # Of the steps between alone: the ways to the circle and back turn as they like.
    across, above = (x - (x.max() + x.min()) / 2 for x in (across[begin : end + 2], above[begin : end + 2]))
    wide, high = max(float(np.ptp(across)), 1e-9), max(float(np.ptp(above)), 1e-9)
    near, far = np.quantile(np.hypot(across / wide, above / high), [0.25, 0.9])
    share = abs(turned) / total if total > 0 else 0.0
    size = min(wide, high)
    return -float(np.rad2deg(turned)), share, (size, size / max(wide, high), float(near / max(far, 1e-9)))


def _longest_turn(bend: Signal) -> tuple[int, int]:
    """Begin and end of the stretch that turns farthest in one sense on the whole."""
    total = np.concatenate([[0.0], bend.cumsum()])
    best, found = 0.0, (0, len(bend))
    for sign in (1.0, -1.0):
        course = sign * total
        growth = course - np.minimum.accumulate(course)
        end = int(growth.argmax())
        if growth[end] > best:
            best, found = float(growth[end]), (int(course[: end + 1].argmin()), end)
    return found


def is_circle(turning: float, sense: float, width: tuple[float, float, float], limit: Thresholds, says: bool) -> bool:
    """Whether turns as measured make a circle; ``says``: one fit to be claimed."""
    k = 0 if says else 1
    wide = width[0] >= limit.circle_size[0] and width[1] >= limit.circle_size[1] and width[2] >= limit.circle_round[k]
    return wide and sense >= limit.circle_sense and abs(turning) >= limit.circle_turn[k]


def _beside(body: Body, hands: Signal, gap: Signal) -> HandsFacts:
    """``hands`` in axes of the body, ``gap`` their distance."""
    closest = int(gap.argmin())
    growth = gap - np.minimum.accumulate(gap)
    parted = int(growth.argmax())
    lag = min(max(1, round(0.1 * body.fps)), len(gap) - 1)
    together = 0.0
    if lag >= 1:
        step = hands[lag:] - hands[:-lag]
        power = float(np.sqrt((step[:, 0] ** 2).sum() * (step[:, 1] ** 2).sum()))
        if power > 1e-9:
            product = (step[:, 0] * step[:, 1]).sum(axis=0)
            together = float(max(product.sum(), product @ [-1.0, 1.0, 1.0])) / power
    return HandsFacts(
        closest=float(gap[closest]),
        met=float(gap[: closest + 1].max() - gap[closest]),
        parted=float(growth[parted]),
        near=float(gap[: parted + 1].min()),
        crossed=float((hands[:, 0, 0] - hands[:, 1, 0]).max()),
        together=together,
    )
