from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.facts.body_frame import straighten
from sugar.skeleton import geometry as tf
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.geometry import rotation_matrix
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20, NTU25, OPENPOSE18
from sugar.skeleton.retarget import retarget

seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(1, 40)


def body(seed: int, frames: int = 9, persons: int = 2, layout: JointLayout = KINECT20) -> np.ndarray:
    """A moving cloud of joints; the last person is absent in the first third of the frames."""
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(frames, persons, layout.num_joints, 3)).astype(np.float32) * 0.3
    joints += rng.normal(size=(1, persons, 1, 3)).astype(np.float32) + 3
    if persons > 1:
        joints[: frames // 3, -1] = 0
    return joints


def distances(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[..., :, None, :] - joints[..., None, :, :], axis=-1)


def absent_stays_zero(before: np.ndarray, after: np.ndarray) -> bool:
    return not after[~before.any(axis=(2, 3))].any()


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(-360, 360), st.sampled_from([0, 1, 2, (1.0, 2.0, -0.5)]))
def test_rotation_keeps_distances_and_absence(seed: int, degrees: float, axis) -> None:
    joints = body(seed)
    turned = tf.rotate(joints, tf.rotation_matrix(axis, degrees))
    np.testing.assert_allclose(distances(turned), distances(joints), atol=1e-4)
    assert absent_stays_zero(joints, turned)
    assert turned.dtype == np.float32
    back = tf.rotate(turned, tf.rotation_matrix(axis, -degrees))
    np.testing.assert_allclose(back, joints, atol=1e-4)


def test_rotation_is_right_handed() -> None:
    np.testing.assert_allclose(tf.rotation_matrix(1, 90) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(tf.rotation_matrix((0, 0, 5), 90), tf.rotation_matrix(2, 90), atol=1e-12)
    with pytest.raises(InputError, match="axis"):
        tf.rotation_matrix((0, 0, 0), 10)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_mirroring_twice_changes_nothing(seed: int) -> None:
    joints = body(seed, layout=NTU25)
    once = tf.mirror(joints, NTU25)
    np.testing.assert_array_equal(tf.mirror(once, NTU25), joints)
    left, right = NTU25.pairs[0]
    np.testing.assert_array_equal(once[:, :, left], joints[:, :, right] * np.array([-1, 1, 1], np.float32))


@pytest.mark.parametrize(("dimension", "up", "axis"), [(3, 0, 1), (3, 1, 0), (3, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_mirror_leaves_what_is_up(dimension: int, up: int, axis: int) -> None:
    layout = replace(KINECT20, dimension=dimension, up=up)
    joints = body(0)[..., :dimension]
    reflected = joints[:, :, list(layout.mirror)] * np.where(np.arange(dimension) == axis, -1, 1).astype(np.float32)
    np.testing.assert_array_equal(tf.mirror(joints, layout), reflected)


@settings(max_examples=40, deadline=None)
@given(seeds, lengths, lengths)
def test_resampling_keeps_the_ends_and_never_blends_with_absence(seed: int, frames: int, to: int) -> None:
    joints = body(seed, frames)
    out = tf.resample(joints, to)
    assert out.shape == (to, *joints.shape[1:])
    if to > 1:
        np.testing.assert_allclose(out[[0, -1]], joints[[0, -1]], atol=1e-6)
    present = tf.is_present(out)
    # The cloud lies around 3: a blend with zeros would fall out of the range of the frames that are real.
    for person in range(2):
        seen = joints[tf.is_present(joints)[:, person], person]
        if present[:, person].any():
            assert (out[present[:, person], person] >= seen.min(axis=0) - 1e-4).all()
    np.testing.assert_array_equal(tf.resample(joints, frames), joints)


def test_resampling_is_linear() -> None:
    line = np.arange(1, 6, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 20, 3), np.float32)
    np.testing.assert_allclose(tf.resample(line, 9)[:, 0, 0, 0], np.linspace(1, 5, 9))
    assert tf.resample(line, 1)[0, 0, 0, 0] == 3
    with pytest.raises(ValueError, match="resample"):
        tf.resample(line, 0)


def test_center_moves_the_whole_clip_by_one_shift() -> None:
    joints = body(1)
    joints[4, 0, 7] = 0  # not measured
    out = tf.center(joints, KINECT20)
    np.testing.assert_array_equal(out[0, 0, KINECT20.root], 0)
    assert absent_stays_zero(joints, out)
    assert not out[4, 0, 7].any()
    np.testing.assert_allclose(out[5, 1] - out[5, 0], joints[5, 1] - joints[5, 0], atol=1e-5)
    assert not tf.center(joints, KINECT20, joint="spine")[0, 0, 1].any()
    joints[:, 0, KINECT20.root] = 0  # never measured: the mean of the others
    assert abs(tf.center(joints, KINECT20)[:, 0].mean()) < 0.1


def test_scale_becomes_one_whatever_the_units() -> None:
    joints = body(2)
    out = tf.normalize_scale(joints, KINECT20)
    assert tf.body_scale(out, KINECT20) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(tf.normalize_scale(joints * 1000, KINECT20), out, rtol=1e-4)
    assert absent_stays_zero(joints, out)
    nothing = np.zeros_like(joints)
    np.testing.assert_array_equal(tf.normalize_scale(nothing, KINECT20), nothing)


def total_length(joints: np.ndarray, layout: JointLayout) -> float:
    """`body_scale` of a body without gaps."""
    child, parent = np.array(layout.bones).T
    bodies = joints[tf.is_present(joints)]
    return float(np.median(np.linalg.norm(bodies[:, child] - bodies[:, parent], axis=-1).sum(axis=1)))


@pytest.fixture(params=[KINECT20, OPENPOSE18], ids=lambda layout: layout.name)
def person(request: pytest.FixtureRequest) -> SkeletonClip:
    """Somebody far from the origin, in meters or in pixels."""
    clip = retarget(next(iter(generate(1, 0, ["squat"]))), request.param)
    joints = clip.joints * 300 + 800 if request.param.dimension == 2 else clip.joints + 3
    return replace(clip, joints=joints.astype(np.float32))


def test_scale_of_a_whole_body_is_its_median_total_length(person: SkeletonClip) -> None:
    joints, layout = person.joints, person.layout
    assert tf.body_scale(joints, layout) == total_length(joints, layout)
    cloud = body(2)  # one of two is absent at times
    assert tf.body_scale(cloud, KINECT20) == total_length(cloud, KINECT20)


def test_a_joint_that_was_never_measured_hardly_changes_the_scale(person: SkeletonClip) -> None:
    joints, layout = person.joints, person.layout
    whole = tf.body_scale(joints, layout)
    for joint in range(layout.num_joints):
        paired = layout.mirror[joint] != joint
        scale = tf.body_scale(tf.drop_joints(joints, [joint]), layout)
        assert scale == pytest.approx(whole, rel=0.02 if paired else 0.18), layout.joint_names[joint]
    left_leg = [layout.index(f"left_{name}") for name in ("hip", "knee", "ankle")]
    assert tf.body_scale(tf.drop_joints(joints, left_leg), layout) == pytest.approx(whole, rel=0.03)
    alone = tf.drop_joints(joints, [j for j in range(layout.num_joints) if j != layout.root])
    assert tf.body_scale(alone, layout) == 1


def test_a_joint_that_comes_and_goes_hardly_changes_the_scale(person: SkeletonClip) -> None:
    gaps = person.joints.copy()
    for joint in range(person.layout.num_joints):
        gaps[joint % 4 :: 4, :, joint] = 0
    assert tf.body_scale(gaps, person.layout) == pytest.approx(tf.body_scale(person.joints, person.layout), rel=0.02)


def test_a_root_at_the_origin_after_centring_is_there(person: SkeletonClip) -> None:
    joints, layout = person.joints, person.layout
    followed = joints - joints[:, :, [layout.root]]
    assert not followed[:, :, layout.root].any()
    assert tf.body_scale(followed, layout) == total_length(followed, layout)
    centerd = tf.center(joints, layout)
    assert tf.body_scale(centerd, layout) == pytest.approx(total_length(centerd, layout), rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(-180, 180))
def test_heading_takes_out_the_camera(seed: int, yaw: float) -> None:
    joints = body(seed)
    for left, right in KINECT20.pairs:
        joints[:, 0, right] = joints[:, 0, left] + np.array([0.4, 0.0, 0.1], np.float32)
    turned = tf.rotate(joints, tf.rotation_matrix(1, yaw))
    a, b = tf.align_heading(joints, KINECT20), tf.align_heading(turned, KINECT20)
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert tf.heading(a, KINECT20) == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(a[..., 1], joints[..., 1], atol=1e-5)
    assert (a[-1, 0, [8, 16], 0] > a[-1, 0, [4, 12], 0]).all()  # right lies at larger x than left


def test_heading_needs_three_dimensions() -> None:
    flat = JointLayout.from_dict(KINECT20.to_dict() | {"dimension": 2, "name": "flat"})
    with pytest.raises(InputError, match="flat"):
        tf.heading(np.ones((2, 1, 20, 2), np.float32), flat)


def test_crop_jitter_and_dropped_joints() -> None:
    joints = body(3)
    np.testing.assert_array_equal(tf.crop(joints, 2, 5), joints[2:5])
    for start, stop in ((3, 3), (-1, 2), (0, 10)):
        with pytest.raises(ValueError, match="crop"):
            tf.crop(joints, start, stop)
    noisy = tf.jitter(joints, 0.01, np.random.default_rng(0))
    assert absent_stays_zero(joints, noisy)
    assert 0.008 < (noisy - joints)[5].std() < 0.012
    np.testing.assert_array_equal(noisy, tf.jitter(joints, 0.01, np.random.default_rng(0)))
    dropped = tf.drop_joints(joints, [3, 4])
    assert not dropped[:, :, [3, 4]].any()
    np.testing.assert_array_equal(np.delete(dropped, [3, 4], axis=2), np.delete(joints, [3, 4], axis=2))


def test_the_person_who_moves_least_goes() -> None:
    joints = body(4, persons=4)
    joints[:, 1] = joints[:1, 1]
    joints[:, 3] = 0
    kept, gone = tf.select_persons(joints, 2)
    np.testing.assert_array_equal(kept, joints[:, [0, 2]])
    assert gone == 1
    assert tf.select_persons(joints[:, :1], 2)[1] == 0


def test_a_joint_that_comes_and_goes_is_no_motion() -> None:
    joints = body(5, persons=3)
    joints[:, 0] = joints[:1, 0]
    joints[::2, 0, 7] = 0
    joints[:, 0, 9] = 0  # never measured
    joints[:, 2] = joints[-1:, 2] * np.linspace(1, 1.1, 9, dtype=np.float32)[:, None, None]
    kept, gone = tf.select_persons(joints, 2)
    np.testing.assert_array_equal(kept, joints[:, 1:])
    assert gone == 1


def test_straighten_takes_out_tilt_and_swapped_sides() -> None:
    clip = next(iter(generate(1, 0, ["squat"])))
    upright = straighten(clip)
    measured = tf.is_measured(clip.joints)
    assert (tf.is_measured(upright) == measured).all()

    def lean(joints: np.ndarray) -> float:
        """Degrees between the vertical and the line from feet to neck, as the person stands at first."""
        feet = joints[:5, 0, [NTU25.index("left_ankle"), NTU25.index("right_ankle")]].mean(axis=(0, 1))
        axis = joints[:5, 0, NTU25.index("neck")].mean(axis=0) - feet
        return float(np.degrees(np.arccos(axis[1] / np.linalg.norm(axis))))

    tilted = replace(clip, joints=tf.rotate(upright, rotation_matrix(0, 14)))
    assert lean(tilted.joints) > 9
    assert lean(straighten(tilted)) < 3
    swapped = replace(clip, joints=clip.joints[:, :, list(NTU25.mirror)])
    np.testing.assert_allclose(straighten(swapped), upright, atol=1e-4)
    flat = JointLayout.from_dict(NTU25.to_dict() | {"dimension": 2, "name": "flat"})
    image = SkeletonClip(clip.joints[..., :2], flat)
    assert straighten(image) is image.joints


def test_trim_takes_the_empty_ends_only() -> None:
    joints = np.zeros((9, 2, KINECT20.num_joints, 3), dtype=np.float32)
    joints[2, 0], joints[5, 1] = 1, 2
    trimmed = tf.trim(joints)
    assert np.array_equal(trimmed, joints[2:6])
    assert np.array_equal(tf.trim(joints[:2]), joints[:2])
