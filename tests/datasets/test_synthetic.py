import itertools
from functools import cache

import numpy as np
import pytest

from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import (
    ACTIONS,
    PAIR_ACTIONS,
    SEEN_CLASSES,
    SYNTHETIC_CLASSES,
    UNSEEN_CLASSES,
    Truth,
    generate,
    generate_with_truth,
    perform,
    perform_pair,
)
from sugar.datasets.synthetic.body import POSTURE, Person, pose
from sugar.datasets.synthetic.motion import Motion, ramp
from sugar.datasets.synthetic.recording import opposite
from sugar.datasets.synthetic.truth import truth_of
from sugar.errors import InputError
from sugar.facts.claims import Claim
from sugar.facts.grammar import is_allowed
from sugar.skeleton.geometry import is_measured
from sugar.skeleton.layouts import NTU25

J = {name: i for i, name in enumerate(NTU25.joint_names)}
PAIRS = tuple(action.name for action in PAIR_ACTIONS)
SINGLES = tuple(action.name for action in ACTIONS)
SEEDS = range(6)


@cache
def person(seed: int = 0) -> Person:
    return Person.draw(np.random.default_rng(seed))


@cache
def acted(name: str, seed: int) -> tuple[Motion, np.ndarray]:
    action = next(action for action in ACTIONS if action.name == name)
    motion = perform(person(seed), action, np.random.default_rng(seed))
    return motion, pose(person(seed), motion)


@cache
def met(name: str, seed: int) -> tuple[tuple[Motion, np.ndarray], tuple[Motion, np.ndarray]]:
    """Two people in one room: motion and joints of each."""
    action = next(action for action in PAIR_ACTIONS if action.name == name)
    people = person(seed), person(seed + 100)
    one, two, distance = perform_pair(*people, action, np.random.default_rng(seed))
    return (one, pose(people[0], one)), (two, opposite(pose(people[1], two), distance))


def everyone(name: str, seed: int) -> list[tuple[Motion, np.ndarray]]:
    return list(met(name, seed)) if name in PAIRS else [acted(name, seed)]


@cache
def recorded(name: str) -> list[tuple[np.ndarray, Truth]]:
    return [(clip.joints, truth) for clip, truth in generate_with_truth(8, 5, [name])]


def bent(**angles: float) -> np.ndarray:
    motion = Motion(np.linspace(0, 1, 2), POSTURE | angles, "right", 1, 1, np.random.default_rng(0))
    return pose(person(), motion)[0]


def gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one - other, axis=-1)


def path(joints: np.ndarray, joint: str) -> np.ndarray:
    """A joint's way against the trunk."""
    return joints[:, J[joint]] - joints[:, J["spine_shoulder"]]


def extent(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max())


def peaks(values: np.ndarray) -> int:
    """How often a curve goes over the middle of its range, upward."""
    high = values > (values.max() + values.min()) / 2
    return int((high[1:] & ~high[:-1]).sum())


def test_there_are_the_classes_that_are_promised() -> None:
    assert len(SINGLES) >= 24
    assert len(PAIRS) == 4
    assert len(set(SYNTHETIC_CLASSES)) == len(SYNTHETIC_CLASSES) == len(SINGLES) + len(PAIRS)
    assert len(UNSEEN_CLASSES) == 4
    assert set(UNSEEN_CLASSES) < set(SINGLES)
    assert set(SEEN_CLASSES) == set(SYNTHETIC_CLASSES) - set(UNSEEN_CLASSES)
    assert [clip.label for clip in generate(1, 0)] == list(SYNTHETIC_CLASSES)


@pytest.mark.parametrize("name", SYNTHETIC_CLASSES)
def test_bones_keep_their_length_and_nobody_sinks_into_the_floor(name: str) -> None:
    child, parent = np.array(NTU25.bones).T
    for seed in SEEDS:
        for _, joints in everyone(name, seed):
            lengths = gap(joints[:, child], joints[:, parent])
            np.testing.assert_allclose(lengths, lengths[:1].repeat(len(lengths), axis=0), atol=1e-9)
            assert 0.9 < joints[0, J["head"], 1] < 2.2
            assert joints[..., 1].min() > -0.01


@pytest.mark.parametrize("name", SYNTHETIC_CLASSES)
def test_standing_feet_do_not_slide(name: str) -> None:
    for seed in SEEDS:
        for motion, joints in everyone(name, seed):
            for side in ("left", "right"):
                if motion.feet:
                    stands = motion.feet[side].lift + motion.lift < 1e-9
                elif side in motion.support:
                    stands = motion.lift == 0
                else:
                    continue
                assert stands.mean() > 0.2
                toes = joints[:, J[f"{side}_foot"]]
                stances = np.split(toes, np.flatnonzero(np.diff(stands)) + 1)[0 if stands[0] else 1 :: 2]
                assert max(extent(stance) for stance in stances) < 0.03


def test_angles_turn_the_way_they_are_named() -> None:
    rest = bent()
    assert rest[J["left_shoulder"], 0] < rest[J["right_shoulder"], 0]
    assert rest[J["left_foot"], 2] < rest[J["left_ankle"], 2]  # the front is -z
    for side, out in (("left", -1), ("right", 1)):
        hand, shoulder = J[f"{side}_hand"], J[f"{side}_shoulder"]
        front = bent(**{f"{side}_raise": 90, f"{side}_plane": 0, f"{side}_elbow": 0})
        assert front[hand, 2] < front[shoulder, 2] - 0.3
        aside = bent(**{f"{side}_raise": 90, f"{side}_plane": 90, f"{side}_elbow": 0})
        assert out * (aside[hand, 0] - aside[shoulder, 0]) > 0.3
        folded = bent(**{f"{side}_elbow": 90, f"{side}_roll": 0})
        assert folded[hand, 2] < rest[hand, 2] - 0.15
        inward = bent(**{f"{side}_elbow": 90, f"{side}_roll": 60})
        assert out * (inward[hand, 0] - folded[hand, 0]) < -0.1
        kicked = bent(**{f"{side}_hip": 60})
        assert kicked[J[f"{side}_knee"], 2] < kicked[J["spine_base"], 2] - 0.2
        back = bent(**{f"{side}_knee": 60})
        assert back[J[f"{side}_ankle"], 2] > back[J[f"{side}_knee"], 2] + 0.2
    for channel in ("bend", "hinge"):
        assert bent(**{channel: 60})[J["head"], 2] < rest[J["head"], 2] - 0.3
    assert bent(lean=30)[J["head"], 0] > rest[J["head"], 0] + 0.1
    left = bent(twist=40)
    assert left[J["right_shoulder"], 2] < left[J["left_shoulder"], 2] - 0.05
    turned = bent(turn=90)
    assert turned[J["left_foot"], 0] < turned[J["left_ankle"], 0] - 0.05


def test_a_hand_goes_where_it_is_drawn() -> None:
    for side, out in (("left", -1), ("right", 1)):
        motion = Motion(np.linspace(0, 1, 5), dict(POSTURE), "right", 1, 1, np.random.default_rng(0))
        motion.reach(side, "place", (0.1, 0.7, -0.25), motion.time)
        joints = pose(person(), motion)
        want = np.array([out * 0.1, 0.7, -0.25]) * person().height
        np.testing.assert_allclose(joints[-1, J[f"{side}_hand"]], want, atol=1e-6)
        np.testing.assert_allclose(joints[0], bent(), atol=1e-9)
        # No elbow bends over its straight line: it stays lower than the line from shoulder to hand.
        middle = (joints[-1, J[f"{side}_hand"]] + joints[-1, J[f"{side}_shoulder"]]) / 2
        assert joints[-1, J[f"{side}_elbow"], 1] < middle[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_hands_do_what_the_names_say(seed: int) -> None:
    motion, joints = acted("wave with one hand", seed)
    acting, idle = joints[:, J[f"{motion.side}_wrist"]], joints[:, J[f"{motion.other}_wrist"]]
    assert acting[:, 1].max() > joints[0, J["spine_shoulder"], 1] > idle[:, 1].max()
    for name in ("wave with both hands", "jumping jacks"):
        _, joints = acted(name, seed)
        for side in ("left", "right"):
            assert joints[:, J[f"{side}_wrist"], 1].max() > joints[0, J["spine_shoulder"], 1]
    _, joints = acted("clap", seed)
    apart = gap(joints[:, J["left_hand"]], joints[:, J["right_hand"]])
    assert apart.min() < 0.12 < 0.3 < apart.max()
    motion, joints = acted("punch", seed)
    reach = joints[:, J["spine_shoulder"], 2] - joints[:, J[f"{motion.side}_wrist"], 2]
    other = joints[:, J["spine_shoulder"], 2] - joints[:, J[f"{motion.other}_wrist"], 2]
    assert reach.max() > 0.3 > reach[0]
    assert reach.max() > other.max()
    _, joints = acted("push with both hands", seed)
    for side in ("left", "right"):
        assert -path(joints, f"{side}_hand")[:, 2].min() > 0.4
    for name, far in (("drink", 0.22), ("answer the phone", 0.16)):
        motion, joints = acted(name, seed)
        assert gap(joints[:, J[f"{motion.side}_hand"]], joints[:, J["head"]]).min() < far
        assert gap(joints[:, J[f"{motion.other}_hand"]], joints[:, J["head"]]).min() > 0.35
    motion, joints = acted("throw", seed)
    way = path(joints, f"{motion.side}_hand")
    back, front = way[:, 2].argmax(), way[:, 2].argmin()
    assert back < front
    assert way[back, 2] > 0 > -0.3 > way[front, 2]
    motion, joints = acted("swipe", seed)
    across = path(joints, f"{motion.side}_hand")[:, 0] * (1 if motion.side == "right" else -1)
    inward = Claim(f"{motion.side} hand", "goes", "inward") in motion.claims
    assert (across.argmax() < across.argmin()) == inward
    assert across.max() > 0.3
    assert across.min() < -0.05
    _, joints = acted("cross the arms", seed)
    assert joints[-1, J["right_hand"], 0] < joints[-1, J["left_hand"], 0] - 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_and_legs_do_what_the_names_say(seed: int) -> None:
    hips = {name: acted(name, seed)[1][:, J["spine_base"], 1] for name in SINGLES}
    assert hips["sit down"][-1] < 0.75 * hips["sit down"][0]
    assert hips["stand up"][0] < 0.75 * hips["stand up"][-1]
    assert hips["squat"].min() < 0.75 * hips["squat"][0] < hips["squat"][-1]
    assert np.ptp(hips["bow"]) < 0.1
    _, joints = acted("bow", seed)
    assert joints[:, J["head"], 1].min() < 0.85 * joints[0, J["head"], 1]
    _, joints = acted("touch the toes", seed)
    for side in ("left", "right"):
        assert gap(joints[:, J[f"{side}_hand"]], joints[:, J[f"{side}_foot"]]).min() < 0.2
    motion, joints = acted("pick up an object", seed)
    assert joints[:, J[f"{motion.side}_hand"], 1].min() < 0.2 < joints[:, J[f"{motion.other}_hand"], 1].min()
    motion, joints = acted("kneel down", seed)
    assert joints[-1, J[f"{motion.side}_knee"], 1] < 0.1 < 0.3 < joints[-1, J[f"{motion.other}_knee"], 1]
    motion, joints = acted("kick", seed)
    foot, standing = joints[:, J[f"{motion.side}_ankle"]], joints[:, J[f"{motion.other}_ankle"]]
    assert np.ptp(foot[:, 1]) > 0.25 > 0.1 > np.ptp(standing[:, 1])
    _, joints = acted("jump", seed)
    assert joints[:, :, 1].min(axis=1).max() > 0.08
    assert acted("squat", seed)[1][:, :, 1].min(axis=1).max() < 0.01
    _, joints = acted("jumping jacks", seed)
    assert joints[:, :, 1].min(axis=1).max() > 0.04
    assert np.ptp(gap(joints[:, J["left_ankle"]], joints[:, J["right_ankle"]])) > 0.3
    _, joints = acted("walk", seed)
    assert joints[0, J["spine_base"], 2] - joints[-1, J["spine_base"], 2] > 0.8
    _, joints = acted("march on the spot", seed)
    assert extent(joints[:, J["spine_base"]]) < 0.05
    assert min(np.ptp(joints[:, J[f"{side}_ankle"], 1]) for side in ("left", "right")) > 0.15
    _, joints = acted("turn around", seed)
    across = joints[:, J["right_shoulder"]] - joints[:, J["left_shoulder"]]
    assert across[0, 0] > 0.2
    assert across[-1, 0] < -0.2
    assert extent(joints[:, J["spine_base"], [0, 2]]) < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_two_people_meet(seed: int) -> None:
    for name in ("shake hands", "pass an object"):
        (one, here), (two, there) = met(name, seed)
        apart = [gap(here[:, J[f"{s}_hand"]], there[:, J[f"{t}_hand"]]) for s in one.hands_act for t in two.hands_act]
        assert np.min(apart) < 0.12
        assert np.min(apart, axis=0)[0] > 0.15
    _, (_, there) = (one, here), (two, there) = met("hug", seed)
    for mine, theirs in ((here, there), (there, here)):
        for side in ("left", "right"):
            trunk = theirs[:, [J["spine_mid"], J["spine_shoulder"], J["left_shoulder"], J["right_shoulder"]]]
            assert gap(mine[:, None, J[f"{side}_hand"]], trunk).min() < 0.25
    (one, here), (_, there) = met("push another person", seed)
    trunk = there[:, [J["spine_mid"], J["spine_shoulder"]]]
    struck = np.min([gap(here[:, None, J[f"{s}_hand"]], trunk).min(axis=1) for s in one.hands_act], axis=0)
    assert struck.min() < 0.25
    away = gap(here[:, J["spine_base"]], there[:, J["spine_base"]])
    assert away[-1] - away[struck.argmin()] > 0.4
    assert away[struck.argmin()] - away[0] < 0.1


@pytest.mark.parametrize("name", SYNTHETIC_CLASSES)
def test_the_truth_holds_of_the_joints(name: str) -> None:
    for joints, truth in recorded(name):
        people = [truth] if truth.partner is None else [truth, truth.partner]
        assert joints.shape[1] == len(people) == (2 if name in PAIRS else 1)
        assert all(is_allowed(claim) for claim in truth.claims)
        assert len(set(truth.claims)) == len(truth.claims)
        for number, one in enumerate(people):
            body = joints[:, number].astype(np.float64)
            body = np.where(is_measured(body[:, None])[:, 0, :, None], body, np.nan)
            tall = np.nanmedian(gap(body[:, J["head"]], body[:, J["spine_base"]])) / 0.4
            spread = {}
            for side in ("left", "right"):
                hand = path(body, f"{side}_wrist")  # its noise is less than the hand's
                spread[side] = np.ptp(np.nanpercentile(hand, (3, 97), axis=0), axis=0).max() / tall
                if side in one.hands:
                    assert spread[side] > 0.08
                    assert Claim(f"{side} hand", "moves", "", number) in truth.claims
                if Claim(f"{side} hand", "still", "", number) in truth.claims:
                    assert side not in one.hands
                    assert one.posture_start == one.posture_end
            if len(one.hands) == 1:
                assert one.side in one.hands
                assert spread[one.side] > 0.9 * max(spread.values())  # a boxer's guard goes up with both
            hips = body[:, J["spine_base"], 1] - np.nanmin(body[:, [J["left_ankle"], J["right_ankle"]], 1], axis=1)
            for place, posture in ((0, one.posture_start), (-1, one.posture_end)):
                assert (hips[place] > 0.42 * tall) == (posture == "standing")


def test_the_circle_turns_the_way_its_claim_says() -> None:
    senses = set()
    for seed in range(12):
        motion, joints = acted("draw a circle in the air", seed)
        way = path(joints, f"{motion.side}_hand")[:, :2]
        middle = way[len(way) // 3 : -len(way) // 4]
        turn = np.diff(np.unwrap(np.arctan2(*(middle - middle.mean(axis=0)).T[::-1]))).sum()
        # The person looks along -z with x to the right and y up: anticlockwise is positive.
        sense = "counter-clockwise circle" if turn > 0 else "clockwise circle"
        assert Claim(f"{motion.side} hand", "path", sense) in motion.claims
        senses.add((motion.side, sense))
    assert len(senses) == 4


@pytest.mark.parametrize("seed", range(12))
def test_repetitions_are_those_of_the_truth(seed: int) -> None:
    def truth(name: str) -> int | None:
        motion, joints = acted(name, seed)
        return truth_of(motion, joints).repetitions

    _, joints = acted("clap", seed)
    closed = gap(joints[:, J["left_hand"]], joints[:, J["right_hand"]]) < 0.15
    assert (closed[1:] & ~closed[:-1]).sum() == truth("clap")
    for name, curve in (
        ("squat", lambda m, j: -j[:, J["spine_base"], 1]),
        ("jumping jacks", lambda m, j: j[:, J["right_hand"], 1]),
        ("march on the spot", lambda m, j: j[:, J["right_knee"], 1]),
        ("jump", lambda m, j: j[:, :, 1].min(axis=1)),
        ("punch", lambda m, j: -path(j, f"{m.side}_elbow")[:, 2]),
        ("kick", lambda m, j: j[:, J[f"{m.side}_knee"], 1]),
    ):
        assert peaks(curve(*acted(name, seed))) == truth(name), name


def test_curves_have_no_jolt() -> None:
    curve = ramp(np.linspace(0, 1, 101), 0.2, 0.8)
    assert (curve[:20] == 0).all()
    assert (curve[81:] == 1).all()
    assert (np.diff(curve) >= 0).all()


def test_a_set_is_seeded_and_grows_at_its_end() -> None:
    small, large = list(generate_with_truth(2, 7)), list(generate_with_truth(3, 7))
    for i, (clip, truth) in enumerate(small):
        same, same_truth = large[i // 2 * 3 + i % 2]
        assert clip.clip_id == same.clip_id
        assert truth == same_truth
        np.testing.assert_array_equal(clip.joints, same.joints)
    alone = next(generate(1, 7, ["hug"]))
    np.testing.assert_array_equal(alone.joints, large[3 * SYNTHETIC_CLASSES.index("hug")][0].joints)
    first, second, other = small[0][0], small[1][0], next(generate(1, 8))
    assert other.joints.shape != first.joints.shape or not np.array_equal(other.joints, first.joints)
    assert not np.array_equal(first.joints, second.joints)
    assert {c.label for c in generate(1, 0, ["clap", "bow"])} == {"clap", "bow"}
    with pytest.raises(InputError, match="'fly'"):
        next(generate(1, 0, ["fly"]))


def test_clips_look_like_those_of_a_sensor() -> None:
    lost = 0
    for clip in itertools.islice(generate(12, 1), 0, None, 3):
        measured = is_measured(clip.joints)
        assert clip.layout is NTU25
        assert 20 < clip.num_frames < 240
        depth = clip.joints[..., 2][measured]
        assert 1.3 < depth.min() < depth.max() < 5.5
        missing = {name for name, i in J.items() if not measured[:, :, i].all()}
        assert all(name.split("_")[-1] in ("hand", "tip", "thumb", "foot") for name in missing)
        assert measured.mean() > 0.98
        lost += bool(missing)
        for joints in clip.joints.swapaxes(0, 1):
            assert joints[0, J["head"], 1] > joints[0, J["spine_base"], 1] > joints[0, J["left_ankle"], 1]
    assert 0 < lost < 40


def test_test_people_and_cameras_are_unseen_in_training(tmp_path) -> None:
    store = write_store(
        tmp_path / "s",
        generate(12, 0),
        name="synthetic",
        classes=SYNTHETIC_CLASSES,
        layout=NTU25,
        source="built in",
    )
    parts = split(store, get_protocol("synthetic-cross-person"), ValidationConfig(fraction=0.2))
    known = np.concatenate([parts.train, parts.validation])
    for column in ("subject", "camera"):
        assert not np.isin(store.column(column)[parts.test], store.column(column)[known]).any()
    for side in (parts.train, parts.validation, parts.test):
        assert (np.bincount(store.labels[side], minlength=len(SYNTHETIC_CLASSES)) > 0).all()
