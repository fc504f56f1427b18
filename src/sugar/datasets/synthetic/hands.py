"""Programs of actions that hands do while the person stands or sits."""

import numpy as np

from sugar.datasets.synthetic.actions import Action
from sugar.datasets.synthetic.motion import SIDES, SIGN, Motion, Side, beats, hold, ramp, through
from sugar.facts.claims import Subject


def hand(side: Side) -> Subject:
    """The subject of claims about a hand."""
    return "left hand" if side == "left" else "right hand"


def _wave_one(m: Motion) -> None:
    up = hold(m.time, 0.05, 0.25, 0.8, 0.97)
    swing = m.sized(50, 75) * (beats(m.time, m.repetitions, 0.2, 0.85) - 0.5) * up
    m.arm(m.side, up, **{"raise": m.sized(75, 115)}, plane=m.rng.uniform(60, 85), roll=-75, elbow=80)
    m.add(f"{m.side}_elbow", swing)
    m.add(f"{m.side}_roll", 0.3 * swing)
    m.hands_act, m.counted = {m.side}, True
    m.say(hand(m.side), "path", "zigzag")


def _wave_both(m: Motion) -> None:
    up = hold(m.time, 0.05, 0.25, 0.8, 0.97)
    height, elbow = m.sized(105, 140), m.rng.uniform(20, 60)
    swing = m.sized(25, 45) * (beats(m.time, m.repetitions, 0.2, 0.85) - 0.5) * up
    # In most people the hands part and meet; in some both swing to the same side.
    together = m.rng.random() < 0.3
    for side in SIDES:
        m.arm(side, up, **{"raise": height}, plane=80, roll=-60, elbow=elbow)
        m.add(f"{side}_raise", swing * (-1 if together and side == "left" else 1))
        m.say(hand(side), "path", "zigzag")
    m.hands_act, m.counted = set(SIDES), True


def _clap(m: Motion) -> None:
    up = hold(m.time, 0.02, 0.2, 0.85, 0.98)
    closed = beats(m.time, m.repetitions, 0.15, 0.9)
    reach, elbow, apart = m.rng.uniform(20, 50), m.rng.uniform(70, 95), m.sized(15, 30)
    level, far = m.rng.uniform(-0.12, -0.02), m.rng.uniform(0.19, 0.25)
    for side in SIDES:
        m.arm(side, up, **{"raise": reach}, plane=15, roll=-apart, elbow=elbow)
        m.add(f"{side}_roll", (34 + apart) * closed * up)
        m.reach(side, "spine_shoulder", (0.016, level, -far), closed * up, elbow=(0.8, -1, 0.2))
    m.hands_act, m.counted = set(SIDES), True
    m.say("both hands", "hands", "meet")


def _punch(m: Motion) -> None:
    guard = hold(m.time, 0.02, 0.2, 0.85, 0.98)
    thrust = beats(m.time, m.repetitions, 0.22, 0.85) ** 2
    for side in SIDES:
        m.arm(side, guard, **{"raise": 25}, plane=30, roll=30, elbow=m.rng.uniform(105, 130))
    m.arm(m.side, thrust, **{"raise": m.sized(75, 95)}, plane=5, roll=20, elbow=8)
    m.add("twist", SIGN[m.side] * m.sized(15, 30) * thrust)
    m.crouch(12, 22, guard)
    m.hands_act, m.counted = {m.side}, True
    m.say(hand(m.side), "goes", "forward")


def _push_both(m: Motion) -> None:
    ready = hold(m.time, 0.02, 0.2, 0.85, 0.98)
    thrust = beats(m.time, m.repetitions, 0.2, 0.86) ** 1.5
    elbow = m.rng.uniform(115, 130)
    for side in SIDES:
        m.arm(side, ready, **{"raise": 22}, plane=25, roll=20, elbow=elbow)
        m.arm(side, thrust, **{"raise": m.sized(72, 88)}, plane=8, roll=10, elbow=10)
        m.say(hand(side), "goes", "forward")
    m.add("hinge", m.rng.uniform(4, 12) * thrust)
    m.hands_act, m.counted = set(SIDES), True
    m.say("both hands", "hands", "together")


def _drink(m: Motion) -> None:
    up = hold(m.time, 0.04, m.rng.uniform(0.25, 0.35), 0.76, 0.97)
    # Between two sips the cup comes away from the mouth.
    apart = beats(m.time, m.repetitions, 0.3, 0.76) if m.repetitions > 1 else 0 * m.time
    sip = hold(m.time, 0.3, 0.45, 0.6, 0.75) if m.repetitions == 1 else 1 - apart
    m.arm(m.side, up, **{"raise": m.rng.uniform(30, 55)}, plane=25, roll=25, elbow=115)
    place = np.array([0.015, -0.035, -0.085]) + 0.5 * apart[:, None] * np.array([0.05, -0.16, -0.1])
    m.reach(m.side, "head", place, up, elbow=(0.7, -1, -0.1))
    m.add("nod", -m.sized(12, 26) * sip * up)
    m.hands_act = {m.side}
    m.say(hand(m.side), "goes", "up")


def _phone(m: Motion) -> None:
    stays = m.rng.random() < 0.6
    up = ramp(m.time, 0.05, m.rng.uniform(0.3, 0.45)) if stays else hold(m.time, 0.05, 0.3, 0.8, 0.98)
    m.arm(m.side, up, **{"raise": m.rng.uniform(35, 60)}, plane=50, roll=-10, elbow=125)
    m.reach(m.side, "head", (m.rng.uniform(0.06, 0.075), -0.02, -0.01), up, elbow=(0.7, -1, -0.5))
    m.add("lean", SIGN[m.side] * m.rng.uniform(0, 4) * up)
    m.add("nod", m.rng.uniform(-4, 8) * up)
    m.hands_act = {m.side}
    m.say(hand(m.side), "goes", "up")


def _circle(m: Motion) -> None:
    up = hold(m.time, 0.03, 0.2, 0.84, 0.98)
    clockwise = m.rng.random() < 0.5
    m.arm(m.side, up, **{"raise": 70}, plane=20, roll=10, elbow=40)
    start, radius = m.rng.uniform(0, 2 * np.pi), m.sized(0.1, 0.15)
    angle = start + (-1 if clockwise else 1) * 2 * np.pi * (m.repetitions + 0.1) * ramp(m.time, 0.14, 0.88)
    # The place is given for the right hand, mirrored for the left: its sense would turn over.
    x = 0.07 + SIGN[m.side] * radius * np.cos(angle)
    place = np.stack([x, m.rng.uniform(-0.04, 0.06) + radius * np.sin(angle), np.full_like(x, -0.25)], axis=1)
    m.reach(m.side, "spine_shoulder", place, up, elbow=(0.8, -1, 0.1))
    m.hands_act, m.counted = {m.side}, True
    m.say(hand(m.side), "path", "clockwise circle" if clockwise else "counter-clockwise circle")


def _throw(m: Motion) -> None:
    back, go = m.rng.uniform(0.3, 0.4), m.rng.uniform(0.1, 0.15)
    out = back + 0.08 + go
    share = hold(m.time, 0.05, back - 0.05, out + 0.2, 0.98)
    low = m.rng.uniform(-0.3, -0.2)
    place = through(
        m.time,
        (0.05, (0.22, -0.2, -0.12)),
        (back, (m.rng.uniform(0.15, 0.2), m.sized(0.1, 0.14), m.rng.uniform(0.06, 0.1))),
        (out, (0.07, m.rng.uniform(0.04, 0.1), -0.34)),
        (out + 0.18, (-0.03, low, -0.22)),
    )
    m.arm(m.side, share, **{"raise": 60}, plane=45, roll=0, elbow=60)
    m.reach(m.side, "spine_shoulder", place, share, elbow=(1, -0.35, 0.3))
    draw = hold(m.time, 0.08, back, back + 0.08, out)
    follow = hold(m.time, back + 0.08, out + 0.05, out + 0.2, 0.98)
    m.add("twist", SIGN[m.side] * (m.sized(20, 35) * follow - m.sized(20, 30) * draw))
    m.add("hinge", m.sized(8, 16) * follow - 4 * draw)
    m.arm(m.other, draw, **{"raise": m.rng.uniform(20, 50)}, plane=20)
    m.hands_act = {m.side}
    m.say(hand(m.side), "goes", "forward")


def _swipe(m: Motion) -> None:
    inward = m.rng.random() < 0.5
    ready, done = m.rng.uniform(0.25, 0.32), m.rng.uniform(0.6, 0.72)
    share = hold(m.time, 0.03, ready - 0.02, done + 0.03, 0.98)
    level = m.rng.uniform(-0.08, 0.0)
    outer, inner = (m.sized(0.23, 0.28), level, -0.17), (-m.sized(0.08, 0.12), level + 0.01, -0.21)
    keys = ((ready, outer), (done, inner)) if inward else ((ready, inner), (done, outer))
    m.arm(m.side, share, **{"raise": 60}, plane=40, roll=10, elbow=50)
    m.reach(m.side, "spine_shoulder", through(m.time, *keys), share, elbow=(0.8, -1, 0.3))
    m.add("twist", SIGN[m.side] * (1 if inward else -1) * m.rng.uniform(3, 10) * ramp(m.time, ready, done) * share)
    m.hands_act = {m.side}
    m.say(hand(m.side), "goes", "inward" if inward else "outward")
    m.say(hand(m.side), "path", "straight")


def _cross_arms(m: Motion) -> None:
    over = ramp(m.time, m.rng.uniform(0.08, 0.2), m.rng.uniform(0.5, 0.75))
    level = m.rng.uniform(-0.14, -0.1)
    for side in SIDES:
        m.arm(side, over, **{"raise": 30}, plane=20, roll=60, elbow=95)
        upper = side == m.side
        place = (-m.rng.uniform(0.09, 0.12), level + (0.025 if upper else -0.01), -0.14 if upper else -0.105)
        m.reach(side, "spine_shoulder", place, over, elbow=(0.9, -1, 0.05))
    m.hands_act = set(SIDES)
    m.say("both hands", "hands", "cross")
    for side in SIDES:
        m.say(hand(side), "goes", "inward")


def stays(action: Action) -> Action:
    """The action, with the claim that the person neither travels nor jumps."""

    def program(m: Motion) -> None:
        action.program(m)
        m.say("body", "travels", "nowhere")

    return Action(action.name, program, action.seconds, action.repetitions, action.seated)


HAND_ACTIONS = tuple(
    stays(action)
    for action in (
        Action("wave with one hand", _wave_one, (2.0, 3.2), (3, 5), 0.25),
        Action("wave with both hands", _wave_both, (2.0, 3.2), (3, 5), 0.25),
        Action("clap", _clap, (1.6, 2.8), (3, 6), 0.25),
        Action("punch", _punch, (1.4, 2.6), (1, 3)),
        Action("push with both hands", _push_both, (1.6, 2.8), (1, 3)),
        Action("drink", _drink, (2.4, 3.8), (1, 2), 0.4),
        Action("answer the phone", _phone, (2.0, 3.4), (1, 1), 0.4),
        Action("draw a circle in the air", _circle, (2.6, 3.6), (1, 3), 0.2),
        Action("throw", _throw, (1.4, 2.2)),
        Action("swipe", _swipe, (1.4, 2.2), (1, 1), 0.2),
        Action("cross the arms", _cross_arms, (1.8, 3.0), (1, 1), 0.3),
    )
)
