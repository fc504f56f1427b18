import numpy as np
import pytest

from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20


def joints(frames: int = 4, persons: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(frames, persons, 20, 3))


def test_a_clip_is_float32_and_cannot_be_written_to() -> None:
    mine = joints().astype(np.float32)
    clip = SkeletonClip(mine, KINECT20, clip_id="c")
    mine[0] = 7
    assert clip.joints.dtype == np.float32
    assert not (clip.joints == 7).any()
    with pytest.raises(ValueError, match="read-only"):
        clip.joints[0] = 0
    mine.setflags(write=False)
    assert SkeletonClip(mine, KINECT20).joints is mine  # as views into a store are


def test_present_tells_who_is_there() -> None:
    values = joints(3)
    values[1, 0] = 0
    values[:, 1] = 0
    clip = SkeletonClip(values, KINECT20)
    assert clip.present.tolist() == [[True, False], [False, False], [True, False]]
    assert (clip.num_frames, clip.num_persons) == (3, 2)


def with_value(value: float) -> np.ndarray:
    values = joints()
    values[2, 1, 6, 0] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (with_value(np.nan), r"left_wrist of person 1 in frame 2 .*nan"),
        (with_value(-np.inf), r"left_wrist of person 1 in frame 2 .*inf"),
        (with_value(1e300), r"left_wrist of person 1 in frame 2 .*inf"),
        (with_value(-1e20), r"left_wrist of person 1 in frame 2 is beyond 1e\+09"),
        (np.zeros((0, 1, 20, 3)), "no frames"),
        (np.zeros((3, 0, 20, 3)), "no persons"),
        (np.ones((3, 1, 19, 3)), "19 joints a person, but layout kinect20 has 20"),
        (np.ones((3, 1, 20, 2)), "2 coordinates a joint, but layout kinect20 has 3"),
        (np.ones((3, 20, 3)), r"of shape \(3, 20, 3\)"),
        (np.zeros((3, 1, 20, 3)), "nobody is there"),
        ([[1], [1, 2]], "regular array"),
    ],
)
def test_an_invalid_clip_cannot_be_made(values, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        SkeletonClip(values, KINECT20, clip_id="a01")
    assert str(error.value).startswith("clip 'a01': ")
    assert "\n" not in str(error.value)


def test_fps_and_confidence_are_checked() -> None:
    for fps in (0, -1, np.nan, np.inf, 1e6, "30", None):
        with pytest.raises(InputError, match="fps must be a number above zero, at most 1000"):
            SkeletonClip(joints(), KINECT20, fps=fps)
    assert SkeletonClip(joints(), KINECT20, fps=np.float32(1000)).fps == 1000
    with pytest.raises(InputError, match="confidence"):
        SkeletonClip(joints(), KINECT20, confidence=np.ones((4, 2, 3), np.float32))
    clip = SkeletonClip(joints(), KINECT20, confidence=np.ones((4, 2, 20), np.float32))
    assert clip.confidence is not None
    assert not clip.confidence.flags.writeable


def test_a_layout_may_be_named() -> None:
    assert SkeletonClip(joints(), "kinect20").layout is KINECT20
    for wrong in ("kinect2O", None, 20):
        with pytest.raises(InputError, match=f"unknown layout '{wrong}': use one of kinect20"):
            SkeletonClip(joints(), wrong)
