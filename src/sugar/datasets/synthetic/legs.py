"""Programs of actions that the legs do: kicks, jumps, steps."""

import numpy as np

from sugar.datasets.synthetic.actions import Action
from sugar.datasets.synthetic.motion import SIDES, SIGN, Curve, Motion, Side, beats, hold, ramp


def _kick(m: Motion) -> None:
    m.support = (m.other,)
    span = 0.8 / m.repetitions
    for k in range(m.repetitions):
        a = 0.1 + k * span
        chamber = hold(m.time, a, a + 0.35 * span, a + 0.45 * span, a + 0.6 * span)
        swing = hold(m.time, a + 0.1 * span, a + 0.55 * span, a + 0.62 * span, a + 0.98 * span)
        m.go(f"{m.side}_hip", m.sized(60, 85), swing)
        m.add(f"{m.side}_knee", m.rng.uniform(70, 95) * chamber)
        m.add("bend", -m.rng.uniform(4, 14) * swing)
        for side in SIDES:
            m.add(f"{side}_raise", m.rng.uniform(10, 30) * swing)
    m.add(f"{m.other}_knee", 8 * hold(m.time, 0.08, 0.2, 0.8, 0.95))
    m.add(f"{m.other}_ankle", 8 * hold(m.time, 0.08, 0.2, 0.8, 0.95))
    m.feet_act, m.counted = {m.side}, True
    m.say("left foot" if m.side == "left" else "right foot", "goes", "forward")
    m.say("body", "travels", "nowhere")


def _jump(m: Motion) -> None:
    span = 0.86 / m.repetitions
    height, swing = m.sized(0.07, 0.2), m.sized(15, 70)
    for k in range(m.repetitions):
        a = 0.07 + k * span
        dip = hold(m.time, a, a + 0.25 * span, a + 0.3 * span, a + 0.42 * span)
        dip = dip + 0.7 * hold(m.time, a + 0.66 * span, a + 0.75 * span, a + 0.78 * span, a + span)
        flight = np.clip((m.time - a - 0.4 * span) / (0.3 * span), 0, 1)
        m.lift = m.lift + 4 * height * flight * (1 - flight)
        m.crouch(55, 75, dip)
        m.add("bend", 18 * dip)
        for side in SIDES:
            m.add(f"{side}_raise", swing * 4 * flight * (1 - flight))
            m.add(f"{side}_ankle", -40 * hold(flight, 0, 0.15, 0.85, 1))
    m.counted = True
    m.say("body", "jumps")
    m.say("knees", "bends")


def _jumping_jacks(m: Motion) -> None:
    start, stop = 0.06, 0.95
    span = (stop - start) / m.repetitions
    open_ = beats(m.time, m.repetitions, start, stop)
    high, spread, height = m.sized(150, 165), m.sized(18, 26), m.sized(0.035, 0.07)
    for side in SIDES:
        m.go(f"{side}_plane", 88, hold(m.time, start, start + 0.05, 0.93, 0.99))
        m.go(f"{side}_raise", min(high, 170), open_)
        m.go(f"{side}_elbow", 12, open_)
        m.go(f"{side}_spread", spread, open_)
    # Each opening and each closing is a leap, the knees soft between two.
    for k in range(2 * m.repetitions):
        a = start + k * span / 2
        flight = np.clip((m.time - a - 0.08 * span) / (0.34 * span), 0, 1)
        m.lift = m.lift + 4 * height * flight * (1 - flight)
    soft = np.where(m.lift > 0, 0, 1) * hold(m.time, 0.02, start, stop, 0.99)
    soft = np.convolve(np.pad(soft, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    for side in SIDES:
        for channel, degrees in (("hip", 12), ("knee", 22), ("ankle", 10)):
            m.add(f"{side}_{channel}", degrees * soft)
    m.support = ()
    m.hands_act, m.feet_act, m.counted = set(SIDES), set(SIDES), True
    m.say("body", "jumps")
    m.say("both hands", "hands", "together")


def _swing_arms(m: Motion, beat: Curve, size: float, elbow: float) -> None:
    """Arms swing against the legs; ``beat`` is 1 with the left leg in front and -1 with the right."""
    on = hold(m.time, -0.2, 0.1, 0.9, 1.2)
    for side in SIDES:
        m.go(f"{side}_plane", 8, on)
        m.go(f"{side}_raise", 4 + SIGN[side] * size * beat, on)
        m.add(f"{side}_elbow", (elbow + 0.5 * size * SIGN[side] * beat) * on)


def _walk(m: Motion) -> None:
    count = m.repetitions
    # Some are seen from the first to the last step, some in the midst of their way.
    start, stop = (0.04, 0.96) if m.rng.random() < 0.5 else (-0.08, 1.08)
    span, length = (stop - start) / count, m.sized(0.36, 0.44)
    beat = np.zeros_like(m.time)
    for k in range(count):
        side = m.side if k % 2 == 0 else m.other
        a = start + k * span
        reach = length / 2 if k in (0, count - 1) else length
        m.step(side, a, a + 0.92 * span, 0, -reach)
        beat = beat + (-SIGN[side] - beat) * ramp(m.time, a, a + span)
    _swing_arms(m, beat * hold(m.time, -0.2, 0.1, 0.9, 1.2), m.sized(16, 26), m.rng.uniform(5, 25))
    m.add("hinge", m.rng.uniform(1, 5) * np.ones_like(m.time))
    m.add("twist", m.rng.uniform(3, 7) * beat)
    m.feet_act = set(SIDES)
    m.say("body", "travels", "forward")


def _march(m: Motion) -> None:
    m.support = ()
    lift = m.sized(55, 80)
    start, stop = 0.04, 0.96
    span = (stop - start) / (2 * m.repetitions)
    beat = np.zeros_like(m.time)
    for k in range(2 * m.repetitions):
        side = m.side if k % 2 == 0 else m.other
        up = beats(m.time, 1, start + k * span, start + (k + 1) * span)
        m.go(f"{side}_hip", lift, up)
        m.go(f"{side}_knee", lift + m.rng.uniform(5, 20), up)
        m.add(f"{side}_ankle", -m.rng.uniform(5, 20) * up)
        beat = beat - SIGN[side] * up
    _swing_arms(m, beat, m.sized(20, 35), m.rng.uniform(20, 60))
    m.feet_act, m.counted = set(SIDES), True
    m.say("body", "travels", "nowhere")


def _turn_around(m: Motion) -> None:
    sign = -SIGN[m.side]
    count = int(m.rng.integers(4, 7))
    start, stop = m.rng.uniform(0.04, 0.12), m.rng.uniform(0.86, 0.95)
    span, angle = (stop - start) / count, 180.0
    # The foot on the side of the turn opens first; each stands on its side of the middle after each step.
    yaw: dict[Side, float] = dict.fromkeys(SIDES, 0.0)
    for k in range(count):
        side = m.side if k % 2 == 0 else m.other
        a = start + k * span
        share = min((k + 2) / (count + 1), 1.0) if k < count - 2 else 1.0
        to = sign * angle * share
        here, there = np.deg2rad(yaw[side]), np.deg2rad(to)
        wide = 0.07 * SIGN[side]
        m.step(
            side,
            a,
            a + 0.95 * span,
            wide * (np.cos(there) - np.cos(here)),
            -wide * (np.sin(there) - np.sin(here)),
            yaw=to - yaw[side],
        )
        yaw[side] = to
    m.add("nod", 5 * hold(m.time, 0.1, 0.4, 0.6, 0.9))
    m.feet_act = set(SIDES)
    m.say("body", "turns", "around")
    m.say("body", "travels", "nowhere")


LEG_ACTIONS = (
    Action("kick", _kick, (1.4, 2.4), (1, 2)),
    Action("jump", _jump, (1.4, 2.6), (1, 2)),
    Action("jumping jacks", _jumping_jacks, (2.0, 3.4), (2, 4)),
    Action("walk", _walk, (2.0, 3.2), (4, 6)),
    Action("march on the spot", _march, (2.2, 3.6), (2, 4)),
    Action("turn around", _turn_around, (1.8, 3.0)),
)
