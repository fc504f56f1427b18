"""What a store holds in figures, and what is found wrong in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.examine import clip_figures, findings, store_figures
from sugar.datasets.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import LAYOUTS, NTU25
from sugar.skeleton.retarget import retarget

CLASSES = ("clap", "squat")


def clips() -> list[SkeletonClip]:
    return list(generate(8, 0, CLASSES))


def changed(clip: SkeletonClip, joints: np.ndarray) -> SkeletonClip:
    return replace(clip, joints=joints.astype(np.float32))


def write(path: Path, items: list[SkeletonClip], classes: tuple[str, ...] = CLASSES) -> Store:
    return write_store(path, items, name="toy", classes=classes, layout=items[0].layout, source="test")


def found(path: Path, items: list[SkeletonClip], classes: tuple[str, ...] = CLASSES) -> list[str]:
    return [str(finding) for finding in findings(store_figures(write(path, items, classes)))]


def test_figures_of_a_clip_are_those_of_its_joints() -> None:
    clip = clips()[0]
    joints = clip.joints.copy()
    joints[:10] = 0
    joints[10:40, :, NTU25.index("left_hand")] = 0
    figures = clip_figures(changed(clip, joints))
    assert figures.frames == clip.num_frames
    assert figures.seconds == pytest.approx(clip.num_frames / clip.fps)
    assert figures.empty == pytest.approx(10 / clip.num_frames)
    there = clip.num_frames - 10
    assert figures.missing[NTU25.index("left_hand")] == pytest.approx(30 / there)
    assert figures.missing[NTU25.index("head")] == 0
    thigh = NTU25.bones.index((NTU25.index("left_knee"), NTU25.index("left_hip")))
    lengths = np.linalg.norm(joints[10:, 0, NTU25.index("left_knee")] - joints[10:, 0, NTU25.index("left_hip")], axis=1)
    assert figures.bones[thigh] == pytest.approx(lengths.mean(), rel=1e-5)
    assert figures.spread[thigh] == pytest.approx(lengths.std() / lengths.mean(), rel=1e-3)
    assert 1.2 < figures.height < 2.2
    assert figures.head_up is not None
    assert figures.head_up > 0.95


def test_a_sound_store_has_figures_and_no_findings(tmp_path: Path) -> None:
    store = write(tmp_path / "s", clips())
    figures = store_figures(store)
    table = figures.to_dict()
    assert table["clips"] == 16
    assert table["classes"] == {"clap": 8, "squat": 8}
    assert table["persons"] == {"1": 16}
    lengths = [clip.num_frames for clip in store]
    assert table["frames"] == {"least": min(lengths), "median": np.median(lengths), "most": max(lengths)}
    assert table["empty_frames"] == 0
    assert list(findings(figures)) == []


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_is_sound_too(layout, tmp_path: Path) -> None:
    items = [retarget(clip, layout) for clip in clips()]
    assert found(tmp_path / "s", items) == []


@pytest.mark.parametrize(
    ("scale", "word"), [(1000, "millimetres"), (100, "centimetres"), (0.1, "another unit")], ids=str
)
def test_wrong_units_are_said_once(scale: float, word: str, tmp_path: Path) -> None:
    (line,) = found(tmp_path / "s", [changed(clip, clip.joints * scale) for clip in clips()])
    assert "m tall" in line
    assert word in line


def test_an_axis_that_is_not_up_is_said_once(tmp_path: Path) -> None:
    (line,) = found(tmp_path / "s", [changed(clip, clip.joints * [1, -1, -1]) for clip in clips()])
    assert "heads lie below hips" in line
    assert "axis y is not up" in line


def test_one_clip_among_sound_ones(tmp_path: Path) -> None:
    items = clips()
    first, frames = items[0].joints, items[0].num_frames
    rng = np.random.default_rng(0)
    leap = first.copy()
    leap[frames // 2 :] += [4, 0, 0]
    gone = first.copy()
    gone[:, :, NTU25.index("left_knee")] = 0
    late = np.concatenate([np.zeros_like(first), np.zeros_like(first), first])
    for joints, words in (
        (first[:1], "single frame"),
        (late, "nobody is there in 67%"),
        (gone, "left_knee missing in most frames"),
        (first + rng.normal(scale=0.4, size=first.shape), "most bones change their length"),
        (first * 3, "m tall, the others"),
        (leap, "body heights in a frame"),
        (items[3].joints, f"its joints are those of {items[0].clip_id!r}"),
    ):
        lines = found(tmp_path / "s", [changed(items[0], joints), *items[1:]])
        assert any(words in line and "clip '" in line for line in lines), (words, lines)
        assert len(lines) <= 2, lines


def test_classes_without_or_with_few_clips(tmp_path: Path) -> None:
    lines = found(tmp_path / "s", clips()[:11], (*CLASSES, "fly"))
    assert lines == [
        "class 'squat': it has only 3 clips; add some, or join it with another class",
        "class 'fly': it has no clip; leave it out of the class list, or add clips",
    ]


def test_clips_without_labels_and_joints_without_their_names(tmp_path: Path) -> None:
    unlabelled = [replace(clip, label=None) for clip in clips()]
    assert found(tmp_path / "s", unlabelled) == [
        "toy: none of its clips has a label; import it with labels, if it is to train or test"
    ]
    names = tuple(f"j{i}" for i in range(NTU25.num_joints))
    rig = replace(NTU25, name="rig", joint_names=names)
    (line,) = found(tmp_path / "r", [replace(clip, layout=rig) for clip in clips()])
    assert "layout 'rig' has no joint 'left_shoulder'" in line
