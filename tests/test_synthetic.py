import itertools

import numpy as np
import pytest

from sugar.datasets.body import POSTURE, Motion, Person, pose, ramp
from sugar.datasets.protocols import SYNTHETIC_CROSS_PERSON, ValidationConfig, split
from sugar.datasets.store import write_store
from sugar.datasets.synthetic import ACTIONS, SYNTHETIC_CLASSES, generate, perform
from sugar.errors import InputError
from sugar.skeleton.layout import NTU25

J = {name: i for i, name in enumerate(NTU25.joint_names)}


def person(seed: int = 0) -> Person:
    return Person.draw(np.random.default_rng(seed))


def acted(name: str, seed: int) -> tuple[Motion, np.ndarray]:
    action = next(action for action in ACTIONS if action.name == name)
    motion = perform(person(seed), action, np.random.default_rng(seed))
    return motion, pose(person(seed), motion)


def bent(**angles: float) -> np.ndarray:
    motion = Motion(np.linspace(0, 1, 2), POSTURE | angles, "right", 1, 1, np.random.default_rng(0))
    return pose(person(), motion)[0]


def test_bones_keep_their_length() -> None:
    for name in SYNTHETIC_CLASSES:
        _, joints = acted(name, 3)
        child, parent = np.array(NTU25.bones).T
        lengths = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        np.testing.assert_allclose(lengths, lengths[:1].repeat(len(lengths), axis=0), atol=1e-9)
        assert 1.3 < joints[:, J["head"], 1].max() < 2.6


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
    assert bent(bend=60)[J["head"], 2] < rest[J["head"], 2] - 0.3
    assert bent(lean=30)[J["head"], 0] > rest[J["head"], 0] + 0.1
    left = bent(twist=40)
    assert left[J["right_shoulder"], 2] < left[J["left_shoulder"], 2] - 0.05


@pytest.mark.parametrize("seed", range(6))
def test_actions_do_what_their_names_say(seed: int) -> None:
    motion, joints = acted("wave with one hand", seed)
    acting, idle = joints[:, J[f"{motion.side}_wrist"]], joints[:, J[f"{motion.other}_wrist"]]
    assert acting[:, 1].max() > joints[0, J["spine_shoulder"], 1] > idle[:, 1].max()
    _, joints = acted("wave with both hands", seed)
    for side in ("left", "right"):
        assert joints[:, J[f"{side}_wrist"], 1].max() > joints[0, J["spine_shoulder"], 1]
    _, joints = acted("clap", seed)
    gap = np.linalg.norm(joints[:, J["left_hand"]] - joints[:, J["right_hand"]], axis=1)
    assert gap.min() < 0.12 < 0.3 < gap.max()
    motion, joints = acted("punch", seed)
    reach = joints[:, J["spine_shoulder"], 2] - joints[:, J[f"{motion.side}_wrist"], 2]
    other = joints[:, J["spine_shoulder"], 2] - joints[:, J[f"{motion.other}_wrist"], 2]
    assert reach.max() > 0.3 > reach[0]
    assert reach.max() > other.max()
    motion, joints = acted("kick", seed)
    foot, standing = joints[:, J[f"{motion.side}_ankle"]], joints[:, J[f"{motion.other}_ankle"]]
    assert np.ptp(foot[:, 1]) > 0.25 > 0.1 > np.ptp(standing[:, 1])
    hips = {name: acted(name, seed)[1][:, J["spine_base"], 1] for name in SYNTHETIC_CLASSES}
    assert hips["sit down"][-1] < 0.75 * hips["sit down"][0]
    assert hips["stand up"][0] < 0.75 * hips["stand up"][-1]
    assert hips["squat"].min() < 0.75 * hips["squat"][0] < hips["squat"][-1]
    assert np.ptp(hips["bow"]) < 0.1
    _, joints = acted("bow", seed)
    assert joints[:, J["head"], 1].min() < 0.85 * joints[0, J["head"], 1]
    _, joints = acted("jump", seed)
    assert joints[:, :, 1].min(axis=1).max() > 0.08
    assert acted("squat", seed)[1][:, :, 1].min(axis=1).max() < 1e-9


def test_curves_have_no_jolt() -> None:
    curve = ramp(np.linspace(0, 1, 101), 0.2, 0.8)
    assert (curve[:20] == 0).all()
    assert (curve[81:] == 1).all()
    assert (np.diff(curve) >= 0).all()


def test_a_set_is_seeded_and_grows_at_its_end() -> None:
    small, large = list(generate(2, 7)), list(generate(3, 7))
    for i, clip in enumerate(small):
        same = large[i // 2 * 3 + i % 2]
        assert clip.clip_id == same.clip_id
        np.testing.assert_array_equal(clip.joints, same.joints)
    other = next(generate(1, 8))
    assert other.joints.shape != small[0].joints.shape or not np.array_equal(other.joints, small[0].joints)
    assert not np.array_equal(small[0].joints, small[1].joints)
    assert {c.label for c in generate(1, 0, ["clap", "bow"])} == {"clap", "bow"}
    with pytest.raises(InputError, match="'fly'"):
        next(generate(1, 0, ["fly"]))


def test_clips_look_like_those_of_a_sensor() -> None:
    for clip in itertools.islice(generate(12, 1), 0, None, 7):
        joints = clip.joints[:, 0]
        assert clip.layout is NTU25
        assert 20 < clip.num_frames < 200
        assert 1.5 < joints[..., 2].min() < joints[..., 2].max() < 5
        assert joints[0, J["head"], 1] > joints[0, J["spine_base"], 1] > joints[0, J["left_ankle"], 1]


def test_test_people_and_cameras_are_unseen_in_training(tmp_path) -> None:
    store = write_store(
        tmp_path / "s",
        generate(12, 0),
        name="synthetic",
        classes=SYNTHETIC_CLASSES,
        layout=NTU25,
        source="built in",
    )
    parts = split(store, SYNTHETIC_CROSS_PERSON, ValidationConfig(fraction=0.2))
    known = np.concatenate([parts.train, parts.validation])
    for column in ("subject", "camera"):
        assert not np.isin(store.column(column)[parts.test], store.column(column)[known]).any()
    for side in (parts.train, parts.validation, parts.test):
        assert (np.bincount(store.labels[side], minlength=len(SYNTHETIC_CLASSES)) > 0).all()
