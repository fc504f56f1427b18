"""Clips in other layouts, by geometry on synthetic clips (NTU25, 3-D)."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from sugar.datasets.synthetic import SYNTHETIC_CLASSES, generate
from sugar.errors import InputError
from sugar.facts.body_frame import straighten
from sugar.facts.measure import measure
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import mirror
from sugar.skeleton.layout import PARTS, JointLayout
from sugar.skeleton.layouts import (
    BLAZEPOSE33,
    COCO17,
    COCO17_3D,
    KINECT15,
    KINECT20,
    LAYOUTS,
    NTU25,
    OPENPOSE18,
    OPENPOSE25,
    SMARTHOME13_3D,
    SMPL24,
)
from sugar.skeleton.retarget import missing_joints, retarget

IN_3D = [layout for layout in LAYOUTS if layout.dimension == 3]
BY_NAME = {"ids": lambda layout: layout.name}


@pytest.fixture(scope="module")
def clips() -> list[SkeletonClip]:
    """One clip of each synthetic class, those of two people among them."""
    return list(generate(1, seed=0))


def standing(layout: JointLayout = NTU25) -> SkeletonClip:
    """A person of 1.7 m who faces the sensor with the arms out, exactly, twice."""
    joints = {name: (0.0, y, 3.0) for name, y in (("spine_base", 0.9), ("spine_mid", 1.15), ("spine_shoulder", 1.4))}
    joints |= {"neck": (0.0, 1.47, 3.0), "head": (0.0, 1.6, 3.0)}
    for side, sign in (("left", -1), ("right", 1)):
        limbs = {"shoulder": (0.18, 1.4), "elbow": (0.46, 1.4), "wrist": (0.71, 1.4), "hand": (0.8, 1.4)}
        limbs |= {"hand_tip": (0.88, 1.4), "thumb": (0.84, 1.44), "hip": (0.09, 0.88), "knee": (0.09, 0.48)}
        for name, (x, y) in limbs.items():
            joints[f"{side}_{name}"] = (sign * x, y, 3.0)
        joints |= {f"{side}_ankle": (sign * 0.09, 0.08, 3.0), f"{side}_foot": (sign * 0.09, 0.04, 2.86)}
    clip = SkeletonClip(np.array([[[joints[name] for name in NTU25.joint_names]]] * 2), NTU25)
    return retarget(clip, layout)


def track(clip: SkeletonClip, joint: str) -> np.ndarray:
    """``[T, M, C]``."""
    return clip.joints[:, :, clip.layout.index(joint)]


@pytest.mark.parametrize("target", LAYOUTS, **BY_NAME)
@pytest.mark.parametrize("source", IN_3D, **BY_NAME)
def test_joints_of_the_same_name_are_bit_identical(clips, source: JointLayout, target: JointLayout) -> None:
    clip = retarget(clips[0], source)
    result = retarget(clip, target)
    assert missing_joints(source, target) == ()
    shared = sorted(set(source.joint_names) & set(target.joint_names))
    assert len(shared) >= 8
    for joint in shared:
        expected = track(clip, joint)
        if target.dimension == 2:
            expected = -expected[..., :2]
        np.testing.assert_array_equal(track(result, joint), expected, err_msg=joint)


def test_what_a_clip_says_of_itself_stays(clips) -> None:
    result = retarget(clips[3], COCO17)
    assert (result.clip_id, result.label, result.fps) == (clips[3].clip_id, clips[3].label, clips[3].fps)
    assert (result.subject, result.camera, result.trial) == (clips[3].subject, clips[3].camera, clips[3].trial)
    assert retarget(clips[3], NTU25) is clips[3]


@pytest.mark.parametrize("middle", IN_3D, **BY_NAME)
@pytest.mark.parametrize("start", IN_3D, **BY_NAME)
def test_round_trips_keep_shared_joints(clips, start: JointLayout, middle: JointLayout) -> None:
    clip = retarget(clips[5], start)
    back = retarget(retarget(clip, middle), start)
    for joint in set(start.joint_names) & set(middle.joint_names):
        np.testing.assert_array_equal(track(back, joint), track(clip, joint))


def test_kinect20_comes_back_whole_from_ntu25(clips) -> None:
    clip = retarget(clips[5], KINECT20)
    np.testing.assert_array_equal(retarget(retarget(clip, NTU25), KINECT20).joints, clip.joints)
    np.testing.assert_array_equal(track(clip, "hip_center"), track(clips[5], "spine_base"))


@pytest.mark.parametrize(("source", "target"), list(product(IN_3D, IN_3D)), ids=lambda layout: layout.name)
def test_bones_are_of_a_body_and_constant(source: JointLayout, target: JointLayout) -> None:
    """On a rigid body that turns and lifts its arms: no bone changes, none is absurd for 1.7 m."""
    still, frames = retarget(standing(), source), 9
    joints = np.repeat(still.joints[:1], frames, axis=0).astype(np.float64) - (0, 0, 3)
    for frame, angle in enumerate(np.linspace(0, 2, frames)):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        lift = np.array(
            [[np.cos(angle / 2), -np.sin(angle / 2), 0], [np.sin(angle / 2), np.cos(angle / 2), 0], [0, 0, 1]]
        )
        arm = [j for j, n in enumerate(source.joint_names) if n.startswith("right_") and j in _beyond(source)]
        shoulder = joints[frame, 0, source.index("right_shoulder")].copy()
        joints[frame, 0, arm] = (joints[frame, 0, arm] - shoulder) @ lift.T + shoulder
        joints[frame] = joints[frame] @ turn.T + (0, 0, 3)
    result = retarget(replace(still, joints=joints.astype(np.float32)), target)
    child, parent = np.array(target.bones).T
    lengths = np.linalg.norm(result.joints[:, 0, child] - result.joints[:, 0, parent], axis=2)
    for bone, (c, _) in enumerate(target.bones):
        name = target.joint_names[c]
        assert np.ptp(lengths[:, bone]) < 1e-4, name
        assert 0.005 < lengths[0, bone] < 0.6, f"{name}: {lengths[0, bone]}"


def _beyond(layout: JointLayout) -> set[int]:
    return {*layout.parts["hand"], *(layout.index(n) for n in layout.joint_names if n.endswith(("elbow", "wrist")))}


def test_estimates_lie_where_the_body_has_them() -> None:
    blaze = standing(BLAZEPOSE33)
    at = {name: track(blaze, name)[0, 0] for name in BLAZEPOSE33.joint_names}
    assert at["nose"][2] < at["left_ear"][2] - 0.05  # to the sensor
    assert at["left_mouth"][1] < at["nose"][1] < at["left_eye"][1]
    assert at["left_foot_index"][2] < at["left_ankle"][2] - 0.1 < at["left_heel"][2]
    assert at["left_heel"][1] < at["left_ankle"][1]
    forearm = 0.25
    bare = retarget(standing(SMARTHOME13_3D), NTU25)
    reach = track(bare, "right_hand_tip") - track(bare, "right_wrist")
    np.testing.assert_allclose(reach[0, 0], [0.74 * forearm, 0, 0], atol=1e-5)
    np.testing.assert_allclose(track(bare, "spine_base")[0, 0], [0, 0.88, 3], atol=1e-5)
    np.testing.assert_allclose(track(bare, "spine_shoulder")[0, 0], [0, 1.4, 3], atol=1e-5)
    assert track(bare, "left_foot")[0, 0, 2] < 2.9
    # In OpenPose the neck is the middle of the shoulders; in NTU it is above.
    np.testing.assert_allclose(track(retarget(standing(KINECT20), OPENPOSE18), "neck")[0, 0], [0, -1.4], atol=1e-5)
    assert track(retarget(standing(KINECT20), NTU25), "neck")[0, 0, 1] > 1.43


def test_a_foot_points_forward_of_a_bent_trunk() -> None:
    clip = standing(COCO17_3D)
    joints = clip.joints.copy()
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"):
        j = COCO17_3D.index(name)
        height = joints[:, :, j, 1] - 0.9
        joints[:, :, j, 1], joints[:, :, j, 2] = 0.9, joints[:, :, j, 2] - height
    foot = track(retarget(replace(clip, joints=joints), KINECT20), "left_foot")[0, 0]
    np.testing.assert_allclose(foot, track(retarget(clip, KINECT20), "left_foot")[0, 0], atol=1e-6)
    assert foot[2] < 2.9


@pytest.mark.parametrize("target", IN_3D, **BY_NAME)
@pytest.mark.parametrize("source", IN_3D, **BY_NAME)
def test_left_stays_left(clips, source: JointLayout, target: JointLayout) -> None:
    """A left joint is nearer to the left than to the right joints of the same limb in the original."""
    for clip in (clips[0], clips[9], clips[20]):
        result = retarget(retarget(clip, source), target)
        across = track(clip, "right_hip") - track(clip, "left_hip")
        across = across / np.linalg.norm(across, axis=-1, keepdims=True)
        there = clip.present
        for left, right in target.pairs:
            if "shoulder" in target.joint_names[left] or "hip" in target.joint_names[left]:
                step = ((result.joints[:, :, right] - result.joints[:, :, left]) * across).sum(-1)
                assert (step[there] > 0).mean() > 0.97, target.joint_names[left]
        for part, anchor in (("hand", "wrist"), ("foot", "ankle")):
            for side, other in (("left", "right"), ("right", "left")):
                for j in target.parts[part]:
                    if target.joint_names[j].startswith(side):
                        own = np.linalg.norm(result.joints[:, :, j] - track(clip, f"{side}_{anchor}"), axis=-1)
                        wrong = np.linalg.norm(result.joints[:, :, j] - track(clip, f"{other}_{anchor}"), axis=-1)
                        assert np.median((own - wrong)[there]) < 0


@pytest.mark.parametrize("target", LAYOUTS, **BY_NAME)
@pytest.mark.parametrize("source", IN_3D, **BY_NAME)
def test_a_mirrored_clip_gives_the_mirrored_result(clips, source: JointLayout, target: JointLayout) -> None:
    clip = retarget(clips[13], source)
    reflected = replace(clip, joints=mirror(clip.joints, source))
    there = retarget(reflected, target)
    np.testing.assert_allclose(there.joints, mirror(retarget(clip, target).joints, target), atol=2e-6)


def acting_limbs(clip: SkeletonClip) -> set[tuple[int, str]]:
    return {(claim.person, claim.subject) for claim in measure(clip).claims() if claim.predicate == "moves"}


def test_the_acting_limbs_stay_the_same(clips) -> None:
    assert len(clips) == len(SYNTHETIC_CLASSES)
    kept = {
        layout.name: np.mean([acting_limbs(retarget(clip, layout)) == acting_limbs(clip) for clip in clips])
        for layout in IN_3D
    }
    assert kept["kinect20"] == 1
    assert np.mean([acting_limbs(retarget(retarget(c, KINECT20), NTU25)) == acting_limbs(c) for c in clips]) == 1
    assert kept["smpl24"] > 0.9
    # Ankles instead of feet; and OpenNI's hand stands for the wrist.
    assert min(kept.values()) > 0.6


def test_confidence_is_the_least_of_the_sources() -> None:
    clip = standing(COCO17_3D)
    confidence = np.full(clip.joints.shape[:3], 0.9, dtype=np.float32)
    confidence[:, :, COCO17_3D.index("left_wrist")] = 0.3
    confidence[:, :, COCO17_3D.index("left_hip")] = 0.5
    joints = clip.joints.copy()
    joints[1, :, COCO17_3D.index("left_hip")] = 0
    result = retarget(replace(clip, joints=joints, confidence=confidence), NTU25)
    trust = result.confidence[:, 0]
    for joint, expected in {"left_hand_tip": 0.3, "right_hand": 0.9, "spine_mid": 0.5, "left_hip": 0.5}.items():
        assert trust[0, NTU25.index(joint)] == np.float32(expected), joint
    for joint in ("spine_base", "spine_mid", "left_foot", "left_hip"):
        assert trust[1, NTU25.index(joint)] == 0
        assert not track(result, joint)[1].any()
    assert track(result, "left_hand_tip")[1].all()
    assert retarget(clip, NTU25).confidence is None


def test_absent_people_stay_absent(clips) -> None:
    pair = next(clip for clip in clips if clip.num_persons == 2)
    joints = pair.joints.copy()
    joints[:5, 1] = 0
    for layout in LAYOUTS:
        present = retarget(replace(pair, joints=joints), layout).present
        assert not present[:5, 1].any()
        assert present[5:].all()


def test_three_to_two_dimensions_and_not_back() -> None:
    flat = standing(OPENPOSE25)
    assert track(flat, "left_wrist")[0, 0, 0] > track(flat, "right_wrist")[0, 0, 0]  # as an image shows who faces it
    assert track(flat, "nose")[0, 0, 1] < track(flat, "left_ankle")[0, 0, 1]  # y points down
    assert np.ptp(track(flat, "left_wrist")[0, 0] - track(standing(), "left_wrist")[0, 0, :2] * -1) == 0
    with pytest.raises(InputError, match=r"2-D clip of layout openpose25 cannot become 3-D layout kinect20"):
        retarget(flat, KINECT20)
    folded = retarget(flat, COCO17)
    np.testing.assert_array_equal(track(folded, "nose"), track(flat, "nose"))


def test_a_measured_joint_at_the_origin_stays_measured() -> None:
    clip = standing(COCO17_3D)
    joints = clip.joints - clip.joints[:1, :1, [11]] / 2 - clip.joints[:1, :1, [12]] / 2
    assert track(retarget(replace(clip, joints=joints), NTU25), "spine_base").any(axis=2).all()


def test_axes_follow_the_layouts() -> None:
    upright = replace(NTU25, name="ntu25_z", up=2)
    clip = standing()
    turned = retarget(clip, upright)
    np.testing.assert_array_equal(turned.joints[..., 2], clip.joints[..., 1])
    assert np.linalg.det(np.eye(3)[[1, 2, 0]]) == pytest.approx(1)  # an even permutation of the axes
    np.testing.assert_array_equal(turned.joints, clip.joints[..., [2, 0, 1]])
    np.testing.assert_array_equal(retarget(turned, NTU25).joints, clip.joints)
    np.testing.assert_array_equal(retarget(turned, OPENPOSE18).joints, retarget(clip, OPENPOSE18).joints)


def test_a_users_own_layout(tmp_path) -> None:
    data = KINECT20.to_dict() | {"name": "mine", "joint_names": [*KINECT20.joint_names, "tail"]}
    data["bones"] = [*data["bones"], ["tail", "hip_center"]]
    data["parts"] = {**data["parts"], "hip": [*data["parts"]["hip"], "tail"]}
    mine = JointLayout.from_dict(data)
    mine.to_json(tmp_path / "mine.json")
    mine = JointLayout.from_json(tmp_path / "mine.json")
    assert missing_joints(NTU25, mine) == ("tail",)
    assert missing_joints(mine, NTU25) == ()
    result = retarget(standing(), mine)
    assert not track(result, "tail").any()
    np.testing.assert_array_equal(result.joints[:, :, :20], standing(KINECT20).joints)


def test_a_layout_without_a_torso_is_refused() -> None:
    names = ("wrist", "left_thumb", "right_thumb")
    hand = JointLayout(
        "hand", names, ((1, 0), (2, 0)), 0, {p: (0, 1, 2) if p == "hand" else () for p in PARTS}, ((1, 2),)
    )
    clip = SkeletonClip(np.ones((2, 1, 3, 3)), hand, clip_id="h1")
    with pytest.raises(InputError, match="clip 'h1': layout hand has no joint 'left_shoulder'"):
        retarget(clip, NTU25)
    assert "spine_base" in missing_joints(hand, NTU25)
    assert "left_thumb" not in missing_joints(hand, NTU25)


def test_joints_beyond_estimate_are_listed() -> None:
    names = [n for n in KINECT15.joint_names if n not in ("left_knee", "left_foot", "head")]
    data = KINECT15.to_dict() | {"name": "less", "joint_names": names, "pairs": []}
    data["bones"] = [["neck", "torso"]] + [[n, "neck"] for n in names if n not in ("neck", "torso")]
    data["parts"] = {part: [n for n in joints if n in names] for part, joints in data["parts"].items()}
    less = JointLayout.from_dict(data)
    assert missing_joints(less, KINECT20) == ("head", "left_knee", "left_ankle", "left_foot")
    assert missing_joints(less, SMPL24) == ("left_knee", "left_ankle", "left_foot", "head")


@pytest.mark.parametrize("seed", range(20))
def test_any_joints_with_a_torso_give_all_that_is_not_listed_as_missing(seed: int) -> None:
    """Layouts of random joints: estimates never go round in circles."""
    rng = np.random.default_rng(seed)
    every = sorted({name for layout in LAYOUTS for name in layout.joint_names} - set(TORSO))
    names = [*TORSO, *rng.choice(every, size=rng.integers(0, 12), replace=False).tolist()]
    parts = {part: tuple(range(len(names))) if part == "hip" else () for part in PARTS}
    own = JointLayout("own", tuple(names), tuple((j, 0) for j in range(1, len(names))), 0, parts, ())
    clip = SkeletonClip(rng.normal(size=(3, 1, len(names), 3)).astype(np.float32), own)
    for layout in LAYOUTS:
        result, missing = retarget(clip, layout), missing_joints(own, layout)
        for joint in layout.joint_names:
            assert track(result, joint).any(axis=2).all() == (joint not in missing), joint


TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def test_sides_are_not_exchanged_where_a_foot_stands_for_the_ankle() -> None:
    left, right = KINECT15.index("left_shoulder"), KINECT15.index("right_shoulder")
    for clip in generate(1, 0, ("wave with one hand", "clap", "drink", "throw")):
        small = retarget(clip, KINECT15)
        before, after = (joints[:, :, left] - joints[:, :, right] for joints in (small.joints, straighten(small)))
        assert (before * after).sum(axis=-1).mean() > 0
