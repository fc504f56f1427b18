import contextlib
import os
import pickle
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.parsing.plain_pickle import Array, load_plain
from sugar.datasets.formats.pyskl import PysklReader, read_clip_file, write_pyskl
from sugar.datasets.formats.source import read_source
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.store import Rejected, Store, write_store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25

NTU = class_names("ntu120")
NTU_READER = PysklReader(classes="ntu120")


def keypoint(m: int = 1, t: int = 4, v: int = 25, c: int = 3, kind: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(m, t, v, c)).astype(kind)


def annotation(name: str = "S001C002P003R002A013", label: Any = 12, **changes) -> dict:
    points = keypoint()
    return {"frame_dir": name, "total_frames": 4, "label": label, "keypoint": points} | changes


def whole(*annotations: Any, split: Any = None) -> dict:
    return {"split": split or {"xsub_train": ["S001C002P003R002A013"]}, "annotations": list(annotations)}


def put(path: Path, data: Any, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol))
    return path


def read(path: Path, reader: PysklReader = NTU_READER) -> list[SkeletonClip | Rejected]:
    return list(read_source(reader, path))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_what_numpy_pickles_is_read_to_the_bit(tmp_path: Path, protocol: int, kind: Any) -> None:
    points = keypoint(2, 7, kind=kind)
    turned = np.asfortranarray(points)
    row = annotation("a", np.int64(3), keypoint=turned, total_frames=np.int64(7))
    path = put(tmp_path / "a.pkl", whole(annotation(keypoint=points, total_frames=7), row), protocol)
    first, second = read(path)
    for clip in (first, second):
        assert isinstance(clip, SkeletonClip)
        np.testing.assert_array_equal(clip.joints, points.astype(np.float32).transpose(1, 0, 2, 3))
    assert isinstance(first, SkeletonClip)
    assert isinstance(second, SkeletonClip)
    assert (first.clip_id, first.label, first.layout) == ("S001C002P003R002A013", NTU[12], NTU25)
    assert (first.setup, first.camera, first.subject, first.trial) == (1, 2, 3, 2)
    assert (second.clip_id, second.label, second.subject, second.fps) == ("a", NTU[3], None, 30.0)


def test_names_of_numpy_1_are_read(tmp_path: Path) -> None:
    content = pickle.dumps(whole(annotation(label=np.int64(5))), 2)
    assert content.count(b"numpy._core.multiarray") == 2
    (clip,) = read(put(tmp_path / "a.pkl", content.replace(b"numpy._core.", b"numpy.core.")))
    assert isinstance(clip, SkeletonClip)
    assert clip.label == NTU[5]
    np.testing.assert_array_equal(clip.joints[:, 0], keypoint()[0])


def test_images_have_scores_and_what_was_not_seen_is_zero(tmp_path: Path) -> None:
    points, score = keypoint(2, 5, 17, 2, np.float16), np.random.default_rng(1).random((2, 5, 17)).astype(np.float16)
    score[1, 2, 3] = 0
    size = (1080, 1920)
    row = annotation(keypoint=points, keypoint_score=score, total_frames=5, img_shape=size, original_shape=size)
    (clip,) = read(put(tmp_path / "a.pkl", whole(row)), PysklReader(classes="ntu60"))
    assert isinstance(clip, SkeletonClip)
    assert clip.layout == COCO17
    expected = points.astype(np.float32).transpose(1, 0, 2, 3).copy()
    expected[2, 1, 3] = 0
    np.testing.assert_array_equal(clip.joints, expected)
    np.testing.assert_array_equal(clip.confidence, score.astype(np.float32).transpose(1, 0, 2))


def test_labels_need_a_meaning(tmp_path: Path) -> None:
    rows = (annotation("a", 59), annotation("b", 60), annotation("c", -1), annotation("d", -2))
    path = put(tmp_path / "a.pkl", whole(*rows, annotation("e", "jump"), annotation("f", 10**5000)))
    first, second, third, fourth, fifth, sixth = read(path, PysklReader(classes="ntu60"))
    assert isinstance(first, SkeletonClip)
    assert first.label == NTU[59]
    assert isinstance(second, Rejected)
    assert second == Rejected("a.pkl: b", "its label 60 is not one of the 60 classes")
    assert isinstance(third, SkeletonClip)
    assert third.label is None
    assert isinstance(fourth, Rejected)
    assert isinstance(fifth, SkeletonClip)
    assert fifth.label == "jump"
    assert isinstance(sixth, Rejected)
    assert "label of type int" in sixth.reason
    (first, *_) = read(path, PysklReader())
    assert isinstance(first, Rejected)
    assert "option classes" in first.reason
    with pytest.raises(InputError, match="classes 'karate': neither a text file"):
        read(path, PysklReader(classes="karate"))


def test_the_layout_follows_from_the_shape_or_is_said(tmp_path: Path) -> None:
    path = put(tmp_path / "a.pkl", whole(annotation(keypoint=keypoint(v=20))))
    with pytest.raises(InputError, match="20 joints in 3-D could be several layouts: say which"):
        read(path)
    (clip,) = read(path, PysklReader(classes="ntu120", layout="kinect20"))
    assert isinstance(clip, SkeletonClip)
    assert clip.layout == KINECT20
    (row,) = read(path, PysklReader(classes="ntu120", layout="ntu25"))
    assert isinstance(row, Rejected)
    assert "20 joints a person, but layout ntu25 has 25" in row.reason
    put(tmp_path / "mixed" / "a.pkl", whole(annotation("a")))
    put(tmp_path / "mixed" / "b.pkl", whole(annotation("b", keypoint=keypoint(v=17, c=2))))
    store = import_data(NTU_READER, tmp_path / "mixed", tmp_path / "store", name="x", workers=1)
    assert (store.clip_ids, store.layout) == (("a",), NTU25)
    assert "its layout is 'coco17', that of the others 'ntu25'" in store.manifest.rejected[0].reason


CONTENT: dict[str, tuple[dict, str]] = {
    "nan": (annotation(keypoint=np.full((1, 4, 25, 3), np.nan)), "spine_base .* frame 0 .*nan"),
    "infinite": (annotation(keypoint=np.full((1, 4, 25, 3), np.inf, np.float16)), "frame 0 .*inf"),
    "too large": (annotation(keypoint=np.full((1, 4, 25, 3), 1e300)), "frame 0 .*inf"),
    "zero": (annotation(keypoint=np.zeros((1, 4, 25, 3))), "nobody is there"),
    "no persons": (annotation(keypoint=np.zeros((0, 4, 25, 3))), "no persons"),
    "no frames": (annotation(keypoint=np.zeros((1, 0, 25, 3)), total_frames=0), "no frames"),
    "other frames": (annotation(total_frames=5), "'total_frames' is 5, but 'keypoint' has 4"),
    "frames a list": (annotation(total_frames=[4]), "'total_frames' is of type list"),
    "flat": (annotation(keypoint=keypoint()[0]), r"not of shape \(4, 25, 3\)"),
    "other scores": (annotation(keypoint_score=np.ones((1, 3, 25))), r"'keypoint_score' must be of shape \(1, 4, 25\)"),
    "scores not numbers": (annotation(keypoint_score=np.full((1, 4, 25), np.nan)), "confidence must be finite"),
    "label a list": (annotation(label=[1]), "its label is of type list"),
    "label not printable": (annotation(label="\ud800"), "its label .* cannot be printed"),
}


@pytest.mark.parametrize("case", CONTENT)
def test_a_bad_clip_is_rejected_and_the_others_stay(tmp_path: Path, case: str) -> None:
    row, message = CONTENT[case]
    path = put(tmp_path / "a.pkl", whole(annotation("good"), row, annotation("better")))
    good, bad, better = read(path)
    assert isinstance(bad, Rejected)
    assert bad.file == "a.pkl: S001C002P003R002A013"
    assert re.search(message, bad.reason)
    assert "\n" not in bad.reason
    assert isinstance(good, SkeletonClip)
    assert isinstance(better, SkeletonClip)


class Runs:
    """What runs a command when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def dumped(data: Any) -> bytes:
    return pickle.dumps(data, 4)


ARRAY = dumped(keypoint())
STRUCTURE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "truncated or not a pickle"),
    "text": (b"frame_dir,label\n", "truncated or not a pickle"),
    "cut": (dumped(whole(annotation()))[:-300], "truncated or not a pickle"),
    "a number": (dumped(3), "no array 'keypoint'"),
    "no annotations": (dumped({"split": {}}), "no array 'keypoint'"),
    "an annotation that is none": (dumped(whole(annotation(), None)), "annotation 1 has no name"),
    "no name": (dumped(whole(annotation(frame_dir=None))), "annotation 0 has no name"),
    "a name that is no text": (dumped(whole(annotation(3))), "annotation 0 has no name"),
    "no key points": (dumped(whole(annotation("a"), {"frame_dir": "b"})), "annotation 1: it has no array 'keypoint'"),
    "Kinetics": (dumped(whole(annotation(), {"frame_dir": "b", "raw_file": "c"})), "'raw_file', as PYSKL's Kinetics"),
    "objects": (dumped(whole(annotation(keypoint=np.array([{}])))), "type 'O8', not of numbers"),
    "a system call": (dumped(whole(annotation(), Runs(os.system, "touch ran"))), "asks for 'posix.system'"),
    "eval": (dumped(whole(annotation(), Runs(eval, "1"))), "asks for 'builtins.eval'"),
    "a NumPy loader": (dumped(whole(annotation(), Runs(np.load, "x"))), "asks for 'numpy.load'"),
    "a class": (dumped(whole(annotation(), Path("x"))), r"asks for 'pathlib"),
    "a set": (dumped(whole(annotation(), {1})), "instruction EMPTY_SET"),
    "a nested key": (dumped(whole(annotation(), {(1,): 1})), "keys that are neither"),
    "an old instance": (b"(cos\nsystem\n.", "asks for 'os.system'"),
    "an instance": (b"(S'ls'\nios\nsystem\n.", "instruction|asks for"),
    "a text of Python 2": (b"\x80\x02U\x03abc.", "instruction SHORT_BINSTRING"),
    "a long text of Python 2": (b"\x80\x02T\x00\x04\x00\x00" + b"a" * 1024 + b".", "it has an instruction"),
    "a persistent id": (b"Pabc\n.", "instruction PERSID"),
    "a stack that runs empty": (b"\x80\x04R.", "truncated or not a pickle"),
    "a mark that is not there": (b"\x80\x04]e.", "truncated or not a pickle"),
    "no such memo": (b"\x80\x04h\x07.", "truncated or not a pickle"),
    "a call of a number": (b"\x80\x04K\x01)R.", "truncated or not a pickle"),
    "gigabytes of bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", "truncated or not a pickle"),
    "gigabytes of memo": (b"\x80\x04Nr\xff\xff\xff\xff.", "no array 'keypoint'"),
    "gigabytes of array": (
        ARRAY.replace(b"K\x04K\x19", b"J\xff\xff\xff\x7fK\x19"),
        r"\(1, 2147483647, 25, 3\).* does not have 1,200 bytes|of a shape that cannot be",
    ),
    "a negative shape": (ARRAY.replace(b"K\x04K\x19", b"J\xff\xff\xff\xffK\x19"), "of a shape that cannot be"),
    "an array of another shape": (ARRAY.replace(b"K\x04K\x19", b"K\x05K\x19"), r"\(1, 5, 25, 3\).*does not have 1,200"),
    "an array of lists": (dumped(Runs(np.ndarray, ((1, 2), [1]))), "truncated or not a pickle"),
    "an array of no bytes": (dumped(Runs(np.zeros, (10**9,))), "asks for 'numpy.zeros'"),
}


def test_a_name_that_no_store_can_hold_is_a_rejected_row(tmp_path: Path) -> None:
    bad, good = read(put(tmp_path / "a.pkl", whole(annotation("\ud800"), annotation())))
    assert isinstance(bad, Rejected)
    assert bad.file == r"a.pkl: \ud800"
    assert "cannot be printed" in bad.reason
    assert isinstance(good, SkeletonClip)


@pytest.mark.parametrize("case", STRUCTURE)
def test_a_bad_pickle_is_one_line_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = STRUCTURE[case]
    path = put(tmp_path / "bad.pkl", content)
    tracemalloc.start()
    for reader in (NTU_READER, PysklReader(classes="ntu120", layout="ntu25")):
        try:
            rows = read(path, reader)
            line = next(row.reason for row in rows if isinstance(row, Rejected))
        except InputError as error:
            line = str(error)
        if not reader.layout or case not in ("a number", "no annotations", "gigabytes of memo"):
            assert re.search(message, line), line
        assert "\n" not in line
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
    assert not (tmp_path / "ran").exists()


def test_a_few_bytes_do_not_unpack_to_gigabytes(tmp_path: Path) -> None:
    # One buffer of 1 MB under thousands of arrays, and one array under many names.
    raw = bytes(10**6)
    shared = [Runs(np.ndarray, (1, 10000, 25, 1), np.dtype("f4"), raw) for _ in range(3000)]
    path = put(tmp_path / "a.pkl", shared)
    assert path.stat().st_size < 2 * 10**6
    with pytest.raises(InputError, match="its arrays are larger than the file"):
        load_plain(path.read_bytes())
    points = keypoint()
    rows = read(put(tmp_path / "b.pkl", whole(*(annotation(f"c{i}", keypoint=points) for i in range(1000)))))
    assert len(rows) == 2
    assert isinstance(rows[1], Rejected)
    assert "annotation 1: it has no array" in rows[1].reason
    nested: Any = ()
    for _ in range(100_000):
        nested = (nested,)
    deep = b"\x80\x04)" + b"\x85" * 100_000 + b"."
    assert isinstance(load_plain(deep), tuple)
    laughs = b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(60)) + b"."
    assert isinstance(load_plain(laughs), list)
    bomb = b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (i, i) for i in range(60)) + b"h;\x93."
    with pytest.raises(InputError):
        load_plain(bomb)


def store_of(tmp_path: Path, name: str, clips: list[SkeletonClip], classes: tuple[str, ...]) -> Store:
    return write_store(tmp_path / name, iter(clips), name=name, classes=classes, layout=clips[0].layout, source="test")


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    classes = ("wave", "clap", "none of it")
    solid, flat = [], []
    for i in range(6):
        shape = (int(rng.integers(1, 40)), int(rng.integers(1, 3)))
        columns = {"clip_id": f"S00{i}C001P007R002A001", "label": classes[i % 2] if i else None}
        numbers = {"setup": i, "camera": 1, "subject": 7, "trial": 2}
        joints = rng.normal(size=(*shape, 25, 3)).astype(np.float32)
        solid.append(SkeletonClip(joints, NTU25, **columns, **numbers))
        confidence = rng.random((*shape, 17)).astype(np.float32)
        confidence[0, 0, 1:3] = 0
        pixels = rng.normal(size=(*shape, 17, 2)).astype(np.float32)
        pixels[confidence == 0] = 0
        flat.append(SkeletonClip(pixels, COCO17, confidence=confidence, **columns, **numbers))
    names = tmp_path / "names.txt"
    names.write_text("\n".join(classes))
    for name, clips in (("solid", solid), ("flat", flat)):
        store = store_of(tmp_path, name, clips, classes)
        path = tmp_path / f"{name}.pkl"
        write_pyskl(store, path, {"train": store.clip_ids[:4], "val": store.clip_ids[4:]}, (1080, 1920))
        again = import_data(PysklReader(classes=str(names)), path, tmp_path / f"{name}2", name=name, workers=1)
        assert again.manifest.rejected == store.manifest.rejected
        assert (again.hash, again.classes, again.clip_ids) == (store.hash, store.classes, store.clip_ids)
        # And to others, who use pickle itself.
        data = pickle.loads(path.read_bytes())
        assert {key: list(ids) for key, ids in data["split"].items()} == {
            "train": list(store.clip_ids[:4]),
            "val": list(store.clip_ids[4:]),
        }
        for clip, row in zip(store, data["annotations"], strict=True):
            np.testing.assert_array_equal(row["keypoint"], clip.joints.transpose(1, 0, 2, 3))
            assert row["keypoint"].dtype == np.float32
            assert row["keypoint"].flags.writeable
            assert row["total_frames"] == clip.num_frames
            assert row["label"] == (-1 if clip.label is None else classes.index(clip.label))
            assert row["img_shape"] == (1080, 1920)
        assert b"_core" not in path.read_bytes()[:2000]  # NumPy 1 reads it too
    with pytest.raises(InputError, match="split 'val': the store has no clip 'S9'"):
        write_pyskl(store, path, {"val": ["S9"]})


def test_a_zip_and_a_single_clip(tmp_path: Path) -> None:
    path = put(tmp_path / "one.pkl", whole(annotation(label=None)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "one.pkl")
    (clip,) = read(tmp_path / "a.zip")
    assert isinstance(clip, SkeletonClip)
    np.testing.assert_array_equal(clip.joints, read_clip_file(path).joints)
    put(path, whole(annotation("a", None), annotation("b", None)))
    with pytest.raises(InputError, match=r"one\.pkl: it holds several clips"):
        read_clip_file(path)
    with pytest.raises(InputError, match="no such file"):
        read_clip_file(tmp_path / "absent.pkl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"it holds no \.pkl or \.pickle file"):
        read(tmp_path / "empty")


SMALL = pickle.dumps(whole(annotation("a", 1), annotation("b", 2)), 4)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(SMALL) - 1), put_in=st.binary(max_size=6), drop=st.integers(0, 60))
def test_a_damaged_file_never_crashes_nor_invents_numbers(
    tmp_path_factory: pytest.TempPathFactory, at: int, put_in: bytes, drop: int
) -> None:
    content = SMALL[:at] + put_in + SMALL[at + drop :]
    path = put(tmp_path_factory.getbasetemp() / "damaged" / "a.pkl", content)
    try:
        rows = read(path)
    except InputError:
        return
    for clip in rows:
        if isinstance(clip, SkeletonClip):  # its numbers stand in the file, in one piece
            raw = np.ascontiguousarray(clip.joints.transpose(1, 0, 2, 3))
            assert raw.tobytes() in content or raw.transpose(3, 2, 1, 0).tobytes() in content


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_an_error(content: bytes) -> None:
    for data in (content, b"\x80\x04" + content + b".", SMALL[:200] + content):
        with contextlib.suppress(InputError):
            load_plain(data)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(value=_PLAIN, protocol=st.integers(3, 5))
def test_plain_values_come_back_as_pickle_has_them(value: Any, protocol: int) -> None:
    assert load_plain(pickle.dumps(value, protocol)) == value


def test_arrays_come_back_as_numpy_has_them() -> None:
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", ">f8", ">i4"):
        for shape in ((3,), (2, 3, 4), (0, 5), ()):
            array = np.random.default_rng(0).integers(0, 2, size=shape).astype(kind)
            for protocol in (2, 4, 5):
                loaded = load_plain(pickle.dumps(array, protocol))
                assert isinstance(loaded, Array)
                assert loaded.values is not None
                assert (loaded.values.dtype, loaded.values.shape) == (array.dtype, array.shape)
                np.testing.assert_array_equal(loaded.values, array)
