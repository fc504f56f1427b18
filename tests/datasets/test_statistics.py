"""What a store holds in figures, and what is found wrong in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.diagnostics.statistics import clip_figures, findings, store_figures
from sugar.datasets.formats.clip_files import upright
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, KINECT15, LAYOUTS, NTU25, with_dimension
from sugar.skeleton.retarget import retarget

CLASSES = ("clap", "squat")
COCO17_3D = with_dimension(COCO17, 3)


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
    assert figures.length_axis is not None
    assert figures.length_axis[1] > 0.95
    assert figures.front == 1


def test_a_sound_store_has_figures_and_no_findings(tmp_path: Path) -> None:
    store = write(tmp_path / "s", clips())
    figures = store_figures(store)
    table = figures.to_dict()
    assert table["clips"] == 16
    assert table["classes"] == {"clap": 8, "squat": 8}
    assert table["persons"] == {"1": 16}
    lengths = [clip.num_frames for clip in store]
    assert table["frames"] == {"least": min(lengths), "median": np.median(lengths), "most": max(lengths)}
    seconds = [clip.num_frames / clip.fps for clip in store]
    assert table["fps"] == {"30": 16}
    assert table["seconds"] == {"least": min(seconds), "median": np.median(seconds), "most": max(seconds)}
    assert table["empty_frames"] == 0
    assert list(findings(figures)) == []


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_is_sound_too(layout, tmp_path: Path) -> None:
    items = [retarget(clip, layout) for clip in clips()]
    assert found(tmp_path / "s", items) == []


@pytest.mark.parametrize(
    ("scale", "word"), [(1000, "millimeters"), (100, "centimeters"), (0.1, "another unit")], ids=str
)
def test_wrong_units_are_said_once(scale: float, word: str, tmp_path: Path) -> None:
    (line,) = found(tmp_path / "s", [changed(clip, clip.joints * scale) for clip in clips()])
    assert "m tall" in line
    assert word in line


@pytest.mark.parametrize("layout", [NTU25, KINECT15, COCO17], ids=lambda layout: layout.name)
def test_an_axis_that_is_not_up_is_said_with_what_to_write(layout, tmp_path: Path) -> None:
    items = [retarget(clip, layout) for clip in clips()]
    cases = {"x": [1, 0, 2], "-x": [1, 0, 2], "-y": [0, 1, 2], "z": [0, 2, 1], "-z": [0, 2, 1]}
    for axis, order in cases.items() if layout.dimension == 3 else {"x": [1, 0], "y": [0, 1]}.items():
        turn = np.eye(layout.dimension)[order]
        if axis.startswith("-") or axis == "y":
            turn = -turn
        (line,) = found(tmp_path / "s", [changed(clip, clip.joints @ turn) for clip in items])
        if layout.dimension == 3:
            assert line.startswith(f"toy: people stand along {axis}, not along y; dataset.yaml needs up: {axis}, or")
        else:
            way = {"x": "-x, not along -y; x and y are swapped", "y": "y, not along -y; dataset.yaml needs up: y"}[axis]
            assert line.startswith(f"toy: people stand along {way}")


def test_what_up_says_mends_it(tmp_path: Path) -> None:
    """Data turned away and brought back by what the finding says have none any more."""
    for turn in (
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 0, -1], [-1, 0, 0], [0, 1, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    ):
        assert np.linalg.det(turn) == pytest.approx(1)
        turned = [changed(clip, clip.joints @ turn) for clip in clips()]
        (line,) = found(tmp_path / "s", turned)
        axis = line.split("needs up: ")[1].split(",")[0]
        assert found(tmp_path / "s", [changed(clip, upright(clip.joints, axis, NTU25)) for clip in turned]) == []


def test_units_and_axis_are_both_said(tmp_path: Path) -> None:
    lines = found(tmp_path / "s", [changed(clip, 1000 * clip.joints[..., [2, 0, 1]]) for clip in clips()])
    assert [word in line for line, word in zip(lines, ("millimeters", "people stand along z"), strict=True)] == [
        True
    ] * 2


def test_people_who_lie_in_some_clips_are_no_wrong_axis(tmp_path: Path) -> None:
    items = clips()
    lying = [changed(clip, clip.joints[..., [1, 2, 0]]) for clip in items[::2]]
    assert found(tmp_path / "s", [*lying, *items[1::2]]) == []


@pytest.mark.parametrize("layout", [NTU25, COCO17_3D], ids=lambda layout: layout.name)
def test_left_for_right_is_said_once(layout, tmp_path: Path) -> None:
    """By knees and toes; without toes, by the clips in which knees bend."""
    items = [retarget(clip, layout) for clip in clips()]
    mirrored = [changed(clip, clip.joints * [-1, 1, 1]) for clip in items]
    swapped = [changed(clip, clip.joints[:, :, list(layout.mirror)]) for clip in items]
    for wrong in (mirrored, swapped):
        (line,) = found(tmp_path / "s", wrong)
        assert "left and right seem exchanged" in line
        assert "negate an axis, or swap the names" in line
    assert found(tmp_path / "s", [*swapped[:5], *items[5:]]) == []  # a sensor's fault with people turned away


@pytest.mark.parametrize(
    ("fps", "words"),
    [(120, ["hands move at", "at 120 frames a second"]), (0.05, ["clips last", "at 0.05 frames a second"])],
    ids=str,
)
def test_wrong_frames_a_second(fps: float, words: list[str], tmp_path: Path) -> None:
    names = ("throw", "jumping jacks")
    items = [replace(clip, fps=fps) for clip in generate(8, 0, names)]
    (line,) = found(tmp_path / "s", items, names)
    assert all(word in line for word in (*words, "check fps"))
    lines = found(tmp_path / "s", [replace(clip, fps=900) for clip in items], names)
    assert "clips last 0.0" in lines[0]


def test_class_names_that_are_one(tmp_path: Path) -> None:
    for other in ("squat ", "Squat", "SQ uat", "s_quat"):
        items = [replace(clip, label=other) if i % 3 == 0 else clip for i, clip in enumerate(clips())]
        lines = found(tmp_path / "s", items, (*CLASSES, other))
        (line,) = [line for line in lines if "differs" in line]
        assert line.startswith(f"class {other!r}: it differs from 'squat' by case or spaces only; spell them alike")


@pytest.mark.parametrize("fault", ["nobody", "one joint", "no head", "a point"])
def test_clips_that_say_nothing_of_axes(fault: str, tmp_path: Path) -> None:
    items = []
    for clip in clips():
        joints = clip.joints.copy()
        match fault:
            case "nobody":
                joints[1:] = 0
            case "one joint":
                joints[:, :, 1:] = 0
            case "no head":
                joints[:, :, [*NTU25.parts["head"], *NTU25.parts["arm"]]] = 0
            case "a point":
                joints[:] = 1
        items.append(changed(clip, joints))
    lines = found(tmp_path / "s", items)
    assert not any("stand along" in line or "exchanged" in line for line in lines)


def test_a_real_data_set_is_sound_as_a_whole(nw_ucla_store: Store) -> None:
    lines = [str(finding) for finding in findings(store_figures(nw_ucla_store))]
    assert all(line.startswith("clip ") for line in lines)


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
    unlabeled = [replace(clip, label=None) for clip in clips()]
    assert found(tmp_path / "s", unlabeled) == [
        "toy: none of its clips has a label; import it with labels, if it is to train or test"
    ]
    names = tuple(f"j{i}" for i in range(NTU25.num_joints))
    rig = replace(NTU25, name="rig", joint_names=names)
    (line,) = found(tmp_path / "r", [replace(clip, layout=rig) for clip in clips()])
    assert "layout 'rig' has no joint 'left_shoulder'" in line
