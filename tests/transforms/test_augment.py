from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.datasets.store.store import write_store
from sugar.errors import InputError
from sugar.skeleton import geometry as tf
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import KINECT20
from sugar.transforms.augment import (
    AugmentConfig,
    augment,
    axis_rotation,
    mirror_batch,
    resample_batch,
)
from sugar.transforms.batches import ClipBatch, PreprocessConfig, batch_clips, collate, preprocess
from sugar.transforms.views import View, view_joints

LENGTHS = (1, 2, 7, 30, 53)


def clip(frames: int, persons: int = 2, label: str | None = None) -> SkeletonClip:
    rng = np.random.default_rng(frames)
    joints = rng.normal(size=(frames, persons, 20, 3)).astype(np.float32) * 0.3 + 3
    joints[frames // 3 : frames // 2, -1] = 0
    return SkeletonClip(joints, KINECT20, clip_id=f"c{frames}-{persons}", label=label)


WHOLE = View()
RAW = PreprocessConfig(straighten=False, align_heading=False, scale=False, center=False)


@pytest.fixture
def batch() -> ClipBatch:
    return batch_clips([clip(n) for n in LENGTHS], RAW, KINECT20)


def run(batch: ClipBatch, config: AugmentConfig, seed: int = 0) -> torch.Tensor:
    return augment(batch, KINECT20, config, 16, torch.Generator().manual_seed(seed))[0]


def look(batch: ClipBatch, frames: int, view: View = WHOLE) -> torch.Tensor:
    return view_joints(batch, KINECT20, view, frames)[0]


STILL = {"min_crop": 1, "yaw": 0, "tilt": 0, "scale": 0, "mirror": 0}


def test_resampling_equals_numpy(batch: ClipBatch) -> None:
    for frames in (1, 2, 16, 64):
        got = look(batch, frames)
        for i, n in enumerate(LENGTHS):
            np.testing.assert_allclose(got[i], tf.resample(clip(n).joints, frames), atol=1e-5)
    np.testing.assert_allclose(run(batch, AugmentConfig(**STILL)), look(batch, 16), atol=1e-5)


def test_cropped_resampling_equals_numpy(batch: ClipBatch) -> None:
    last = torch.tensor(LENGTHS) - 1.0
    got = resample_batch(batch.joints, batch.lengths, 12, 0.25 * last, 0.75 * last)
    for i, n in enumerate(LENGTHS):
        positions = np.linspace(0.25 * (n - 1), 0.75 * (n - 1), 12)
        np.testing.assert_allclose(got[i], tf.sample_at(clip(n).joints, positions), atol=1e-4)
    centerd = look(batch, 12, View(0.25, 0.75))
    np.testing.assert_allclose(centerd, got, atol=1e-4)


def test_time_warp_keeps_the_ends_and_the_order() -> None:
    line = torch.arange(1.0, 41).view(1, 40, 1, 1, 1).expand(2, 40, 1, 20, 3)
    stop = torch.tensor([39.0, 39.0])
    warp = torch.tensor([0.9, -0.9])
    out = resample_batch(line, torch.tensor([40, 40]), 20, torch.zeros(2), stop, warp)[:, :, 0, 0, 0]
    torch.testing.assert_close(out[:, [0, -1]], torch.tensor([[1.0, 40.0]] * 2))
    assert (out.diff(dim=1) > 0).all()
    assert (out[0, 10] - out[0, 0]) > 20 > (out[1, 10] - out[1, 0])


def test_rotation_and_mirror_equal_numpy(batch: ClipBatch) -> None:
    for axis in range(3):
        matrix = axis_rotation(axis, torch.deg2rad(torch.tensor([33.0])))[0]
        np.testing.assert_allclose(matrix, tf.rotation_matrix(axis, 33), atol=1e-6)
    flip = torch.tensor([True, False, True, False, True])
    for up in range(3):
        layout = replace(KINECT20, up=up)
        got = mirror_batch(batch.joints, layout, flip)
        torch.testing.assert_close(got[..., up].sum(dim=3), batch.joints[..., up].sum(dim=3))
        for i in range(5):
            whole = batch.joints[i].numpy()
            np.testing.assert_array_equal(got[i], tf.mirror(whole, layout) if flip[i] else whole)


def test_each_operation_does_what_its_field_says(batch: ClipBatch) -> None:
    plain = run(batch, AugmentConfig(**STILL))

    def only(**changes) -> torch.Tensor:
        return run(batch, AugmentConfig(**(STILL | changes)))

    yaw, tilt = only(yaw=60), only(tilt=20)
    for turned in (yaw, tilt):
        torch.testing.assert_close(turned.norm(dim=-1), plain.norm(dim=-1))
        assert (turned - plain).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-3
    torch.testing.assert_close(yaw[..., 1], plain[..., 1])
    ratio = only(scale=0.2).norm(dim=-1).sum(dim=(1, 2, 3)) / plain.norm(dim=-1).sum(dim=(1, 2, 3))
    assert (ratio - 1).abs().max() <= 0.2
    assert ratio.unique().numel() == len(LENGTHS)
    torch.testing.assert_close(only(mirror=1), mirror_batch(plain, KINECT20, torch.ones(5, dtype=torch.bool)))
    noise = (only(jitter=0.05) - plain)[plain != 0]
    assert 0.045 < noise.std() < 0.055
    dropped = (only(joint_drop=0.5) == 0).all(dim=(1, 2, 4)).float().mean()
    assert 0.3 < dropped < 0.7
    short = only(min_crop=0.3, max_crop=0.4)
    assert (short[4, 0] - plain[4, 0]).abs().max() > 0


def test_absent_persons_stay_zero(batch: ClipBatch) -> None:
    batch.joints[2, :, 1] = 0
    batch.joints[3, :, 0, 5] = 0
    out = run(batch, AugmentConfig(jitter=0.1, joint_drop=0.1, speed_warp=0.5))
    assert not out[2, :, 1].any()
    assert not out[3, :, 0, [5, KINECT20.mirror[5]]].any(dim=-1).all(dim=-1).any()
    assert torch.isfinite(out).all()


def test_draws_come_from_the_generator_alone(batch: ClipBatch) -> None:
    config = AugmentConfig(jitter=0.01, joint_drop=0.1, speed_warp=0.3)
    torch.manual_seed(1)
    first = run(batch, config, seed=5)
    state = torch.get_rng_state()
    torch.testing.assert_close(run(batch, config, seed=5), first, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(run(batch, config, seed=6), first)


def test_autocast_does_not_round_coordinates(batch: ClipBatch) -> None:
    exact = run(batch, AugmentConfig())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(run(batch, AugmentConfig()), exact, rtol=0, atol=0)


def test_two_dimensional_layouts() -> None:
    flat = JointLayout.from_dict(KINECT20.to_dict() | {"dimension": 2, "name": "flat"})
    joints = np.random.default_rng(0).normal(size=(9, 1, 20, 2)).astype(np.float32)
    batch = batch_clips([SkeletonClip(joints, flat)], PreprocessConfig(), flat)
    out, mask, _ = augment(batch, flat, AugmentConfig(scale=0, min_crop=1), 9, torch.Generator())
    torch.testing.assert_close(out.norm(dim=-1).sort()[0], batch.joints.norm(dim=-1).sort()[0])
    assert mask.all()


def test_own_length_is_augmented_without_a_crop(batch: ClipBatch) -> None:
    joints, mask, _ = augment(batch, KINECT20, AugmentConfig(), 0, torch.Generator())
    assert joints.shape == batch.joints.shape
    assert mask.sum(dim=1).tolist() == list(LENGTHS)
    assert not joints[~mask].any()


def test_it_tells_which_clips_were_mirrored(batch: ClipBatch) -> None:
    still = AugmentConfig(**STILL | {"mirror": 0.5})
    plain = augment(batch, KINECT20, AugmentConfig(**STILL), 16, torch.Generator()).joints
    counts = set()
    for seed in range(6):
        joints, _, mirrored = augment(batch, KINECT20, still, 16, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(joints, mirror_batch(plain, KINECT20, mirrored))
        counts.add(int(mirrored.sum()))
    assert len(counts) > 1


def test_a_mirrored_view_is_the_mirrored_clip(batch: ClipBatch) -> None:
    for i, n in enumerate(LENGTHS):
        mirrored = tf.resample(tf.mirror(clip(n).joints, KINECT20), 16)
        np.testing.assert_allclose(look(batch, 16, View(mirror=True))[i], mirrored, atol=1e-5)
    with pytest.raises(InputError, match="views"):
        View(0.5, 0.5)


def test_native_length_for_long_sequences(batch: ClipBatch) -> None:
    joints, mask = view_joints(batch, KINECT20, WHOLE, 0)
    assert joints is batch.joints
    assert mask.sum(dim=1).tolist() == list(LENGTHS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_crop", 0),
        ("max_crop", 1.5),
        ("mirror", 2),
        ("scale", 1),
        ("yaw", -1),
        ("jitter", -1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        replace(AugmentConfig(), **{field: value})


def test_batches_pad_clips_and_persons(tmp_path) -> None:
    clips = [clip(5, 1, "a"), clip(9, 2, "b"), clip(3, 3)]
    store = write_store(tmp_path / "s", clips, name="x", classes=("a", "b"), layout=KINECT20, source="test")
    dataset = ClipDataset(store, [2, 0, 1], PreprocessConfig())
    assert dataset.labels.tolist() == [-1, 0, 1]
    batch = collate([dataset[i] for i in range(len(dataset))])
    assert batch.joints.shape == (3, 9, 2, 20, 3)
    assert batch.lengths.tolist() == [3, 5, 9]
    assert batch.persons.tolist() == [[True, True], [True, False], [True, True]]
    assert (batch.labels.tolist(), batch.indices.tolist()) == ([-1, 0, 1], [2, 0, 1])
    np.testing.assert_array_equal(batch.joints[1, :5, :1], preprocess(store[0], PreprocessConfig()))
    assert not batch.joints[0, 3:].any()
    assert len(batch.to("cpu")) == 3
    assert dataset[1].joints is dataset[1].joints  # cached
    plain = ClipDataset(store, [0], PreprocessConfig(), cache=False)
    assert plain[0].joints is not plain[0].joints
    with pytest.raises(InputError, match="max_persons"):
        PreprocessConfig(max_persons=0)


def test_preprocessing_takes_size_place_and_direction_out() -> None:
    original = clip(20)
    moved = tf.rotate(original.joints * 2.5, tf.rotation_matrix(1, 70))
    moved = np.where(moved.any(axis=-1, keepdims=True), moved + np.array([4, 1, 9], np.float32), np.float32(0))
    np.testing.assert_allclose(
        preprocess(SkeletonClip(moved, KINECT20), PreprocessConfig()),
        preprocess(original, PreprocessConfig()),
        atol=1e-4,
    )
