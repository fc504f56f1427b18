"""PKU-MMD: long recordings cut by their labels, row by row and number by number."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.benchmarks.pku_mmd import PkuMmdReader, _read_rows, read_clip_file
from sugar.datasets.formats.source import opened
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

FRAMES = 30


def _joints(frames: int = FRAMES, persons: int = 2, seed: int = 0) -> npt.NDArray[np.float32]:
    joints = np.random.default_rng(seed).normal(size=(frames, 2, 25, 3)).round(6)
    joints[:, persons:] = 0
    return joints.astype(np.float32)


def _text(joints: npt.NDArray[np.float32]) -> bytes:
    rows = [" ".join(f"{x:.6f}" for x in row.ravel()) for row in joints]
    return "\n ".join(rows).encode() + b"\n"


def _write(folder: Path, labels: str | bytes | None, text: bytes | None = None, name: str = "0002-L") -> None:
    for kind, content in (("Data", _text(_joints()) if text is None else text), ("Label", labels)):
        path = folder / kind / ("PKU_Skeleton_Renew" if kind == "Data" else "Train_Label_PKU_final")
        path.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (path / f"{name}.txt").write_bytes(content.encode() if isinstance(content, str) else content)


def _read(folder: Path, *, cut: bool = True) -> list[SkeletonClip | Rejected]:
    with opened(folder, folder / "scratch") as files:
        plan = PkuMmdReader(cut=cut).plan(files)
        found: list[SkeletonClip | Rejected] = []
        for item in plan.items:
            try:
                found += plan.read(item)
            except InputError as error:
                found.append(Rejected(item.name, str(error)))
    assert plan.layout == NTU25
    assert plan.classes == class_names("pku_mmd")
    return found


def _clips(found: list[SkeletonClip | Rejected]) -> list[SkeletonClip]:
    return [clip for clip in found if isinstance(clip, SkeletonClip)]


def _reasons(found: list[SkeletonClip | Rejected]) -> list[str]:
    return [row.reason for row in found if isinstance(row, Rejected)]


def test_labels_cut_a_recording_into_clips(tmp_path: Path) -> None:
    _write(tmp_path, "1,0,10,2\r\n51,12,30,1\r\n")
    first, second = _clips(_read(tmp_path))
    joints = _joints()
    assert np.array_equal(first.joints, joints[:10])
    assert np.array_equal(second.joints, joints[12:])
    names = class_names("pku_mmd")
    assert (first.clip_id, first.label, first.trial) == ("0002-L_001", names[0], 1)
    assert (second.clip_id, second.label, second.trial) == ("0002-L_002", names[50], 2)
    assert (first.setup, first.camera, first.subject, first.fps) == (2, 1, None, 30.0)


def test_recordings_can_stay_whole(tmp_path: Path) -> None:
    _write(tmp_path, "1,0,10,2\n", name="0364-R")
    (whole,) = _clips(_read(tmp_path, cut=False))
    assert np.array_equal(whole.joints, _joints())
    assert (whole.clip_id, whole.label, whole.setup, whole.camera, whole.trial) == ("0364-R", None, 364, 3, None)


def test_a_person_who_is_never_there_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, "1,0,10,2\n", _text(_joints(persons=1)))
    assert _clips(_read(tmp_path))[0].joints.shape == (10, 1, 25, 3)


def test_files_in_one_folder_are_told_apart_by_commas(tmp_path: Path) -> None:
    _write(tmp_path / "a", None, name="0003-M")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0003-M.txt").write_text("4,1,5,1\n")
    (tmp_path / "b" / "cross-view.txt").write_text("Training videos:\n0003-M, \n")
    (clip,) = _clips(_read(tmp_path))
    assert (clip.clip_id, clip.camera) == ("0003-M_001", 2)


def test_a_file_of_any_name_is_a_clip(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(_text(_joints()))
    assert np.array_equal(read_clip_file(tmp_path / "mine.txt").joints, _joints())
    (tmp_path / "mine.txt").write_bytes(b"1 2 3\n")
    with pytest.raises(InputError, match=r"mine\.txt: row 1: it has 3 numbers, not 150"):
        read_clip_file(tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,9,9,2", "frames 9 to 9 do not lie within the recording's 30"),
        ("1,10,5,2", "frames 10 to 5"),
        ("1,-1,5,2", "frames -1 to 5"),
        ("1,0,31,2", "frames 0 to 31"),
        ("1,0,999999999,2", "frames 0 to 999999999"),
        ("0,0,5,2", "class 0 is not one of 1 to 51"),
        ("52,0,5,2", "class 52"),
        ("1,0", "'1,0' is not class,start,end,confidence"),
        ("drink,0,5,2", "is not class,start,end"),
        ("1;0;5;2", "is not class,start,end"),
        ("1,0,99999999999999999999,2", "is not class,start,end"),
        ("", "is not class,start,end"),
        ("1,nan,5,2", "is not class,start,end"),
    ],
)
def test_a_bad_label_row_is_rejected_and_the_others_stay(tmp_path: Path, row: str, reason: str) -> None:
    _write(tmp_path, f"2,0,4,1\n{row}\n3,5,8,1\n")
    found = _read(tmp_path)
    assert [clip.clip_id for clip in _clips(found)] == ["0002-L_001", "0002-L_003"]
    assert len(_reasons(found)) == 1
    assert reason in _reasons(found)[0]
    assert _reasons(found)[0].startswith("row 2: ")


def test_a_cut_with_nobody_in_it_is_rejected(tmp_path: Path) -> None:
    joints = _joints()
    joints[5:9] = 0
    _write(tmp_path, "2,0,4,1\n3,5,9,1\n", _text(joints))
    assert _reasons(_read(tmp_path)) == ["row 2: every joint of every frame is zero, so nobody is there"]


GOOD = _text(_joints())


@pytest.mark.parametrize(
    ("labels", "text", "reason"),
    [
        (None, GOOD, "no label files of the same name"),
        ("", GOOD, "is empty"),
        (b"\xff\xfe1,2", GOOD, "is not text"),
        ("1,0,5,1\n" * 9000, GOOD, "more than the 65,536"),
        ("1,0,5,1", b"", "it is empty"),
        ("1,0,5,1", b"\n \n", "it is empty"),
        ("1,0,5,1", GOOD[:-1].rsplit(b" ", 1)[0], "the file is truncated"),
        ("1,0,5,1", GOOD[:-3], "its last number has fewer decimals"),
        ("1,0,5,1", GOOD.replace(b"\n", b" 0.5\n", 1), "row 1: it has 151 numbers, not 150"),
        ("1,0,5,1", GOOD.replace(b"\n", b"\n\n", 1), "row 2: it has 0 numbers"),
        ("1,0,5,1", b"nan " + GOOD.split(b" ", 1)[1], "row 1: number 1 is 'nan'"),
        ("1,0,5,1", GOOD[:-9] + b"1e39\n", "row 30: number 150"),
        ("1,0,5,1", b"abc " + GOOD.split(b" ", 1)[1], "number 1 is 'abc'"),
        ("1,0,5,1", GOOD.replace(b" ", b"\xff", 1), "numbers, not 150"),
        ("1,0,5,1", GOOD.decode().encode("utf-16-le"), "not a finite number|numbers, not 150"),
    ],
)
def test_damage_is_refused(tmp_path: Path, labels: str | bytes | None, text: bytes, reason: str) -> None:
    _write(tmp_path, labels, text)
    (found,) = _read(tmp_path)
    assert isinstance(found, Rejected)
    assert re.search(reason, found.reason)
    assert "\n" not in found.reason


def test_labels_without_skeletons_and_two_label_files_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, "1,0,5,1\n")
    (tmp_path / "Label" / "0002-L.txt").write_text("1,0,5,1\n")
    (tmp_path / "Label" / "0004-L.txt").write_text("1,0,5,1\n")
    assert _reasons(_read(tmp_path)) == [
        "2 label files of the same name; one is needed to cut it into clips",
        "there is no skeleton file of the same name",
    ]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cross-view.txt").write_text("Training videos:\n")
    with pytest.raises(InputError, match="no skeleton file with a name such as"):
        _read(tmp_path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_or_cut_file_is_refused_or_read_as_it_stands(data: st.DataObject) -> None:
    text = bytearray(_text(_joints(2)))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.sampled_from(b"0123456789.-+e \t\nan\xff"))
    changed = bytes(text[: data.draw(st.integers(0, len(text)))])
    try:
        found = _read_rows(changed)
    except InputError:
        return
    expected = [[float(x) for x in row.split()] for row in changed.splitlines() if row.strip()]
    assert np.array_equal(found, np.array(expected).astype(np.float32))


def test_every_truncation_but_at_a_line_end_is_noticed() -> None:
    text = _text(_joints(2))
    first = text.index(b"\n")
    for length in range(len(text) - 1):
        if first <= length <= first + 2:
            continue
        with pytest.raises(InputError):
            _read_rows(text[:length])
