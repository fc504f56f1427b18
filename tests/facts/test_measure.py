import time
from collections import Counter

import numpy as np
import pytest

from sugar.datasets.synthetic import generate_with_truth
from sugar.facts.claims import HEIGHTS, VALUES, Claim
from sugar.facts.limb_motion import _strokes
from sugar.facts.measure import MotionFacts, measure
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import mirror, rotate, rotation_matrix
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25

# A person 1.7 m tall who stands with hanging arms and faces the sensor: x to the person's right, z to the back.
STANDING = {
    "hip_center": (0, 0.95, 0),
    "spine": (0, 1.15, 0),
    "shoulder_center": (0, 1.43, 0),
    "head": (0, 1.63, 0),
    **{"shoulder": (0.17, 1.39, 0), "elbow": (0.2, 1.1, 0), "wrist": (0.22, 0.86, 0), "hand": (0.22, 0.79, 0)},
    **{"hip": (0.09, 0.91, 0), "knee": (0.09, 0.51, 0), "ankle": (0.09, 0.1, 0), "foot": (0.09, 0.03, -0.12)},
}
FRAMES = 60
TIME = np.linspace(0, 1, FRAMES)


def person(frames: int = FRAMES) -> np.ndarray:
    """``[T, 20, 3]`` of somebody who stands still."""
    joints = np.zeros((frames, 20, 3))
    for i, name in enumerate(KINECT20.joint_names):
        x, y, z = STANDING[name.removeprefix("left_").removeprefix("right_")]
        joints[:, i] = (-x if name.startswith("left_") else x, y, z)
    return joints


def reach(joints: np.ndarray, side: str, path: np.ndarray) -> np.ndarray:
    """Move a hand along a path ``[T, 3]`` from where it hangs; wrist and elbow follow."""
    for joint, share in (("elbow", 0.4), ("wrist", 0.85), ("hand", 1.0)):
        joints[:, KINECT20.index(f"{side}_{joint}")] += share * path
    return joints


def clip(joints: np.ndarray, *others: np.ndarray) -> SkeletonClip:
    noise = np.random.default_rng(0).normal(0, 0.004, (len(joints), 1 + len(others), 20, 3))
    return SkeletonClip(np.stack([joints, *others], axis=1) + noise + [0, -0.9, 3], KINECT20)


def up_and_back(height: float) -> np.ndarray:
    """A hand's path straight up and down again."""
    path = np.zeros((FRAMES, 3))
    path[:, 1] = height * np.sin(np.pi * np.clip(1.4 * TIME - 0.2, 0, 1)) ** 2
    return path


def circle(sense: float, turns: int = 2) -> np.ndarray:
    """Right hand up to chest height in front, then circles; ``sense`` 1 is clockwise for the person."""
    up = np.clip(TIME / 0.15, 0, 1) * np.clip((1 - TIME) / 0.15, 0, 1)
    angle = 2 * np.pi * turns * np.clip((TIME - 0.15) / 0.7, 0, 1)
    return np.stack([sense * 0.2 * np.sin(angle), 0.6 * up + 0.2 * (np.cos(angle) - 1), -0.35 * up], axis=1)


def seat(depth: np.ndarray) -> np.ndarray:
    """Between standing (0) and sitting on a chair (1)."""
    joints = person(len(depth))
    for i, name in enumerate(KINECT20.joint_names):
        if not name.endswith(("knee", "ankle", "foot")):
            joints[:, i] += np.outer(depth, [0, -0.4, 0.38])
    return joints


def claims(facts: MotionFacts) -> set[str]:
    return {f"{c.subject} {c.predicate} {c.value}".strip() for c in facts.claims()}


def facts_of(joints: np.ndarray, *others: np.ndarray) -> MotionFacts:
    facts = measure(clip(joints, *others))
    assert all(facts.check(claim) for claim in facts.claims())
    return facts


@pytest.mark.parametrize("height", [(0.44, "chest"), (0.66, "shoulder"), (0.84, "head"), (1.1, "above the head")])
def test_a_raised_hand_and_its_height(height: tuple[float, str]) -> None:
    facts = facts_of(reach(person(), "left", up_and_back(height[0])))
    said = claims(facts)
    assert {"left hand moves", f"left hand rises to {height[1]}", "right hand still", "left hand goes up"} <= said
    assert {"body posture standing", "body travels nowhere"} <= said
    others = [Claim("left hand", "rises to", level) for level in HEIGHTS if level != height[1]]
    assert not any(facts.check(claim) for claim in others)
    assert facts.check(Claim("right hand", "moves")) is False
    assert facts.check(Claim("both hands", "moves")) is False
    assert facts.check(Claim("left hand", "lowers to", "knee")) is False
    assert facts.people[0].side(facts.limit) == "left"


@pytest.mark.parametrize(("sense", "word"), [(1, "clockwise circle"), (-1, "counter-clockwise circle")])
def test_circles_have_the_sense_that_the_person_sees(sense: int, word: str) -> None:
    facts = facts_of(reach(person(), "right", circle(sense)))
    assert f"right hand path {word}" in claims(facts)
    for value in VALUES["path"]:
        assert facts.check(Claim("right hand", "path", value)) is (value == word)
    assert facts.check(Claim("right hand", "repeats", "2"))
    # Stirring: seen from above, what was up is now ahead, and ahead is -z.
    stirring = circle(sense)
    stirring = np.stack([stirring[:, 0], -0.9 * stirring[:, 2], -(stirring[:, 1] - 0.1 * stirring[:, 1])], axis=1)
    assert facts_of(reach(person(), "right", stirring)).check(Claim("right hand", "path", word))


@pytest.mark.parametrize("swings", [2, 4, 6])
def test_a_waving_hand_swings_as_often_as_it_does(swings: int) -> None:
    up = np.clip(TIME / 0.2, 0, 1) * np.clip((1 - TIME) / 0.2, 0, 1)
    aside = 0.16 * np.sin(2 * np.pi * swings * np.clip((TIME - 0.2) / 0.6, 0, 1))
    path = np.stack([aside + 0.15 * up, 0.9 * up, -0.15 * up], axis=1)
    facts = facts_of(reach(person(), "right", path))
    assert "right hand path zigzag" in claims(facts)
    assert abs(facts.people[0].hands[1].repeats - swings) <= 1
    assert facts.check(Claim("right hand", "repeats", str(swings + 3))) is False


def test_strokes_have_directions_of_the_own_body() -> None:
    there = np.sin(np.pi * TIME) ** 2
    for way, value in (([0, 0, -0.5], "forward"), ([0, 0, 0.4], "back"), ([0.5, 0, 0], "outward")):
        facts = facts_of(reach(person(), "right", np.outer(there, way)))
        assert f"right hand goes {value}" in claims(facts)
        assert [v for v in VALUES["goes"] if facts.check(Claim("right hand", "goes", v))] == [value]
    over = facts_of(reach(person(), "right", np.outer(there, [-0.45, 0.4, -0.3])))
    assert over.check(Claim("right hand", "goes", "inward"))
    assert over.check(Claim("right hand", "goes", "outward")) is False


def test_strokes_need_no_more_frames_than_there_are() -> None:
    path = np.random.default_rng(0).normal(size=(9, 3))
    np.testing.assert_equal(_strokes(path, 10**9), _strokes(path, 8))


def test_hands_meet_part_cross_and_go_together() -> None:
    there = np.sin(np.pi * TIME) ** 2
    for inward, value in ((-0.21, "meet"), (-0.34, "cross")):
        joints = reach(person(), "right", np.outer(there, [inward, 0.4, -0.35]))
        joints = reach(joints, "left", np.outer(there, [-inward, 0.4, -0.35]))
        facts = facts_of(joints)
        assert "both hands moves" in claims(facts)
        assert facts.check(Claim("both hands", "hands", value))
        assert facts.check(Claim("both hands", "hands", "cross")) is (value == "cross")
        assert facts.people[0].side(facts.limit) is None
    joints = reach(person(), "right", np.outer(there, [0, 0.3, -0.5]))
    facts = facts_of(reach(joints, "left", np.outer(there, [0, 0.3, -0.5])))
    assert "both hands hands together" in claims(facts)
    assert facts.check(Claim("both hands", "hands", "meet")) is False
    assert facts.check(Claim("left hand", "goes", "forward"))


def test_postures_and_their_changes() -> None:
    down = np.clip(3 * TIME - 1, 0, 1)
    sits, stands = facts_of(seat(down)), facts_of(seat(down[::-1]))
    assert {"body becomes sitting", "knees bends"} <= claims(sits)
    assert "body becomes standing" in claims(stands)
    assert stands.people[0].body.postures == ("sitting", "standing")
    seated = facts_of(seat(np.ones(FRAMES)))
    assert {"body posture sitting", "body still"} <= claims(seated)
    assert seated.check(Claim("knees", "bends")) is False
    squat = facts_of(seat(np.sin(2 * np.pi * TIME) ** 2))
    assert "body becomes squatting" in claims(squat)
    assert squat.check(Claim("body", "repeats", "2"))
    assert squat.check(Claim("body", "becomes", "sitting")) is False
    lying = facts_of(person() @ rotation_matrix(0, 90).T)
    assert "body posture lying" in claims(lying)
    kneels = person()
    for i, name in enumerate(KINECT20.joint_names):
        if name.endswith(("ankle", "foot")):
            kneels[:, i] += np.outer(down, [0, -0.06, 0.4])
        else:
            kneels[:, i, 1] -= 0.47 * down
    assert "body becomes kneeling" in claims(facts_of(kneels))


@pytest.mark.parametrize("bend", [(0, -50, "forward"), (2, 30, "left"), (2, -30, "right"), (0, 28, "back")])
def test_the_trunk_bends(bend: tuple[int, float, str]) -> None:
    axis, degrees, value = bend
    joints = person()
    upper = [i for i, n in enumerate(KINECT20.joint_names) if not n.endswith(("hip", "knee", "ankle", "foot"))]
    hips = joints[0, KINECT20.index("hip_center")]
    for t, share in enumerate(np.clip(3 * np.sin(np.pi * TIME) - 1.5, 0, 1)):
        joints[t, upper] = (joints[t, upper] - hips) @ rotation_matrix(axis, degrees * share).T + hips
    facts = facts_of(joints)
    assert f"body bends {value}" in claims(facts)
    assert [v for v in VALUES["bends"] if v and facts.check(Claim("body", "bends", v))] == [value]
    assert facts.check(Claim("body", "posture", "standing"))


@pytest.mark.parametrize("way", [(0, -1.5, "forward"), (0, 1.2, "back"), (1.2, 0, "right"), (-1.2, 0, "left")])
def test_travel_is_seen_from_the_own_start(way: tuple[float, float, str]) -> None:
    x, z, value = way
    facts = facts_of(person() + np.outer(TIME, [x, 0, z])[:, None])
    assert f"body travels {value}" in claims(facts)
    assert [v for v in VALUES["travels"] if facts.check(Claim("body", "travels", v))] == [value]
    there_and_back = np.outer(np.sin(np.pi * TIME), [x, 0, z])[:, None]
    assert "body travels about" in claims(facts_of(person() + there_and_back))


@pytest.mark.parametrize("turn", [(90, "left"), (-90, "right"), (180, "around")])
def test_turning_to_the_own_left_and_right(turn: tuple[float, str]) -> None:
    degrees, value = turn
    joints = person()
    for t, share in enumerate(np.clip(2 * TIME - 0.5, 0, 1)):
        joints[t] = joints[t] @ rotation_matrix(1, degrees * share).T
    facts = facts_of(joints)
    assert f"body turns {value}" in claims(facts)
    assert facts.check(Claim("body", "turns", "right")) is (value == "right")
    assert facts.check(Claim("body", "travels", "nowhere"))


def test_jumps_are_counted() -> None:
    joints = person()
    flight = 0.25 * np.maximum(np.sin(6 * np.pi * (TIME - 0.1)), 0) * (TIME > 0.1)
    joints[:, :, 1] += flight[:, None]
    facts = facts_of(joints)
    assert {"body jumps", "body repeats 3"} <= claims(facts)
    assert facts_of(person()).check(Claim("body", "jumps")) is False


def test_two_people() -> None:
    far = np.outer(1 - TIME, [0, 0, -1.5])[:, None] + [0, 0, -0.7]
    other = person() @ rotation_matrix(1, 180).T
    coming = facts_of(person(), other + far)
    assert "people distance closer" in claims(coming)
    assert coming.check(Claim("people", "distance", "apart")) is False
    assert coming.check(Claim("body", "travels", "forward", person=1))
    assert coming.check(Claim("body", "travels", "nowhere", person=0))
    thrust = np.outer(np.clip(3 * TIME, 0, 1), [-0.15, 0.45, -0.45])
    pushed = other + [0, 0, -0.62] + np.outer(np.clip(3 * TIME - 1, 0, 1), [0, 0, -0.6])[:, None]
    push = facts_of(reach(person(), "right", thrust), pushed)
    assert {"people contact push", "people distance apart"} <= claims(push)
    apart = facts_of(person(), other + np.array([0, 0, -2.2]))
    assert "people distance far" in claims(apart)
    assert apart.check(Claim("people", "contact", "push")) is False
    assert facts_of(person()).check(Claim("people", "distance", "near")) is None


def moving_clips() -> list[SkeletonClip]:
    return [c for c, _ in generate_with_truth(2, 0)]


def test_facts_of_the_mirrored_clip_are_the_mirrored_facts() -> None:
    for original in moving_clips():
        reflected = SkeletonClip(mirror(original.joints, original.layout), original.layout, original.fps)
        facts, other = measure(original), measure(reflected)
        assert facts.mirrored().mirrored() == facts
        assert Counter(c.mirrored() for c in facts.claims()) == Counter(other.claims()), original.clip_id
        assert all(facts.mirrored().check(claim) for claim in other.claims())


def test_claims_do_not_depend_on_heading_size_or_axes() -> None:
    z_up = KINECT20.to_dict() | {"name": "z_up", "up": 2}
    for degrees, scale in ((70, 1.0), (-160, 0.6), (0, 1.8)):
        for joints in (
            reach(person(), "right", circle(1)),
            seat(TIME),
            person() + np.outer(TIME, [1.5, 0, 0])[:, None],
        ):
            original = clip(joints)
            turned = rotate(original.joints, rotation_matrix(1, degrees)) * np.float32(scale)
            said = measure(original).claims()
            assert said == measure(SkeletonClip(turned, KINECT20)).claims()
            axes = SkeletonClip(turned[..., [2, 0, 1]], JointLayout.from_dict(z_up))
            assert said == measure(axes).claims()


def test_a_sensor_that_looks_down_changes_no_claim() -> None:
    for joints in (reach(person(), "right", circle(-1)), person() + np.outer(TIME, [0, 0, -1.5])[:, None]):
        original = clip(joints)
        tilted = SkeletonClip(rotate(original.joints, rotation_matrix(0, -14)), KINECT20)
        assert measure(original).claims() == measure(tilted).claims()


def test_left_and_right_mixed_up_by_a_sensor_behind_the_person_are_put_right() -> None:
    # A squat with the back to the sensor: the knees tell that what it took for the front is the back.
    joints = reach(seat(np.sin(np.pi * TIME) ** 2), "right", up_and_back(0.9))
    behind = joints @ rotation_matrix(1, 180).T
    mixed_up = behind[:, list(KINECT20.mirror)]
    assert claims(facts_of(mixed_up)) == claims(facts_of(joints))


def test_an_image_gives_what_it_can() -> None:
    names = [n for n in KINECT20.joint_names if not n.endswith(("hand", "foot"))]
    kept = [KINECT20.index(n) for n in names]
    data = KINECT20.to_dict()
    flat = JointLayout.from_dict(
        data
        | {"name": "flat", "dimension": 2, "joint_names": names}
        | {"bones": [b for b in data["bones"] if b[0] in names]}
        | {"parts": {p: [n for n in js if n in names] for p, js in data["parts"].items()}}
        | {"pairs": [p for p in data["pairs"] if p[0] in names]}
    )
    joints = clip(reach(person(), "left", up_and_back(1.1))).joints[:, :, kept]
    # Seen from the front: the person's right is on the left of the image, and its rows count down.
    pixels = np.stack([320 - 200 * joints[..., 0], 240 - 200 * joints[..., 1]], axis=3)
    facts = measure(SkeletonClip(pixels, flat))
    assert {"left hand rises to above the head", "right hand still", "body posture standing"} <= claims(facts)
    for depth in (
        Claim("left hand", "goes", "forward"),
        Claim("body", "turns", "left"),
        Claim("body", "bends", "back"),
    ):
        assert facts.check(depth) is None
    assert facts.check(Claim("left hand", "goes", "up"))


def test_poor_clips_give_few_claims_and_no_error() -> None:
    rng = np.random.default_rng(1)
    whole = clip(reach(person(), "right", circle(1)), person() + np.array([1.2, 0, 0])).joints
    every = [
        Claim(s, p, v)
        for s in ("left hand", "both hands", "right foot", "body")
        for p, vs in VALUES.items()
        for v in vs
    ]
    for frames in (1, 2, 3, 4, 7):
        facts = measure(SkeletonClip(whole[:frames], KINECT20))
        assert len(facts.claims()) <= (2 if frames < 4 else 10)
        for claim in every:
            facts.check(claim)
    assert measure(SkeletonClip(whole[:1], KINECT20)).check(Claim("right hand", "moves")) is None
    for kept in ([0], [3], [7, 11], [0, 1, 2, 3], list(range(12))):
        poor = np.zeros_like(whole)
        poor[:, :, kept] = whole[:, :, kept]
        facts = measure(SkeletonClip(poor, KINECT20))
        for claim in (*facts.claims(), *every):
            facts.check(claim)
        if 4 not in kept:
            assert facts.check(Claim("body", "posture", "standing")) is None
    gone = whole.copy()
    gone[20:, 1] = 0
    gone[rng.random(gone.shape[:3]) < 0.1] = 0
    facts = measure(SkeletonClip(gone, KINECT20))
    assert len(facts.people) == 2
    assert facts.check(Claim("right hand", "path", "clockwise circle"))
    gone[:, 0] = 0
    assert len(measure(SkeletonClip(gone, KINECT20)).people) == 1
    still = measure(SkeletonClip(np.ones((10, 1, 25, 3), dtype=np.float32), NTU25))
    assert not any(c.predicate in ("moves", "goes") for c in still.claims())


def test_the_facts_of_synthetic_clips_are_true() -> None:
    right, total = Counter[str](), Counter[str]()

    def note(fact: str, true: bool) -> None:
        total[fact] += 1
        right[fact] += true

    spent = 0.0
    for one, truth in generate_with_truth(4, 100):
        begin = time.process_time()
        facts = measure(one)
        spent += time.process_time() - begin
        assert all(facts.check(claim) for claim in facts.claims())
        first = facts.people[0]
        for claim in truth.claims:
            if claim.predicate in ("moves", "still") and "hand" in claim.subject:
                note("limb", bool(facts.check(claim)))
            elif claim.predicate not in ("repeats", "posture", "becomes"):
                note("other", bool(facts.check(claim)))
        for claim in truth.claims:
            if claim.predicate == "repeats" and claim.person == 0:
                limbs = {"left hand": first.hands[0], "right hand": first.hands[1]}
                limbs |= {"left foot": first.feet[0], "right foot": first.feet[1]}
                counted = limbs[claim.subject].repeats if claim.subject in limbs else first.body.repeats
                note("repeats", abs(counted - int(claim.value)) <= 1)
        if truth.side:
            note("side", first.side(facts.limit) == truth.side)
        note("posture", first.body.postures[0] == truth.posture_start and first.body.postures[-1] == truth.posture_end)
    share = {fact: right[fact] / total[fact] for fact in total}
    assert min(share["limb"], share["posture"]) >= 0.98, share
    assert min(share["side"], share["repeats"], share["other"]) >= 0.95, share
    # A few milliseconds each; the bound is wide for a busy machine.
    assert spent / total["posture"] < 0.05
