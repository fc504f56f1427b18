"""Programs of actions of two people who face each other.

Each has axes of its own: the place where it first stands, its front along -z. What lies ``d`` meters ahead of
the one and ``e`` ahead of the other is one place if the two first stand ``d + e`` apart.
"""

import numpy as np
import numpy.typing as npt

from sugar.datasets.synthetic.actions import PairAction
from sugar.datasets.synthetic.hands import hand
from sugar.datasets.synthetic.motion import SIDES, Curve, Motion, Side, beats, hold, ramp


def _come(m: Motion, meters: float, start: float, stop: float) -> None:
    """Step forward, or back if negative, and set the feet side by side."""
    length = meters / m.height
    count = max(2, round(abs(length) / 0.22) + 1)
    span = (stop - start) / count
    for k in range(count):
        side = m.side if k % 2 == 0 else m.other
        share = (0.5 if k in (0, count - 1) else 1) * 2 / (count - 1)
        m.step(side, start + k * span, start + (k + 0.95) * span, 0, -length * share)
    m.feet_act = set(SIDES)
    m.say("body", "travels", "forward" if meters > 0 else "back")


def _meet(a: Motion, b: Motion, until: float) -> tuple[float, float]:
    """Let one, the other or both come near, or neither: how many meters each has moved by ``until``."""
    way = a.rng.uniform(0.5, 0.9) if a.rng.random() < 0.6 else 0.0
    who = a.rng.integers(3)
    ways = way * (1.0, 0.0, 0.5)[who], way * (0.0, 1.0, 0.5)[who]
    for m, part in zip((a, b), ways, strict=True):
        if part:
            _come(m, part, 0.03, until)
        else:
            m.say("body", "travels", "nowhere")
    a.say("people", "distance", "closer" if way else "near")
    return ways


def _hold_out(m: Motion, side: Side, place: npt.ArrayLike, share: Curve) -> None:
    """Stretch a hand toward a place in meters."""
    m.arm(side, share, **{"raise": 40}, plane=15, roll=10, elbow=50)
    m.reach(side, "place", np.asarray(place) / m.height, share)
    m.add("hinge", m.rng.uniform(2, 7) * share)
    m.hands_act.add(side)


def _shake_hands(a: Motion, b: Motion) -> float:
    near = a.rng.uniform(0.4, 0.46) * min(a.height, b.height)
    ways = _meet(a, b, 0.36)
    side: Side = "right" if a.rng.random() < 0.9 else "left"
    level = 0.58 * (a.height + b.height) / 2
    pump = a.rng.uniform(0.03, 0.06) * (beats(a.time, a.repetitions, 0.46, 0.8) - 0.3)
    share = hold(a.time, 0.24, 0.44, 0.82, 0.98)
    for m, way in ((a, ways[0]), (b, ways[1])):
        place = pump[:, None] * (0, 1, 0) + (0.012, level, -(way + near / 2 - 0.01))
        _hold_out(m, side, place, share)
    a.say("people", "contact", "hands")
    return near + sum(ways)


def _pass_object(a: Motion, b: Motion) -> float:
    near = a.rng.uniform(0.42, 0.48) * min(a.height, b.height)
    ways = _meet(a, b, 0.34)
    level = a.rng.uniform(0.6, 0.66) * (a.height + b.height) / 2
    given = a.rng.uniform(0.52, 0.6)
    both = a.rng.random() < 0.3
    for m, way, begins, ends in ((a, ways[0], 0.26, given + 0.3), (b, ways[1], 0.32, given + 0.34)):
        share = hold(m.time, begins, given - 0.03, given + 0.05, ends)
        # What one holds, it holds before the body: the giver until then, the taker from then on.
        holds = 1 - ramp(m.time, given, 0.95) if m is a else ramp(m.time, given, 0.9)
        # With both hands the giver's are at the sides of the object, the taker's outside of them.
        aside = 0.01 if not both else 0.05 if m is a else 0.09
        for side in SIDES if both else (m.side,):
            m.arm(side, holds, **{"raise": 14}, plane=30, roll=25, elbow=m.rng.uniform(75, 100))
            _hold_out(m, side, (aside, level, -(way + near / 2 - 0.012)), share)
    a.say("people", "contact", "hands")
    return near + sum(ways)


def _hug(a: Motion, b: Motion) -> float:
    near = a.rng.uniform(0.36, 0.42)
    way = a.rng.uniform(0.5, 0.9)
    half = a.rng.random() < 0.5
    ways = (way / 2, way / 2) if half else (way, 0.0)
    stays = a.rng.random() < 0.6
    close = hold(a.time, 0.25, 0.58, 1.1 if stays else 0.82, 1.2 if stays else 0.98)
    over = a.rng.random() < 0.5
    for m, other, own, above in ((a, b, ways[0], over), (b, a, ways[1], not over)):
        if own:
            _come(m, own, 0.03, 0.5)
        else:
            m.say("body", "travels", "nowhere")
        level = (0.76 if above else 0.66) * other.height
        for side in SIDES:
            m.arm(side, close, **{"raise": 75}, plane=30, roll=20, elbow=35)
            place = (m.rng.uniform(-0.02, 0.06), level, -(own + near + m.rng.uniform(0.02, 0.05)))
            m.reach(side, "place", np.asarray(place) / m.height, close, elbow=(1, 0.1 if above else -0.6, 0))
        m.hands_act = set(SIDES)
        m.add("hinge", m.rng.uniform(7, 11) * close)
        m.add("lean", m.rng.uniform(5, 9) * close)
    a.say("people", "contact", "embrace")
    a.say("people", "distance", "closer")
    return near + way


def _push_person(a: Motion, b: Motion) -> float:
    near = a.rng.uniform(0.35, 0.39) * a.height
    struck = a.rng.uniform(0.36, 0.44)
    ready = hold(a.time, 0.03, 0.2, struck + 0.1, 0.9)
    thrust = hold(a.time, struck - 0.14, struck, struck + 0.08, struck + 0.26)
    sides = SIDES if a.rng.random() < 0.75 else (a.side,)
    for side in sides:
        a.arm(side, ready, **{"raise": 20}, plane=30, roll=20, elbow=120)
        place = (a.rng.uniform(0.06, 0.1), a.rng.uniform(0.7, 0.74) * b.height, -(near - 0.1))
        after = ramp(a.time, struck - 0.02, struck + 0.08)[:, None] * (0, 0, -0.08)
        a.reach(side, "place", (after + place) / a.height, thrust, elbow=(0.8, -1, 0.2))
        a.say(hand(side), "goes", "forward")
    a.hands_act = set(sides)
    a.add("hinge", a.rng.uniform(6, 12) * thrust)
    a.say("body", "travels", "nowhere")
    _come(b, -b.rng.uniform(0.6, 1.0), struck, 0.92)
    sway = hold(b.time, struck - 0.02, struck + 0.12, struck + 0.2, 0.95)
    b.add("hinge", -b.rng.uniform(7, 13) * sway)
    for side in SIDES:
        b.arm(side, sway, **{"raise": b.rng.uniform(25, 45)}, plane=40, elbow=b.rng.uniform(30, 55))
    a.say("people", "contact", "push")
    a.say("people", "distance", "apart")
    return near


PAIR_ACTIONS = (
    PairAction("shake hands", _shake_hands, (2.4, 3.6), (2, 4)),
    PairAction("hug", _hug, (2.4, 3.8)),
    PairAction("push another person", _push_person, (1.8, 2.8)),
    PairAction("pass an object", _pass_object, (2.2, 3.4)),
)
