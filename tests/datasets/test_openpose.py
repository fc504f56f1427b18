"""OpenPose's folders of JSON, the linking of persons over frames, and damaged files."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.openpose import OpenPoseReader, read_clips
from sugar.datasets.formats.parsing.person_linking import MAX_LOST, link_persons, torso_joints
from sugar.datasets.formats.source import opened
from sugar.datasets.store.importing import import_data
from sugar.errors import InputError
from sugar.inference.sources import read_clips as read_input
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, KINECT20, OPENPOSE18, OPENPOSE25


def person(center: tuple[float, float], joints: int = 25, seed: int = 0) -> np.ndarray:
    """``[V, 3]``: a body of about 100 pixels around a point."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-50, 50, (joints, 2)) + center
    return np.round(np.concatenate([points, rng.uniform(0.2, 1, (joints, 1))], axis=1), 4)


def write_frame(folder: Path, name: str, number: int, people: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{number:012d}_keypoints.json"
    flat = [{"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist(), "face_keypoints_2d": []} for p in people]
    path.write_text(json.dumps({"version": 1.3, "people": flat}))
    return path


def read(source: Path, **options: object) -> tuple[list[SkeletonClip], list[tuple[str, str]]]:
    clips, rejected = [], []
    with opened(source, source.parent / "scratch") as files:
        plan = OpenPoseReader(**options).plan(files)  # type: ignore[arg-type]
        pickle.dumps(plan.read)
        for item in plan.items:
            try:
                clips += list(plan.read(item))
            except InputError as error:
                rejected.append((item.name, str(error)))
    assert not any("\n" in reason for _, reason in rejected)
    return clips, rejected  # type: ignore[return-value]


def test_two_people_who_cross_and_one_who_stands_by(tmp_path: Path) -> None:
    order = np.random.default_rng(5)
    tracks = np.zeros((20, 3, 25, 3))
    for t in range(20):
        # Two walk past each other, one above the other; a third is there half the time and never moves.
        people = [person((20 * t, 100), seed=1), person((400 - 20 * t, 260), seed=2), person((700, 100), seed=3)]
        tracks[t] = people
        if t == 7:
            tracks[t, 0] = 0  # out of sight for a frame
            people = people[1:]
        if t >= 10:
            people = people[:-1]
        write_frame(
            tmp_path / "data" / "cross" / "v1", "v1", 40 + t, [people[i] for i in order.permutation(len(people))]
        )
    (tmp_path / "data" / "notes.json").write_text("passed over")
    (clip,), rejected = read(tmp_path / "data")
    assert not rejected
    assert (clip.clip_id, clip.label, clip.layout, clip.fps) == ("cross/v1/v1", "cross", OPENPOSE25, 30.0)
    assert clip.joints.shape == (20, 2, 25, 2)
    first = int(np.argmin(np.abs(clip.joints[0, :, 0] - tracks[0, 0, 0, :2]).sum(-1)))
    np.testing.assert_array_equal(clip.joints[:, first], tracks[:, 0, :, :2].astype(np.float32))
    np.testing.assert_array_equal(clip.joints[:, 1 - first], tracks[:, 1, :, :2].astype(np.float32))
    assert clip.confidence is not None
    np.testing.assert_array_equal(clip.confidence[:, first], tracks[:, 0, :, 2].astype(np.float32))
    (three,), _ = read(tmp_path / "data", persons=5)
    assert three.num_persons == 3
    (again,) = read_clips(tmp_path / "data" / "cross")
    np.testing.assert_array_equal(again.joints, clip.joints)
    (again,) = read_input(str(tmp_path / "data"), None)  # type: ignore[arg-type]
    assert again.label is None


def test_missing_frames_unmeasured_joints_and_models(tmp_path: Path) -> None:
    for joints, layout in ((18, OPENPOSE18), (17, COCO17), (25, OPENPOSE25)):
        folder = tmp_path / str(joints)
        p = person((100, 100), joints)
        p[3] = 0
        p[4, 2] = 0
        write_frame(folder / "wave", "a", 0, [])
        write_frame(folder / "wave", "a", 2, [p])
        write_frame(folder / "wave", "b_1", 7, [p])
        (a, b), _ = read(folder, fps=25.0)
        assert (a.clip_id, a.label, b.clip_id, b.label) == ("wave/a", "wave", "wave/b_1", "wave")
        assert (a.layout, a.fps, a.num_frames, b.num_frames) == (layout, 25.0, 3, 1)
        assert not a.joints[:2].any()
        expected = p.copy()
        expected[[3, 4]] = 0
        np.testing.assert_array_equal(a.joints[2, 0], expected[:, :2].astype(np.float32))
        assert a.confidence is not None
        np.testing.assert_array_equal(a.confidence[2, 0], expected[:, 2].astype(np.float32))


def test_labels_by_pattern_folder_and_from_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("wave_S01", "run_S02"):
            path = write_frame(tmp_path / "x", name, 3, [person((100, 100))])
            archive.write(path, f"top/{name}/{path.name}")
    pattern = r"/(?P<label>[a-z]+)_S(?P<subject>\d+)$"
    with pytest.raises(InputError, match="filename needs a pattern"):
        read(tmp_path / "a.zip", label="filename")
    clips, rejected = read(tmp_path / "a.zip", pattern=pattern)
    assert not rejected
    assert [(c.label, c.subject) for c in clips] == [("run", 2), ("wave", 1)]
    clips, _ = read(tmp_path / "a.zip", label="folder")
    assert [c.label for c in clips] == ["run_S02", "wave_S01"]
    clips, _ = read(tmp_path / "a.zip")
    assert [c.label for c in clips] == ["top", "top"]
    store = import_data(OpenPoseReader(label="folder"), tmp_path / "a.zip", tmp_path / "s", name="mine", workers=1)
    assert store.classes == ("run_S02", "wave_S01")


def flat(count: int = 75) -> list[float]:
    return [float(i % 7 + 1) for i in range(count)]


DAMAGE: dict[str, tuple[object, str]] = {
    "empty": ("", "truncated or not JSON"),
    "truncated": (json.dumps({"people": [{"pose_keypoints_2d": flat()}]})[:60], "truncated or not JSON"),
    "not utf-8": (b'{"people": "\xff"}', "truncated or not JSON"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "a list": ([], "list 'people'"),
    "no people": ({"version": 1}, "list 'people'"),
    "people of numbers": ({"people": [1]}, "list 'people'"),
    "letters": ({"people": [{"pose_keypoints_2d": ["a", *flat()[1:]]}]}, "finite numbers"),
    "truth": ({"people": [{"pose_keypoints_2d": [True, *flat()[1:]]}]}, "finite numbers"),
    "nan": ({"people": [{"pose_keypoints_2d": [float("nan"), *flat()[1:]]}]}, "finite numbers"),
    "infinite": ('{"people": [{"pose_keypoints_2d": [1e999]}]}', "finite numbers"),
    "huge integer": ('{"people": [{"pose_keypoints_2d": [1' + "0" * 400 + "]}]}", "finite numbers"),
    "other model": ({"people": [{"pose_keypoints_2d": flat(54)}]}, "54 numbers, but layout openpose25"),
    "number missing": ({"people": [{"pose_keypoints_2d": flat()[1:]}]}, "74 numbers"),
    "nobody": ({"people": []}, "nobody is in any"),
    "people without points": ({"people": [{"pose_keypoints_2d": []}]}, "nobody is in any"),
    "all zero": ({"people": [{"pose_keypoints_2d": [0] * 75}]}, "nobody is in any"),
    "crowd": ({"people": [{"pose_keypoints_2d": flat()}] * 300}, "300 persons"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_frame_rejects_its_clip(tmp_path: Path, case: str) -> None:
    content, message = DAMAGE[case]
    write_frame(tmp_path / "data" / "wave", "a", 0, [person((100, 100))])
    path = tmp_path / "data" / "wave" / "b_000_keypoints.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    (clip,), ((name, reason),) = read(tmp_path / "data")
    assert (clip.clip_id, name) == ("wave/a", "wave/b")
    assert message in reason
    if case == "other model":  # by itself it is a clip of that one
        return
    path.rename(tmp_path / path.name)
    for alone in (tmp_path / "data").rglob("*.json"):
        alone.unlink()
    path.parent.joinpath(path.name).write_bytes((tmp_path / path.name).read_bytes())
    with pytest.raises(InputError):  # by itself: no layout can be told, or the clip is refused
        list(read_clips(tmp_path / "data"))


def test_wrong_numbering_and_options(tmp_path: Path) -> None:
    one = person((100, 100))
    write_frame(tmp_path / "gap" / "x", "a", 1, [one])
    write_frame(tmp_path / "gap" / "x", "a", 10**11, [one])
    _, ((_, reason),) = read(tmp_path / "gap")
    assert "2 files are numbered from 1 to 100,000,000,000" in reason
    path = write_frame(tmp_path / "twice" / "x", "a", 1, [one])
    path.with_name("a_1_keypoints.json").write_bytes(path.read_bytes())
    _, ((_, reason),) = read(tmp_path / "twice")
    assert "frame 1 is there twice" in reason
    (tmp_path / "empty").mkdir()
    for source, options, message in (
        ("empty", {}, "no file NAME_0"),
        ("twice", {"layout": "kinect20"}, "in 3-D"),
        ("twice", {"layout": "octopus"}, "octopus"),
        ("twice", {"pattern": "("}, "regular expression"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path / source, **options)
    write_frame(tmp_path / "odd" / "x", "a", 1, [person((1, 1), joints=19)])
    with pytest.raises(InputError, match="57 numbers is of no known model"):
        read(tmp_path / "odd")
    with pytest.raises(InputError, match="no such folder"):
        list(read_clips(tmp_path / "gone"))
    write_frame(tmp_path / "none" / "x", "a", 1, [one])
    for options, message in (({"persons": 0}, "persons must be from 1 to 10"), ({"fps": -1.0}, "fps must be above")):
        with pytest.raises(InputError, match=message):
            read(tmp_path / "none", **options)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_or_change_gives_an_error_or_the_numbers_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    path = write_frame(folder, "a", 0, [person((100, 100)), person((400, 100), seed=1)])
    good = path.read_text()
    at = data.draw(st.integers(0, len(good) - 1))
    put = data.draw(st.sampled_from(["", "x", "[", "]", "-", "1", ",", '"', "é"]))
    path.write_text(good[:at] if data.draw(st.booleans()) else good[:at] + put + good[at + 1 :])
    try:
        (clip,) = read_clips(folder)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return
    true = np.stack([person((100, 100)), person((400, 100), seed=1)])[..., :2].astype(np.float32)
    best = [
        min((joint != other).sum() for other in (*true[:, j], 0 * true[0, j]))
        for p in clip.joints[0]
        for j, joint in enumerate(p)
    ]
    assert sum(best) <= 4  # one number changed, or two with a digit moved over a comma


# Linking by itself.


def frame(*people: np.ndarray) -> np.ndarray:
    return np.stack(people) if people else np.zeros((0, 17, 3))


def test_a_person_keeps_the_identity_while_moving_less_than_their_size() -> None:
    frames = [frame(person((100 + 60 * t, 100), 17), person((100 + 60 * t, 400), 17, seed=1)) for t in range(5)]
    mixed = [f[::-1] if t % 2 else f for t, f in enumerate(frames)]
    linked = link_persons(mixed, COCO17)
    assert {tuple(linked[0, m, 0]) for m in range(2)} == {tuple(frames[0][m, 0]) for m in range(2)}
    for m in range(2):
        source = 0 if linked[0, m, 0, 1] == frames[0][0, 0, 1] else 1
        np.testing.assert_array_equal(linked[:, m], np.stack([f[source] for f in frames]))


def test_one_who_jumps_away_or_stays_away_is_somebody_new() -> None:
    jump = [frame(person((100, 100), 17)), frame(person((900, 900), 17))]
    assert link_persons(jump, COCO17).shape == (2, 2, 17, 3)
    for lost, people in ((MAX_LOST - 1, 1), (MAX_LOST, 2)):
        away = [frame(person((100, 100), 17)), *[frame()] * lost, frame(person((110, 100), 17))]
        assert link_persons(away, COCO17, persons=9).shape == (lost + 2, people, 17, 3)


def test_nobody_at_all_and_many_passers_by() -> None:
    assert link_persons([frame(), frame()], COCO17).shape == (2, 0, 17, 3)
    rng = np.random.default_rng(0)
    frames = [frame(*[person(tuple(rng.uniform(0, 1e6, 2)), 17) for _ in range(50)]) for _ in range(200)]
    assert link_persons(frames, COCO17, persons=2).shape == (200, 2, 17, 3)  # 10,000 tracks, two are kept
    assert torso_joints(KINECT20) == (0, 1, 2, 4, 8, 12, 16)


def test_whoever_comes_later_takes_the_place_of_one_who_is_gone() -> None:
    """After a cut of the video the same two people have new tracks; a third who meets both has no place."""
    step = np.array([1.0, 0, 0])
    before = [np.stack([person((100, 100), seed=1), person((600, 100), seed=2)]) + t * step for t in range(20)]
    after = [np.stack([person((100, 900), seed=1), person((600, 900), seed=2)]) + 2 * t * step for t in range(20)]
    frames = [*before, *after]
    linked = link_persons(frames, OPENPOSE25, 2)
    assert linked.shape[:2] == (40, 2)
    for t in range(40):
        np.testing.assert_array_equal(np.sort(linked[t], axis=0), np.sort(frames[t], axis=0))
    crowd = [np.concatenate([frame, person((350, 500), seed=3)[None]]) for frame in frames]
    still = [np.isclose(link_persons(crowd, OPENPOSE25, 2)[t], crowd[t][2]).all(axis=(1, 2)).any() for t in range(40)]
    assert not any(still)
