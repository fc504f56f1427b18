"""What the whole body does: posture and its changes, bending, travel, turning, jumps; and two people together."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sugar.facts.body_frame import Body, Signal, row, rows
from sugar.facts.claims import VALUES
from sugar.facts.swings import count_swings
from sugar.facts.thresholds import Thresholds

POSTURES = VALUES["posture"]
_STANDING, _SITTING, _SQUATTING, _KNEELING, _LYING = range(5)


@dataclass(frozen=True)
class BodyFacts:
    """One person's trunk and legs, in body heights, degrees and seconds.

    Args:
        postures: the postures taken one after the other; none where the legs were not measured.
        shares: share of the frames in each of `POSTURES`.
        forward, back, left, right: farthest bend of the trunk to that side; 0 while lying.
        knees: farthest flexion of both knees at a time; knees_change: less the least.
        way: farthest distance from where the person started; path: the way on the floor.
        ahead, aside: where the person ends, forward and to the right as seen at the start.
        turned: degrees to the left between start and end.
        jumps: flights; lift: the highest.
        repeats, rate: swings of the trunk.
        speed: top speed of the trunk.
        sway: extent of the trunk's path.
    """

    postures: tuple[str, ...]
    shares: tuple[float, ...]
    forward: float
    back: float
    left: float
    right: float
    knees: float
    knees_change: float
    way: float
    path: float
    ahead: float
    aside: float
    turned: float
    jumps: int
    lift: float
    repeats: int
    rate: float
    speed: float
    sway: float

    def mirrored(self) -> "BodyFacts":
        """The same of the clip seen in a mirror."""
        return replace(self, left=self.right, right=self.left, aside=-self.aside, turned=-self.turned)


@dataclass(frozen=True)
class PairFacts:
    """Two people, in body heights of the two on average.

    Args:
        start, end: their distance at both ends; least, most: its range.
        hands: least distance of one's hand from the other's.
        embrace: the least, over time, of the larger of their two distances of both hands to the other's trunk.
        pushes: how far each is moved away from the other after a hand met the trunk.
    """

    start: float
    end: float
    least: float
    most: float
    hands: float
    embrace: float
    pushes: tuple[float, float]


def measure_body(body: Body, limit: Thresholds) -> BodyFacts:
    """All facts of `BodyFacts`."""
    trunk = body.own_axes(body.joint("neck") - body.joint("pelvis"))
    neck, pelvis = body.joint("neck"), body.joint("pelvis")
    flexion = _flexion(body)
    kinds = _postures(body, trunk, flexion, limit)
    # Bends as angles from the vertical; someone who lies does not bend.
    axis = trunk / np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)
    axis = np.where((kinds == _LYING)[:, None], [0.0, 1.0, 0.0], axis)
    front = np.rad2deg(np.arctan2(axis[:, 2], axis[:, 1]))
    side = np.rad2deg(np.arcsin(np.clip(axis[:, 0], -1, 1)))
    # Where a sensor puts the pelvis leans the trunk by some degrees: it bends from how it stands.
    stands = (kinds == _STANDING) & (np.abs(front) < limit.upright) & (flexion < limit.upright)
    if stands.sum() >= 3:
        front = front - np.clip(np.median(front[stands]), -limit.own_lean, limit.own_lean)
    # People bend so far to the front alone: what leaves it askew is where the sensor takes the front to be.
    far = np.rad2deg(np.arccos(np.clip(axis[:, 1], -1, 1)))
    front = np.where((far > limit.bend_far) & (front > limit.bend_askew), far, front)
    way, path, ahead, aside = _travel(body)
    lag = max(1, round(0.15 * body.fps))
    ends = min(lag, len(neck))
    jumps, lift = _jumps(body, limit)
    repeats, rate, _ = count_swings([pelvis[:, 1], trunk[:, 2], trunk[:, 0]], np.zeros(1), limit, body.fps)
    step = neck[lag:] - neck[:-lag] if len(neck) > lag else np.zeros((1, 3))
    return BodyFacts(
        postures=_in_turn(kinds, limit, body.fps) if body.has("hip", "knee", "ankle") else (),
        shares=tuple((np.bincount(kinds, minlength=5) / len(kinds)).tolist()),
        forward=float(front.max()),
        back=float(-front.min()),
        left=float(-side.min()),
        right=float(side.max()),
        knees=float(flexion.max()),
        knees_change=float(np.ptp(flexion)),
        way=way,
        path=path,
        ahead=ahead,
        aside=aside,
        turned=float(body.turn[-ends:].mean() - body.turn[:ends].mean()),
        jumps=jumps,
        lift=lift,
        repeats=jumps or repeats,
        rate=rate,
        speed=float(np.linalg.norm(step, axis=1).max() * body.fps / lag),
        sway=float(np.linalg.norm(np.ptp(neck, axis=0))),
    )


def _flexion(body: Body) -> Signal:
    """Degrees by which the less bent of both knees is bent: ``[N]``."""
    thigh = body.pair("knee") - body.pair("hip")
    shank = body.pair("ankle") - body.pair("knee")
    length = np.linalg.norm(thigh, axis=2) * np.linalg.norm(shank, axis=2)
    cosine = (thigh * shank).sum(axis=2) / np.maximum(length, 1e-9)
    return np.asarray(np.rad2deg(np.arccos(np.clip(np.where(length > 1e-9, cosine, 1), -1, 1))).min(axis=1))


def _postures(body: Body, trunk: Signal, flexion: Signal, limit: Thresholds) -> npt.NDArray[np.int64]:
    """Index into `POSTURES` of every frame."""
    hips, knees, ankles = body.pair("hip"), body.pair("knee"), body.pair("ankle")
    # An image shortens the thigh of a seated person: their length is that of the clip.
    thigh, shank = (np.quantile(np.linalg.norm(x, axis=2), 0.9) for x in (hips - knees, knees - ankles))
    floor = np.quantile(body.pair("foot")[..., 1].min(axis=1), 0.1)
    uprights = (hips - knees)[..., 1] / max(thigh, 1e-9)
    kinds = np.full(len(hips), _STANDING)
    # One thigh alone is raised in a kick or a step.
    thighs = uprights.mean(axis=1)
    low = (thighs < limit.thigh) | ((thighs < limit.either_thigh) & (flexion > limit.seat_knees))
    low &= uprights.max(axis=1) < limit.either_thigh
    kinds[low] = _SQUATTING
    behind = body.own_axes(ankles - knees)[..., 2] < -0.3 * shank if body.depth else np.ones((len(hips), 2), bool)
    down = (knees[..., 1] - floor < limit.knee_down) & ((knees - ankles)[..., 1] < 0.5 * shank) & behind
    kinds[down.any(axis=1) & (hips[..., 1].mean(axis=1) > knees[..., 1].min(axis=1))] = _KNEELING
    neck = body.joint("neck")
    flat = np.abs(trunk[:, 1]) < 0.55 * np.maximum(np.linalg.norm(trunk, axis=1), 1e-9)
    kinds[flat & low & (neck[:, 1] - ankles[..., 1].mean(axis=1) < limit.lying)] = _LYING
    ahead = (body.own_axes(ankles - hips)[..., 2]).mean(axis=1) if body.depth else np.ones(len(hips))
    return _seats(kinds, body, ahead, limit)


def _seats(kinds: npt.NDArray[np.int64], body: Body, ahead: Signal, limit: Thresholds) -> npt.NDArray[np.int64]:
    """Tell sitting from squatting: who sits rests on something, upright, with the feet in front."""
    height = body.joint("pelvis")[:, 1]
    for begin, end in runs(kinds == _SQUATTING):
        at_rest = np.flatnonzero(height[begin:end] < height[begin:end].min() + 0.04) + begin
        seconds = (at_rest[-1] - at_rest[0] + 1) / body.fps
        open_end = begin == 0 or end == len(kinds)
        if (open_end or seconds >= limit.seat_rest) and np.median(ahead[at_rest]) > limit.ankle_ahead:
            kinds[begin:end] = _SITTING
    return kinds


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of every stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _in_turn(kinds: npt.NDArray[np.int64], limit: Thresholds, fps: float) -> tuple[str, ...]:
    """The postures one after the other without those held for a moment only."""
    least = min(limit.brief * fps, len(kinds) / 3)
    found: list[str] = []
    changes = np.flatnonzero(np.diff(kinds)) + 1
    for begin, end in zip([0, *changes.tolist()], [*changes.tolist(), len(kinds)], strict=True):
        name = POSTURES[kinds[begin]]
        if end - begin >= least and (not found or found[-1] != name):
            found.append(name)
    return tuple(found or [POSTURES[int(np.bincount(kinds).argmax())]])


def _travel(body: Body) -> tuple[float, float, float, float]:
    """Farthest distance from the start, way, and the end as ahead and to the right of the start."""
    level = np.array([1.0, 0.0, 1.0])
    reach = max(1, round(0.2 * body.fps))
    places = [body.joint("pelvis") * level, body.pair("ankle").mean(axis=1) * level]
    ends = min(reach, len(places[0]))
    moved = [p - p[:ends].mean(axis=0) for p in places]
    far = [np.linalg.norm(p, axis=1) for p in moved]
    # Who sits down moves the pelvis only, who lifts a leg the ankles only.
    least = np.minimum(far[0], far[1])
    track = moved[0] if far[0].max() <= far[1].max() else moved[1]
    steps = track[::reach]
    path = float(np.linalg.norm(np.diff(steps, axis=0), axis=1).sum()) if len(steps) > 1 else 0.0
    end = track[-ends:].mean(axis=0)
    right, forward = body.right[:ends].mean(axis=0), body.forward[:ends].mean(axis=0)
    return float(least.max()), path, float(end @ forward), float(end @ right)


def _jumps(body: Body, limit: Thresholds) -> tuple[int, float]:
    """Flights and the highest: both feet off the floor for a moment while hips, neck and head rise and fall."""
    joints = [body.pair("foot")[..., 1], body.pair("ankle")[..., 1]]
    lift = np.min([(y - np.quantile(y, 0.2, axis=0)).min(axis=1) for y in joints], axis=0)
    hips, neck, head = body.pair("hip").mean(axis=1), body.joint("neck"), body.joint("head")
    trunk = np.stack([hips[:, 1], neck[:, 1], head[:, 1]], axis=1)
    flights = []
    for begin, end in runs(lift > limit.jump[1] / 2):
        if begin == 0 or end == len(lift) or end - begin > limit.flight * body.fps:
            continue
        ground = np.maximum(trunk[max(begin - 2, 0)], trunk[min(end + 1, len(lift) - 1)])
        rise = (trunk[begin:end].max(axis=0) - ground).min()
        flights.append(min(float(lift[begin:end].max()), limit.jump_rise * float(rise)))
    return sum(flight >= limit.jump[0] for flight in flights), max(flights, default=0.0)


def measure_pair(first: Body, second: Body, limit: Thresholds) -> PairFacts | None:
    """Facts of two people in the frames that have both; None where there is none."""
    _, one, two = np.intersect1d(first.frames, second.frames, return_indices=True)
    if not len(one):
        return None
    unit = (first.height + second.height) / 2
    people = [first.at[one] * (first.height / unit), second.at[two] * (second.height / unit)]
    # Neck, chest, waist and pelvis: what a hand that touches the trunk is near to.
    spines = [
        p[:, [row("neck")]] + np.linspace(0, 1, 4)[:, None] * (p[:, [row("pelvis")]] - p[:, [row("neck")]])
        for p in people
    ]
    hands = [p[:, rows("hand")] for p in people]
    centers = [s.mean(axis=1) * [1.0, 0.0, 1.0] for s in spines]
    apart = np.linalg.norm(centers[0] - centers[1], axis=1)
    reach = [_nearest(hands[i], spines[1 - i]) for i in (0, 1)]
    hold = np.maximum(apart / 2, np.maximum(reach[0].mean(axis=1), reach[1].mean(axis=1)))
    ends = min(len(apart), max(1, round(0.2 * first.fps)))
    return PairFacts(
        start=float(apart[:ends].mean()),
        end=float(apart[-ends:].mean()),
        least=float(apart.min()),
        most=float(apart.max()),
        hands=float(_nearest(hands[0], hands[1]).min()),
        embrace=float(hold.min()),
        pushes=(
            _pushed(centers[0], centers[1], reach[1].min(axis=1), limit),
            _pushed(centers[1], centers[0], reach[0].min(axis=1), limit),
        ),
    )


def _nearest(points: Signal, others: Signal) -> Signal:
    """Distance of each point ``[N, K, 3]`` to the nearest of the others ``[N, L, 3]``: ``[N, K]``."""
    return np.asarray(np.linalg.norm(points[:, :, None] - others[:, None], axis=3).min(axis=2))


def _pushed(who: Signal, other: Signal, touch: Signal, limit: Thresholds) -> float:
    """How far somebody moves away from the other after the other's hand touched the trunk."""
    near = np.flatnonzero(touch < limit.touch[1])
    if not len(near):
        return 0.0
    begin = int(near[0])
    away = who[begin] - other[begin]
    away = away / max(float(np.linalg.norm(away)), 1e-9)
    return float(((who[begin:] - who[begin]) @ away).max())
