"""Drawn frames of skeleton clips for a model that looks at them."""

import io
import sys
from dataclasses import replace

import numpy as np
import pytest

from sugar.authoring.media import skeleton_frames as made
from sugar.authoring.media.skeleton_frames import SkeletonFrameConfig, pose_similarity, skeleton_frames, skeleton_video
from sugar.config import as_plain, parse_config
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.reports.animation import animate
from sugar.reports.drawing import palette
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, NTU25

Image = pytest.importorskip("PIL.Image", reason="drawing needs Pillow")
SMALL = SkeletonFrameConfig(pixels=160)


def clip_of(action: str) -> SkeletonClip:
    return next(iter(generate(1, 6, [action])))


@pytest.fixture(scope="module")
def wave() -> SkeletonClip:
    return clip_of("wave with one hand")


@pytest.fixture(scope="module")
def pair() -> SkeletonClip:
    return clip_of("shake hands")


def poses(clip: SkeletonClip, order: list[int], noise: float = 0.004) -> SkeletonClip:
    """The frames ``order`` of a clip, nine times each, with a sensor's noise."""
    at = np.repeat(order, 9)
    joints = clip.joints[at] + np.random.default_rng(0).normal(0, noise, clip.joints[at].shape)
    return replace(clip, joints=joints)


def numbers(pictures) -> list[int]:
    return [int(picture.origin.split(" frame ")[1].split(",")[0]) for picture in pictures]


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.data))).astype(int)


def count(image: np.ndarray, name: str) -> int:
    return int((image == palette()[name]).all(axis=-1).sum())


def test_each_pose_is_drawn_once(wave):
    still, *moved = (54, 29, 47, 49)
    order = [still, moved[0], still, moved[1], moved[0], moved[2], moved[1]]
    clip = poses(wave, order)
    for size, expected in ((8, 4), (4, 4), (3, 3)):
        kept = skeleton_frames(clip, replace(SMALL, size=size))
        shown = [order[number // 9] for number in numbers(kept)]
        assert len(shown) == len(set(shown)) == expected
        assert numbers(kept) == sorted(numbers(kept))
    assert len(skeleton_frames(poses(wave, [29] * 5), replace(SMALL, size=8))) == 1


def test_kept_poses_differ_more_than_evenly_spaced_ones(wave, pair):
    for clip in (wave, pair):
        animation = animate(clip, SMALL.most)
        alike = pose_similarity(animation)
        at = np.linspace(0, clip.num_frames - 1, len(alike)).round()
        kept = [int(np.flatnonzero(at == number)[0]) for number in numbers(skeleton_frames(clip, SMALL))]
        assert len(kept) == 4
        even = [int((i + 0.5) * len(alike) / 4) for i in range(4)]
        nearest = [1 - alike[np.ix_(chosen, chosen)][np.triu_indices(4, 1)].max() for chosen in (kept, even)]
        assert nearest[0] > 1.5 * nearest[1]


def test_similarity_is_a_distance_in_heights(wave):
    standing = np.repeat(wave.joints[:1], 3, axis=0)
    standing[1, :, :, 1 if wave.layout.up == 1 else wave.layout.up] += 0.1
    animation = animate(replace(wave, joints=standing), 3)
    alike = pose_similarity(animation)
    assert np.diag(alike) == pytest.approx(1, abs=1e-6)
    assert alike[0, 2] == pytest.approx(1, abs=1e-6)
    assert alike[0, 1] == pytest.approx(1 - 0.1 / animation.height, abs=1e-3)


def test_pictures_show_people_and_neither_name_nor_label(wave, pair):
    for clip, people in ((wave, 1), (pair, 2)):
        kept = skeleton_frames(clip, replace(SMALL, views=("front", "side", "top")))
        assert all(picture.media_type == "image/png" for picture in kept)
        assert all(
            picture.origin == f"{clip.clip_id} frame {n}, drawn skeleton"
            for picture, n in zip(kept, numbers(kept), strict=True)
        )
        for picture in kept:
            image = pixels(picture)
            assert image.shape[1] == 3 * 160
            for part in ("arm", "leg"):
                assert count(image[:160, :160], part) > 20
            left, right = image[:160, :80], image[:160, 80:160]
            assert (count(left, "leg") > 10 and count(right, "leg") > 10) or people == 1
        named = replace(clip, clip_id="another", label="another")
        assert [p.data for p in skeleton_frames(named, SMALL)] == [p.data for p in skeleton_frames(clip, SMALL)]
        assert skeleton_frames(clip, SMALL) == skeleton_frames(clip, SMALL)


def test_frames_without_anybody_are_not_drawn(wave):
    joints = wave.joints.copy()
    joints[20:40] = 0
    kept = skeleton_frames(replace(wave, joints=joints), replace(SMALL, size=12, threshold=1.0))
    assert len(kept) == 12
    assert not any(20 <= number < 40 for number in numbers(kept))


def test_a_flat_clip_has_one_view_and_one_frame_is_enough(wave):
    names = {"nose": "head", "left_eye": "head", "right_eye": "head", "left_ear": "head", "right_ear": "head"}
    order = [NTU25.index(names.get(name, name)) for name in COCO17.joint_names]
    flat = replace(wave, joints=wave.joints[:, :, order, :2] * [300, -300] + [320, 240], layout=COCO17)
    assert all(pixels(picture).shape[1] == 160 for picture in skeleton_frames(flat, SMALL))
    one = replace(wave, joints=wave.joints[:1])
    assert numbers(skeleton_frames(one, SMALL)) == [0]


def test_a_drawn_video(pair):
    av = pytest.importorskip("av", reason="MP4 needs PyAV")
    video = skeleton_video(pair, ("front",), 160, per_second=5)
    assert (video.media_type, video.origin) == ("video/mp4", f"{pair.clip_id}, drawn skeleton")
    with av.open(io.BytesIO(video.data)) as file:
        seconds = float(file.duration / 1e6)
        assert sum(1 for _ in file.decode(video=0)) == round(pair.num_frames / pair.fps * 5)
    assert seconds == pytest.approx(pair.num_frames / pair.fps, rel=0.1)
    named = replace(pair, clip_id="another", label="another")
    assert skeleton_video(named, ("front",), 160, per_second=5).data == video.data


def test_mistakes_are_one_line(wave, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for draw in (skeleton_frames, skeleton_video):
        with pytest.raises(InputError, match=r"Pillow: pip install 'sugar\[ask\]'"):
            draw(wave)


@pytest.mark.parametrize(
    "settings", [{"size": 0}, {"threshold": 2.0}, {"views": []}, {"views": ["back"]}, {"pixels": 5}, {"most": 0}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(InputError):
        parse_config(made.SkeletonFrameConfig, settings, where="a.yaml")


def test_settings_are_flags():
    assert parse_config(SkeletonFrameConfig, as_plain(SMALL), where="a.yaml")[0] == SMALL
