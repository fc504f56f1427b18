import io
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.utd_mhad import CLASSES, UtdMhadReader, read_clip_file
from sugar.datasets.formats.parsing.mat_file import read_array
from sugar.datasets.formats.source import read_source
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.facts.claims import Claim
from sugar.facts.measure import measure
from sugar.skeleton.clip import SkeletonClip

scipy_io = pytest.importorskip("scipy.io")
savemat, loadmat = scipy_io.savemat, scipy_io.loadmat


def skeleton(frames: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 3, frames))


def content(**variables: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables or {"d_skel": skeleton()}, do_compression=True)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def with_joint(value: float) -> bytes:
    data = skeleton()
    data[6, 1, 2] = value  # left wrist, frame 2
    return content(d_skel=data)


BAD: dict[str, tuple[bytes, str]] = {
    "truncated": (content()[:300], "truncated or not a MATLAB file"),
    "empty": (b"", "truncated or not a MATLAB file"),
    "text": (b"words " * 100, "truncated or not a MATLAB file"),
    "other variable": (content(skeleton=skeleton()), "no variable 'd_skel'"),
    "nan": (with_joint(float("nan")), r"left_wrist .* frame 2 .*nan"),
    "infinite": (with_joint(float("inf")), r"left_wrist .* frame 2 .*inf"),
    "nineteen": (content(d_skel=skeleton()[:19]), r"'d_skel' must be numbers \[20 joints\].*\(19, 3, 3\)"),
    "two-dimensional": (content(d_skel=skeleton()[:, :2]), r"not float64 of shape \(20, 2, 3\)"),
    "words": (content(d_skel=np.array([["a"] * 3] * 20)), "must be numbers"),
    "no frames": (content(d_skel=np.zeros((20, 3, 0))), "no frames"),
    "all zero": (content(d_skel=np.zeros((20, 3, 4))), "nobody is there"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_rejected_on_import_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    path = put(tmp_path / "a1_s2_t3_skeleton.mat", data)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    put(tmp_path / "more" / "a27_s2_t3_skeleton.mat", content())
    bad, good = read_source(UtdMhadReader(), tmp_path)
    assert isinstance(bad, Rejected)
    assert bad.file == "a1_s2_t3_skeleton.mat"
    assert str(error.value) == f"{path}: {bad.reason}"
    assert isinstance(good, SkeletonClip)


def test_names_carry_label_and_protocol(tmp_path: Path) -> None:
    clip = read_clip_file(put(tmp_path / "a27_s8_t4_skeleton.mat", content()))
    assert (clip.clip_id, clip.label, clip.fps) == ("a27_s8_t4", "squat", 30.0)
    assert (clip.subject, clip.trial, clip.camera, clip.setup) == (8, 4, None, None)
    one = read_clip_file(put(tmp_path / "mine.mat", content(d_skel=skeleton(1)[..., 0])))
    assert (one.clip_id, one.label, one.subject, one.num_frames) == ("mine", None, None, 1)
    for name in ("mine.mat", "a28_s1_t1_skeleton.mat"):
        put(tmp_path / "d" / name, content())
    first, second = read_source(UtdMhadReader(), tmp_path / "d")
    assert isinstance(first, Rejected)
    assert "action 28" in first.reason
    assert isinstance(second, Rejected)
    assert "aA_sS_tT_skeleton.mat" in second.reason


def test_folders_and_archives_hold_the_same(tmp_path: Path) -> None:
    path = put(tmp_path / "in" / "a1_s1_t1_skeleton.mat", content(d_skel=skeleton(200)))
    put(tmp_path / "in" / "notes.txt", b"passed over")
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as packed:
        packed.add(path.parent, "in")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.write(path, "in/a1_s1_t1_skeleton.mat")
    for source in (tmp_path / "in", tmp_path / "x.tar.xz", tmp_path / "x.zip"):
        assert [c.clip_id for c in read_source(UtdMhadReader(), source) if isinstance(c, SkeletonClip)] == ["a1_s1_t1"]
    for name in ("x.tar.xz", "x.zip"):
        archive = tmp_path / name
        archive.write_bytes(archive.read_bytes()[:-3000])
        with pytest.raises(InputError, match=r"not a readable (tar|zip)"):
            list(read_source(UtdMhadReader(), archive))


def test_sources_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        list(read_source(UtdMhadReader(), tmp_path / "absent"))
    with pytest.raises(InputError, match=r"no \.mat"):
        list(read_source(UtdMhadReader(), tmp_path))
    with pytest.raises(InputError, match="no such file"):
        read_clip_file(tmp_path / "absent.mat")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_arrays_are_as_scipy_reads_them(kind: str, compress: bool) -> None:
    wanted = (100 * skeleton()).astype("i1").astype(kind)
    buffer = io.BytesIO()
    savemat(buffer, {"a": "words", "longer_name": {"b": 1}, "d_skel": wanted, "z": 1.5}, do_compression=compress)
    found = read_array(buffer.getvalue(), "d_skel")
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    assert read_array(buffer.getvalue(), "z").tolist() == [[1.5]]
    for name in ("a", "longer_name"):
        with pytest.raises(InputError, match="must be numbers"):
            read_array(buffer.getvalue(), name)


PLAIN = io.BytesIO()
savemat(PLAIN, {"d_skel": skeleton()}, do_compression=False)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(100, 260), put_in=st.binary(max_size=8), drop=st.integers(0, 40), cut=st.booleans())
def test_a_damaged_file_is_an_array_of_its_own_size_or_one_line(at: int, put_in: bytes, drop: int, cut: bool) -> None:
    whole = PLAIN.getvalue()
    damaged = whole[:at] + put_in + (b"" if cut else whole[at + drop :])
    try:
        found = read_array(damaged, "d_skel")
    except InputError:
        return
    assert found.size <= len(damaged)


def test_claims_of_gigabytes_take_no_memory() -> None:
    whole = PLAIN.getvalue()
    at = whole.index(np.int32([20, 3, 3]).tobytes())
    huge = whole[:at] + np.int32([20, 3, 2**30]).tobytes() + whole[at + 12 :]
    with pytest.raises(InputError, match="claims a shape"):
        read_array(huge, "d_skel")
    bomb = zlib.compress(b"\0" * 200_000_000)
    with pytest.raises(InputError, match="unpacks to more than"):
        read_array(whole[:128] + np.uint32([15, len(bomb)]).tobytes() + bomb, "d_skel")
    with pytest.raises(InputError, match=r"7\.3"):
        read_array(b"MATLAB 7.3 MAT-file".ljust(512), "d_skel")


def test_the_real_files_are_as_scipy_reads_them(shared: Path) -> None:
    with tarfile.open(shared / "data" / "utd-mhad.tar.xz") as packed:
        for member in [m for m in packed if m.name.endswith(".mat")][::40]:
            stream = packed.extractfile(member)
            assert stream is not None
            data = stream.read()
            np.testing.assert_array_equal(read_array(data, "d_skel"), loadmat(io.BytesIO(data))["d_skel"])


def test_the_real_data_set(shared: Path) -> None:
    clips = list(read_source(UtdMhadReader(), shared / "data" / "utd-mhad.tar.xz"))
    assert len(clips) == 861
    assert not [clip for clip in clips if isinstance(clip, Rejected)]
    assert Counter(clip.subject % 2 for clip in clips) == {1: 431, 0: 430}
    assert len({clip.label for clip in clips}) == len(CLASSES)
    # Joints and sides are where they belong: in the actions of the right hand the left one keeps still, a swipe
    # to the left ends over the midline and one to the right does not, and circles have their sense.
    found: Counter[str] = Counter()
    for clip in (c for c in clips if c.subject % 2):
        facts = measure(clip)
        index, joints = clip.layout.index, clip.joints[:, 0]
        assert joints[0, index("head"), 1] > joints[0, index("hip_center"), 1]
        toes = sum(joints[:, index(f"{s}_foot")] - joints[:, index(f"{s}_ankle")] for s in ("left", "right"))
        across = joints[:, index("right_shoulder")] - joints[:, index("left_shoulder")]
        found["toes ahead"] += ((toes * np.cross([0, 1, 0], across)).sum(axis=1) > 0).mean() > 0.5
        if clip.label in ("swipe left", "swipe right", "wave", "draw x"):
            right = facts.people[0].side(facts.limit) == "right"
            found["right hand"] += right
        if clip.label in ("swipe left", "swipe right"):
            way = "inward" if clip.label == "swipe left" else "outward"
            found[clip.label] += facts.check(Claim("right hand", "goes", way)) is True
        if clip.label.startswith("draw circle"):
            sense = "counter-clockwise" if "counter" in clip.label else "clockwise"
            found["circle"] += facts.check(Claim("right hand", "path", f"{sense} circle")) is True
    assert found["toes ahead"] >= 0.97 * 431
    assert found["right hand"] >= 0.95 * 63
    assert min(found["swipe left"], found["swipe right"]) >= 14
    assert found["circle"] >= 28
