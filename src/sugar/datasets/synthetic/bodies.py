"""Programs of actions that the whole body does, most of them with a change of posture."""

from sugar.datasets.synthetic.actions import Action
from sugar.datasets.synthetic.motion import SIDES, SIGN, Curve, Motion, beats, hold, ramp


def _squat(m: Motion) -> None:
    down = beats(m.time, m.repetitions, 0.08, 0.94)
    hip = min(m.sized(85, 105), 115)
    m.crouch(hip, hip + m.rng.uniform(-5, 15), down)
    m.go("bend", m.rng.uniform(20, 40), down)
    if m.rng.random() < 0.7:
        for side in SIDES:
            m.arm(side, down, **{"raise": m.rng.uniform(60, 90)}, plane=5, roll=0, elbow=15)
    m.counted, m.whole_posture = True, False
    m.say("knees", "bends")
    m.say("body", "travels", "nowhere")


def rest_on_seat(m: Motion, seated: Curve) -> None:
    """Between standing (0) and sitting (1), the hands on the thighs."""
    hip = m.rng.uniform(75, 90)
    m.crouch(hip, hip + m.rng.uniform(-2, 10), seated)
    reach, elbow = m.rng.uniform(15, 35), m.rng.uniform(35, 70)
    for side in SIDES:
        m.arm(side, seated, **{"raise": reach}, plane=20, roll=15, elbow=elbow)


def _seat(m: Motion, seated: Curve) -> None:
    rest_on_seat(m, seated)
    # The trunk goes ahead of the legs on the way.
    m.add("bend", m.sized(25, 45) * 4 * seated * (1 - seated))
    m.say("knees", "bends")


def _sit_down(m: Motion) -> None:
    _seat(m, ramp(m.time, m.rng.uniform(0.1, 0.25), m.rng.uniform(0.65, 0.85)))
    m.words = ("standing", "sitting")


def _stand_up(m: Motion) -> None:
    _seat(m, 1 - ramp(m.time, m.rng.uniform(0.1, 0.25), m.rng.uniform(0.65, 0.85)))
    m.words = ("sitting", "standing")


def _bow(m: Motion) -> None:
    down = hold(m.time, 0.1, m.rng.uniform(0.35, 0.45), m.rng.uniform(0.5, 0.65), 0.93)
    tilt = m.sized(55, 80)
    m.go("hinge", 0.5 * tilt, down)
    m.go("bend", 0.5 * tilt, down)
    m.go("nod", m.rng.uniform(15, 30), down)
    m.crouch(8, 4, down)
    # Hanging arms stay vertical or lie along the thighs: with the trunk forward the shoulder angle follows it.
    share = m.rng.uniform(0.3, 1)
    for side in SIDES:
        m.go(f"{side}_plane", 10, hold(m.time, 0.05, 0.2, 0.85, 0.97))
        m.add(f"{side}_raise", share * tilt * down)
    m.say("body", "bends", "forward")
    m.say("body", "travels", "nowhere")


def _touch_toes(m: Motion) -> None:
    down = hold(m.time, 0.08, m.rng.uniform(0.38, 0.48), m.rng.uniform(0.52, 0.62), 0.94)
    m.go("hinge", m.rng.uniform(76, 86), down)
    m.go("bend", m.rng.uniform(42, 56), down)
    m.go("nod", 10, down)
    m.crouch(12, m.rng.uniform(4, 14), down)
    low = m.rng.uniform(0.045, 0.065)
    for side in SIDES:
        m.go(f"{side}_plane", 5, hold(m.time, 0.05, 0.2, 0.8, 0.96))
        m.arm(side, down, **{"raise": 110}, roll=0, elbow=8)
        m.reach(side, f"{side}_foot", (-0.01, low, 0.0), down, elbow=(1, 0.2, 0.2))
    m.hands_act = set(SIDES)
    m.say("body", "bends", "forward")
    m.say("body", "travels", "nowhere")
    m.say("both hands", "hands", "together")


def _pick_up(m: Motion) -> None:
    down = hold(m.time, 0.06, m.rng.uniform(0.4, 0.48), m.rng.uniform(0.54, 0.6), 0.95)
    hip = m.rng.uniform(70, 82)
    m.crouch(hip, hip + m.rng.uniform(0, 8), down)
    m.go("hinge", m.rng.uniform(36, 42), down)
    m.go("bend", m.rng.uniform(40, 48), down)
    m.add("lean", SIGN[m.side] * m.rng.uniform(0, 8) * down)
    m.arm(m.side, down, **{"raise": 75}, plane=10, roll=0, elbow=10)
    m.reach(m.side, f"{m.side}_foot", (0.01, m.rng.uniform(0.045, 0.065), -m.rng.uniform(0.04, 0.09)), down)
    m.go(f"{m.other}_plane", 15, hold(m.time, 0.05, 0.2, 0.8, 0.96))
    m.arm(m.other, down, **{"raise": m.rng.uniform(25, 40)}, elbow=m.rng.uniform(80, 100))
    # What was picked up is carried before the body.
    m.arm(m.side, ramp(m.time, 0.6, 0.95), **{"raise": 15}, plane=30, roll=25, elbow=m.rng.uniform(60, 95))
    m.hands_act, m.whole_posture = {m.side}, False
    m.say("body", "bends", "forward")
    m.say("knees", "bends")
    m.say("body", "travels", "nowhere")


def _kneel_down(m: Motion) -> None:
    reach = m.rng.uniform(0.53, 0.57)
    first = m.rng.uniform(0.05, 0.12)
    forward = m.rng.random() < 0.5
    if forward:
        m.step(m.other, first, first + 0.25, 0, -reach)
    else:
        m.step(m.side, first, first + 0.25, 0, reach)
    down = ramp(m.time, first + 0.2, m.rng.uniform(0.7, 0.85))
    knee = m.feet[m.side]
    knee.heel = knee.heel * (1 - down) + m.rng.uniform(62, 75) * down
    m.sink = (m.rng.uniform(0.275, 0.285), down)
    m.add("hinge", m.rng.uniform(4, 12) * down + m.rng.uniform(5, 12) * 4 * down * (1 - down))
    rests = m.rng.random() < 0.6
    for side in SIDES:
        m.arm(side, down, **{"raise": m.rng.uniform(15, 30)}, plane=20, elbow=m.rng.uniform(35, 60) if rests else 15)
    m.words = ("standing", "kneeling")
    m.say("knees", "bends")


BODY_ACTIONS = (
    Action("squat", _squat, (2.0, 3.6), (1, 2)),
    Action("sit down", _sit_down, (1.8, 3.0)),
    Action("stand up", _stand_up, (1.8, 3.0)),
    Action("bow", _bow, (1.8, 3.2)),
    Action("touch the toes", _touch_toes, (2.0, 3.4)),
    Action("pick up an object", _pick_up, (2.0, 3.2)),
    Action("kneel down", _kneel_down, (2.0, 3.4)),
)
