import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.kinetics import KineticsReader, read_clip_file
from sugar.datasets.formats.source import Item, SourceFile, read_source
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import OPENPOSE18

RNG = np.random.default_rng(0)


def person(score: float = 0.5, at: float = 0.2) -> dict:
    pose = (at + 0.1 * RNG.random(36)).round(3).tolist()
    return {"pose": pose, "score": [score] * 18}


def content(frames: int = 3, **changes) -> dict:
    listed = [{"frame_index": t + 1, "skeleton": [person()]} for t in range(frames)]
    return {"data": listed, "label": "abseiling", "label_index": 0} | changes


def put(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


def with_person(**changes) -> dict:
    data = content()
    data["data"][1]["skeleton"][0] |= changes
    return data


def with_index(value: object) -> dict:
    data = content()
    data["data"][1]["frame_index"] = value
    return data


POSE = [0.5] * 36

BAD: dict[str, tuple[object, str]] = {
    "empty": (b"", "truncated or not JSON"),
    "truncated": (json.dumps(content()).encode()[:-40], "truncated or not JSON"),
    "not UTF-8": (b'{"data": [], "label": "\xff"}', "truncated or not JSON"),
    "nested beyond measure": (b'{"data":' + b"[" * 200_000, "truncated or not JSON"),
    "a list": ([1], "a list 'data'"),
    "no frames": (content(data=[]), "no frames"),
    "frames without a number": (content(data=[{"skeleton": []}]), "entry 0 of 'data' has no 'frame_index'"),
    "frame zero": (with_index(0), "entry 1 of 'data'"),
    "frame twice": (with_index(1), "entry 1 of 'data'"),
    "frame a word": (with_index("2"), "entry 1 of 'data'"),
    "a frame number that asks for gigabytes": (with_index(10**12), "from 1 to 36,000"),
    "no people": (content(data=[{"frame_index": 1}]), "'skeleton' of frame 1 is not a list"),
    "a person that is a list": (content(data=[{"frame_index": 1, "skeleton": [[1]]}]), "not a list of people"),
    "too few": (with_person(pose=POSE[1:]), "pose of frame 2 has 35 values where 36"),
    "too many scores": (with_person(score=[1] * 19), "score of frame 2 has 19 values where 18"),
    "words": (with_person(pose=["0.5", *POSE[1:]]), "holds '0.5', which is not a number"),
    "nan": (with_person(pose=[float("nan"), *POSE[1:]]), "nose .* frame 1 .*nan"),
    "infinite": (with_person(pose=[*POSE[1:], float("inf")]), "left_ear .* frame 1 .*inf"),
    "too large": (with_person(pose=[1e300, *POSE[1:]]), "nose .* frame 1 .*inf"),
    "a score that is none": (with_person(score=[float("nan")] * 18), "score of frame 2 is not a finite"),
    "nobody": (content(data=[{"frame_index": 1, "skeleton": []}]), "nobody is there"),
    "a label that is none": (content(label=["a"]), "its label is not a name"),
    "a label that is no text": (content(label="\ud800"), "its label .* cannot be printed"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_rejected_on_import_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    path = put(tmp_path / "a.json", data)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    put(tmp_path / "kinetics_val" / "b.json", content())
    bad, good = read_source(KineticsReader(), tmp_path)
    assert isinstance(bad, Rejected)
    assert str(error.value) == f"{path}: {bad.reason}"
    assert isinstance(good, SkeletonClip)


def test_people_are_in_pixels_the_surest_first_and_missing_joints_zero(tmp_path: Path) -> None:
    weak, sure, surer = person(0.2, 0.1), person(0.5, 0.4), person(0.9, 0.7)
    sure["score"][4] = 0.0
    listed = [
        {"frame_index": 2, "skeleton": [weak, sure, surer]},
        {"frame_index": 4, "skeleton": [sure, weak, surer]},
        {"frame_index": 5, "skeleton": [sure]},
    ]
    clip = read_clip_file(put(tmp_path / "a.json", content(data=listed)))
    assert (clip.layout, clip.fps, clip.label, clip.setup) == (OPENPOSE18, 30.0, "abseiling", None)
    assert clip.present.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1], [1, 0]]
    assert clip.confidence is not None
    for t, m, given_ in ((1, 1, surer), (1, 0, sure), (3, 1, surer), (3, 0, sure), (4, 0, sure)):
        expected = np.float32(np.reshape(given_["pose"], (18, 2)) * [340, 256])
        if given_ is sure:
            expected[4] = 0
        np.testing.assert_array_equal(clip.joints[t, m], expected)
        np.testing.assert_array_equal(clip.confidence[t, m], np.float32(given_["score"]))
    wide = read_clip_file(tmp_path / "a.json", KineticsReader(persons=1, width=1920, height=1080))
    assert wide.num_persons == 1
    np.testing.assert_array_equal(wide.joints[1, 0, 0], np.float32([surer["pose"][0] * 1920, surer["pose"][1] * 1080]))


def data_set(folder: Path) -> Path:
    put(folder / "kinetics_train" / "a.json", content())
    put(folder / "kinetics_train" / "b.json", {"data": content()["data"]})
    put(folder / "kinetics_train" / "c.json", content(label="yoga"))
    put(folder / "kinetics_train" / "d.json", content())
    put(folder / "kinetics_val" / "e.json", content(label="yoga"))
    labels = {name: {"has_skeleton": True, "label": "abseiling", "label_index": 0} for name in "abc"}
    put(folder / "kinetics_train_label.json", labels)
    return folder


def test_label_files_and_sides(tmp_path: Path) -> None:
    a, b, c, d, e = read_source(KineticsReader(), data_set(tmp_path))
    assert isinstance(a, SkeletonClip)
    assert isinstance(b, SkeletonClip)
    assert isinstance(e, SkeletonClip)
    assert [(clip.clip_id, clip.label, clip.setup) for clip in (a, b, e)] == [
        ("a", "abseiling", 1),
        ("b", "abseiling", 1),
        ("e", "yoga", 2),
    ]
    assert isinstance(c, Rejected)
    assert "'yoga' contradicts the label file ('abseiling')" in c.reason
    assert isinstance(d, Rejected)
    assert "kinetics_train_label.json has no entry 'd'" in d.reason


def test_import_takes_the_class_names_that_occur(tmp_path: Path) -> None:
    store = import_data(KineticsReader(), data_set(tmp_path / "in"), tmp_path / "store", name="kinetics", workers=1)
    assert store.classes == ("abseiling", "yoga")
    assert store.column("setup").tolist() == [1, 1, 2]
    assert len(store.manifest.rejected) == 2


@pytest.mark.parametrize("labels", [b"", b"[]", b'{"a": 1}', b'{"a": {"label": 3}}', b'{"a": {"label": "\\ud800"}}'])
def test_a_bad_label_file_stops_the_import(tmp_path: Path, labels: bytes) -> None:
    data_set(tmp_path)
    put(tmp_path / "kinetics_train_label.json", labels)
    with pytest.raises(InputError, match=r"kinetics_train_label\.json: ") as error:
        list(read_source(KineticsReader(), tmp_path))
    assert "\n" not in str(error.value)


def test_options_and_sources_out_of_bounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.json file of a clip"):
        list(read_source(KineticsReader(), tmp_path))
    put(tmp_path / "kinetics_train_label.json", {})
    with pytest.raises(InputError, match=r"no \.json file of a clip"):
        list(read_source(KineticsReader(), tmp_path))
    for reader, message in ((KineticsReader(persons=0), "persons"), (KineticsReader(width=0), "width and height")):
        with pytest.raises(InputError, match=message):
            list(read_source(reader, tmp_path))
    huge = Item("a.json", (SourceFile("a.json", tmp_path / "absent", 10**12),))
    with pytest.raises(InputError, match="bytes are more"):
        list(KineticsReader().read(huge))


GOOD = json.dumps(content()).encode()


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), put_in=st.binary(max_size=5), drop=st.integers(0, 300))
def test_a_damaged_file_never_gives_a_wrong_number(
    tmp_path_factory: pytest.TempPathFactory, at: int, put_in: bytes, drop: int
) -> None:
    path = put(tmp_path_factory.getbasetemp() / "damaged" / "a.json", GOOD[:at] + put_in + GOOD[at + drop :])
    try:
        clip = read_clip_file(path)
    except InputError:
        return
    data = json.loads(path.read_bytes())
    assert clip.label == (data.get("label") or None)
    for frame in data["data"]:
        for m, given_ in enumerate(frame["skeleton"]):
            there = np.array(given_["score"])[:, None] > 0
            expected = np.where(there, np.reshape(given_["pose"], (18, 2)) * [340, 256], 0)
            np.testing.assert_array_equal(clip.joints[frame["frame_index"] - 1, m], np.float32(expected))
