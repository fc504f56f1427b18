import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.smarthome import CLASSES, SmarthomeReader, read_clip_file
from sugar.datasets.formats.parsing.person_linking import link_persons
from sugar.datasets.formats.source import Item, SourceFile, read_source
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import SMARTHOME13, SMARTHOME13_3D

NAME = "Cook.Cleandishes_p02_r00_v05_c03.json"
RNG = np.random.default_rng(0)


def body(at: float = 0.0) -> dict:
    flat = (RNG.normal(size=39) + 5 + at).round(4).tolist()
    return {"pose2d": [10 * x for x in flat[:26]], "pose3d": flat, "cumscore": 3.2}


def content(frames: int = 3, **changes) -> dict:
    return {"njts": 13, "frames": [[body()] for _ in range(frames)]} | changes


def put(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def with_pose(field: str, value: object) -> dict:
    data = content()
    data["frames"][1][0][field] = value
    return data


TWO = [1.5] * 26

BAD: dict[str, tuple[object, str]] = {
    "empty": (b"", "truncated or not JSON"),
    "truncated": (json.dumps(content()).encode()[:-30], "truncated or not JSON"),
    "not UTF-8": (b'{"frames": "\xff\xfe"}', "truncated or not JSON"),
    "nested beyond measure": (b"[" * 200_000, "truncated or not JSON"),
    "a list": ([1], "'frames'"),
    "no frames": (content(frames=0), "'frames'"),
    "frames a number": ({"frames": 10**9}, "'frames'"),
    "a frame that is a body": ({"frames": [body()]}, "frame 0 is not a list of bodies"),
    "a body that is a list": ({"frames": [[TWO]]}, "frame 0 is not a list of bodies"),
    "no pose": (with_pose("pose2d", None), "pose2d of frame 1 has no list"),
    "pose absent": ({"frames": [[{"pose3d": [1.0] * 39}]]}, "frame 0 has no 'pose2d'"),
    "too short": (with_pose("pose2d", TWO[1:]), "pose2d of frame 1 has 25 values where 26"),
    "too long": (with_pose("pose2d", [*TWO, 1]), "27 values"),
    "words": (with_pose("pose2d", ["1.5", *TWO[1:]]), "holds '1.5', which is not a number"),
    "booleans": (with_pose("pose2d", [True, *TWO[1:]]), "a bool, which is not"),
    "nested": (with_pose("pose2d", [[1], *TWO[1:]]), "a list, which is not"),
    "nan": (with_pose("pose2d", [float("nan"), *TWO[1:]]), "right_ankle .* frame 1 .*nan"),
    "infinite": (with_pose("pose2d", [*TWO[1:], float("inf")]), "head .* frame 1 .*inf"),
    "too large": (with_pose("pose2d", [1e300, *TWO[1:]]), "frame 1 .*inf"),
    "an endless integer": (with_pose("pose2d", [10**400, *TWO[1:]]), "too large for a coordinate"),
    "nobody": ({"frames": [[], []]}, "nobody is there"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_rejected_on_import_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    path = put(tmp_path / NAME, data)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    put(tmp_path / "more" / "WatchTV_p02_r00_v05_c03.json", content())
    bad, good = read_source(SmarthomeReader(), tmp_path)
    assert isinstance(bad, Rejected)
    assert str(error.value) == f"{path}: {bad.reason}"
    assert isinstance(good, SkeletonClip)


def test_both_poses_come_out_as_they_stand_in_the_file(tmp_path: Path) -> None:
    data = content()
    data["frames"].insert(1, [])  # nobody in frame 1
    path = put(tmp_path / NAME, data)
    flat = clip = read_clip_file(path)
    assert (clip.layout, clip.label, clip.clip_id) == (SMARTHOME13, "clean dishes", NAME.removesuffix(".json"))
    assert (clip.subject, clip.trial, clip.setup, clip.camera, clip.fps) == (2, 0, 5, 3, 20.0)
    assert clip.present[:, 0].tolist() == [True, False, True, True]
    pose = data["frames"][2][0]["pose2d"]
    for joint in range(13):
        np.testing.assert_array_equal(flat.joints[2, 0, joint], np.float32([pose[joint], pose[13 + joint]]))
    solid = read_clip_file(path, SmarthomeReader("3d"))
    turned = read_clip_file(path, SmarthomeReader("3d", axes="camera"))
    pose = data["frames"][3][0]["pose3d"]
    assert solid.layout == SMARTHOME13_3D
    for joint in range(13):
        x, y, z = (pose[joint + 13 * axis] for axis in range(3))
        np.testing.assert_array_equal(solid.joints[3, 0, joint], np.float32([x, y, z]))
        np.testing.assert_array_equal(turned.joints[3, 0, joint], np.float32([-x, -y, z]))
    assert not turned.joints[1].any()


def test_each_raw_label_has_its_class(tmp_path: Path) -> None:
    pairs = {
        "Cook.Usestove": "use the stove",
        "Cutbread": "cut bread",
        "Drink.Fromcup": "drink from cup",
        "Eat.Snack": "eat a snack",
        "Laydown": "lie down",
        "Makecoffee.Pourgrains": "pour coffee grains",
        "Maketea.Boilwater": "boil water for tea",
        "Pour.Fromkettle": "pour from kettle",
        "Usetablet": "use tablet",
        "Usetelephone": "use telephone",
        "WatchTV": "watch TV",
    }
    for raw in pairs:
        put(tmp_path / f"{raw}_p25_r12_v14_c07.json", content(1))
    clips = [row for row in read_source(SmarthomeReader(), tmp_path) if isinstance(row, SkeletonClip)]
    assert {clip.clip_id.split("_")[0]: clip.label for clip in clips} == pairs
    assert set(pairs.values()) < set(CLASSES)
    for name in ("Dance_p01_r00_v00_c01.json", "mine.json"):
        put(tmp_path / "odd" / name, content(1))
    first, second = read_source(SmarthomeReader(), tmp_path / "odd")
    assert isinstance(first, Rejected)
    assert "'Dance' of the file name" in first.reason
    assert isinstance(second, Rejected)
    assert "not of the form" in second.reason
    assert read_clip_file(tmp_path / "odd" / "mine.json").label is None


def test_options_and_sources_out_of_bounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.json"):
        list(read_source(SmarthomeReader(), tmp_path))
    put(tmp_path / NAME, content())
    for persons in (0, 11):
        with pytest.raises(InputError, match=f"persons must be from 1 to 10, not {persons}"):
            list(read_source(SmarthomeReader(persons=persons), tmp_path))
    huge = Item(NAME, (SourceFile(NAME, tmp_path / "absent", 10**12),))
    with pytest.raises(InputError, match="bytes are more"):
        list(SmarthomeReader().read(huge))


def test_two_people_keep_their_places_when_the_file_swaps_them(tmp_path: Path) -> None:
    here, there = body(), body(100.0)
    frames = [[here, there], [there, here], [there], [], [here], [there, here, body(50.0)]]
    clip = read_clip_file(put(tmp_path / NAME, {"frames": frames}), SmarthomeReader(persons=2))
    assert clip.joints.shape == (6, 2, 13, 2)
    assert clip.present.tolist() == [[1, 1], [1, 1], [0, 1], [0, 0], [1, 0], [1, 1]]
    assert (clip.joints[clip.present[:, 0], 0] == clip.joints[0, 0]).all()
    assert (clip.joints[clip.present[:, 1], 1] == clip.joints[0, 1]).all()
    one = read_clip_file(tmp_path / NAME)
    assert one.num_persons == 1
    np.testing.assert_array_equal(one.joints[1, 0], clip.joints[1, 1])  # the file's first body, as the field does


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(1.0, 1e6), max_size=3), max_size=8))
def test_linking_puts_each_detection_in_one_place_at_most(frames: list[list[float]]) -> None:
    shape = np.ones((13, 3)) + np.arange(13)[:, None] * [1, 1, 0]
    people = [np.array([shape * [x, 1, 1] for x in frame]).reshape(-1, 13, 3) for frame in frames]
    linked = link_persons(people, SMARTHOME13, 2)
    assert linked.shape[1] <= 2
    for found, placed in zip(people, linked, strict=True):
        there = sorted(person.tobytes() for person in placed if person.any())
        for one in set(there):
            assert there.count(one) <= sum(one == person.tobytes() for person in found)
        # One at a time is never lost, however far they jump.
        if all(len(frame) < 2 for frame in frames):
            assert len(there) == len(found)


def test_a_clip_of_thousands_of_frames(tmp_path: Path) -> None:
    path = put(tmp_path / NAME, content(6_000))
    tracemalloc.start()
    clip = read_clip_file(path, SmarthomeReader("3d"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clip.num_frames == 6_000
    assert peak < 20 * path.stat().st_size


GOOD = json.dumps(content()).encode()


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), put_in=st.binary(max_size=5), drop=st.integers(0, 300))
def test_a_damaged_file_never_gives_a_wrong_number(
    tmp_path_factory: pytest.TempPathFactory, at: int, put_in: bytes, drop: int
) -> None:
    path = put(tmp_path_factory.getbasetemp() / "damaged" / NAME, GOOD[:at] + put_in + GOOD[at + drop :])
    try:
        clip = read_clip_file(path)
    except InputError:
        return
    frames = json.loads(path.read_bytes())["frames"]
    assert clip.num_frames == len(frames)
    for t, frame in enumerate(frames):
        written = np.float32(frame[0]["pose2d"]).reshape(2, 13).T if frame else np.zeros((13, 2))
        np.testing.assert_array_equal(clip.joints[t, 0], written)
