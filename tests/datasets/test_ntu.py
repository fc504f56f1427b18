"""NTU RGB+D: exact numbers, exact structure, the field's cleaning, and no way for a damaged file to slip through."""

import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.ntu import Ntu60Reader, Ntu120Reader, read_clip_file, to_skeleton_text
from sugar.datasets.formats.parsing.decimals import parse_decimals
from sugar.datasets.formats.parsing.skeleton_text import (
    Sightings,
    _read_lines,
    _read_regular,
    parse_skeleton_text,
    parse_skeleton_texts,
)
from sugar.datasets.formats.source import SourceFile, opened
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25

NAME = "S001C002P003R001A013.skeleton"


def _joints(frames: int, persons: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    """People taller than wide who walk about, each more lively than the one before."""
    rng = np.random.default_rng(seed)
    body = rng.normal(size=(25, 3)) * [0.2, 0.5, 0.1] + [0, 0, 3]
    steps = rng.normal(size=(frames, persons, 1, 3)) * 0.02 * (1 + np.arange(persons))[:, None, None]
    jitter = rng.normal(size=(frames, persons, 25, 3)) * 0.01 * (1 + np.arange(persons))[:, None, None]
    return (body + steps.cumsum(axis=0) + jitter).astype(np.float32)


def _clip(joints: npt.NDArray[np.float32], **more: object) -> SkeletonClip:
    return SkeletonClip(joints=joints, layout=NTU25, **more)  # type: ignore[arg-type]


def _text(frames: int = 3, persons: int = 1, seed: int = 0) -> bytes:
    return to_skeleton_text(_clip(_joints(frames, persons, seed)))


def _read(folder: Path, text: bytes, name: str = NAME, reader: Ntu120Reader | None = None) -> SkeletonClip:
    (folder / name).write_bytes(text)
    return _first(folder, reader or Ntu120Reader())


def _first(source: Path, reader: Ntu120Reader) -> SkeletonClip:
    with opened(source, source / "scratch") as files:
        plan = reader.plan(files)
        clip = next(iter(plan.read(plan.items[0])))
    if isinstance(clip, Rejected):
        raise InputError(clip.reason)
    assert isinstance(clip, SkeletonClip)
    return clip


def _plainly(text: bytes) -> Iterator[tuple[int, bytes, list[list[float]]]]:
    """Frame, id and joints of each body, as the field's usual reader finds them."""
    lines = iter(text.replace(b"\r\n", b"\n").split(b"\n"))
    for t in range(int(next(lines))):
        for _ in range(int(next(lines))):
            body = next(lines).split()[0]
            yield t, body, [[float(x) for x in next(lines).split()[:3]] for _ in range(int(next(lines)))]


# Numbers


@pytest.mark.parametrize(
    "token",
    [
        "0",
        "-0.0",
        "0.1",
        "-3.785547",
        "0.05349901",
        "0.0001234567",
        "-5.1e-05",
        "1E-38",
        "1e-46",
        "12345.678",
        "7.",
        ".5",
    ],
)
def test_a_number_equals_pythons(token: str) -> None:
    text = f"{token} x".encode()
    value = parse_decimals(text, np.array([0]), np.array([len(token)]))
    assert value.view(np.uint32)[0] == np.float32(float(token)).view(np.uint32)


@given(
    st.lists(
        st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda x: str(np.float32(x))),
            st.floats(-10, 10).map(repr),
            st.floats(-1, 1).map(lambda x: f"{x:.7g}"),
            st.from_regex(r"-?[0-9]\.[0-9]{1,18}", fullmatch=True),
            st.from_regex(r"[-+]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)
def test_numbers_equal_pythons_to_the_last_bit(tokens: list[str]) -> None:
    text = " ".join(tokens).encode()
    lengths = np.array([len(token) for token in tokens])
    ends = np.cumsum(lengths + 1) - 1
    with np.errstate(over="ignore"):
        expected = np.array([float(token) for token in tokens]).astype(np.float32)
    found = parse_decimals(text, ends - lengths, ends)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(
    "token", ["", "nan", "inf", "1_0", "0x1", "1.2.3", "1,5", "--1", "1e", "-", ".", "0.5a", "a.5"]
)
def test_what_is_no_number_is_nan(token: str) -> None:
    padded = f"1.25 {token} 1.25".encode()
    assert np.isnan(parse_decimals(padded, np.array([5]), np.array([5 + len(token)]))[0])


# Reading


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("persons", [1, 2])
def test_both_ways_of_reading_find_what_a_plain_reader_finds(line_end: bytes, persons: int) -> None:
    text = _text(20, persons).replace(b"\r\n", line_end)
    plain = list(_plainly(text))
    regular = _read_regular([text], 25)
    assert regular is not None
    for found in (*regular, _read_lines(text, 25)):
        assert found.num_frames == 20
        assert found.frame.tolist() == [row[0] for row in plain]
        assert found.body_id == [row[1] for row in plain]
        assert np.array_equal(found.joints, np.array([row[2] for row in plain], np.float32))
        assert (found.state == 2).all()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2), st.booleans()), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_files_read_together_are_those_read_alone(shapes: list[tuple[int, int, bool]]) -> None:
    texts = [_text(frames, max(persons, 1)) for frames, persons, _ in shapes]
    for i, (frames, persons, whole) in enumerate(shapes):
        if persons == 0:  # nobody there
            texts[i] = b"\r\n".join([b"%d" % frames, *[b"0"] * frames, b""])
        if not whole:
            texts[i] = texts[i].rstrip()
    if all(whole for _, _, whole in shapes):
        assert _read_regular(texts, 25) is not None
    for found, text in zip(parse_skeleton_texts(texts, 25), texts, strict=True):
        alone = _read_lines(text, 25)
        assert isinstance(found, Sightings)
        assert (found.num_frames, found.body_id) == (alone.num_frames, alone.body_id)
        assert np.array_equal(found.frame, alone.frame)
        assert np.array_equal(found.joints, alone.joints)
        assert np.array_equal(found.state, alone.state)


def test_frames_of_one_file_are_not_taken_for_those_of_the_next() -> None:
    short, long = _text(3), _text(5)
    # Together they have as many lines as both say, but each says the other's.
    texts = [_edit(short, 0, b"5"), _edit(long, 0, b"3")]
    assert _read_regular(texts, 25) is None
    assert [str(found)[:10] for found in parse_skeleton_texts(texts, 25)] == ["it is trun", "line 86: m"]


def test_files_that_their_names_rule_out_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NAME, NAME.replace("A013", "A061"), "mine.skeleton"):
        (tmp_path / name).write_bytes(_text())
    read: list[str] = []
    original = SourceFile.read
    monkeypatch.setattr(SourceFile, "read", lambda file, *more: (read.append(file.name), original(file, *more))[1])
    with opened(tmp_path, tmp_path / "scratch") as files:
        (item,) = Ntu60Reader().plan(files).items
        rows = list(Ntu60Reader().read(item))
    assert [isinstance(row, Rejected) for row in rows] == [False, True, True]
    assert read == [NAME]


def test_a_damaged_file_leaves_those_beside_it(tmp_path: Path) -> None:
    for i, text in enumerate([_text(4), b"", _text(5), _text(6)[:-400], _text(7)]):
        (tmp_path / NAME.replace("R001", f"R00{i + 1}")).write_bytes(text)
    (tmp_path / "mine.skeleton").write_bytes(_text())
    with opened(tmp_path, tmp_path / "scratch") as files:
        plan = Ntu120Reader().plan(files)
        (item,) = plan.items
        (tmp_path / NAME.replace("R001", "R005")).unlink()
        rows = list(plan.read(item))
    assert [row.num_frames if isinstance(row, SkeletonClip) else row.reason[:15] for row in rows] == [
        4,
        "line 1: the num",
        5,
        "line 162: joint",
        "cannot be read ",
        "the file name i",
    ]
    assert [row.file[8:16] for row in rows if isinstance(row, Rejected)] == [
        "P003R002",
        "P003R004",
        "P003R005",
        "leton",
    ]


def test_irregular_blanks_and_exponents_change_nothing() -> None:
    text = _text(4, 2)
    expected = parse_skeleton_text(text, 25)
    for variant in (
        text.replace(b" ", b"  "),
        text.replace(b" 0 2\r", b" 0\t2 \r"),
        text + b"\r\n \r\n",
        text.rstrip(),
    ):
        assert np.array_equal(parse_skeleton_text(variant, 25).joints, expected.joints)


def test_body_ids_of_any_length_are_told_apart() -> None:
    text = _text(6, 2).replace(b"72057594037931101 ", b"7 ").replace(b"\r\n7 ", b"\r\n123456789012345678901 ", 3)
    (found,) = _read_regular([text], 25) or ()
    assert found.body_id == [row[1] for row in _plainly(text)]
    assert set(found.body_id) == {b"7", b"123456789012345678901", b"72057594037931102"}


def test_name_gives_id_label_and_numbers(tmp_path: Path) -> None:
    clip = _read(tmp_path, _text())
    assert (clip.clip_id, clip.label) == ("S001C002P003R001A013", "tear up paper")
    assert (clip.setup, clip.camera, clip.subject, clip.trial, clip.fps) == (1, 2, 3, 1, 30.0)


def test_bodies_come_and_go_by_their_ids(tmp_path: Path) -> None:
    joints = _joints(40, 2)
    joints[:20, 1] = 0  # the livelier one comes later
    joints[30:, 0] = 0
    joints[35] = 0  # a frame without anybody
    clip = _read(tmp_path, to_skeleton_text(_clip(joints)))
    assert np.array_equal(clip.joints, joints[:, ::-1])
    assert clip.confidence is not None
    assert np.array_equal(clip.confidence[..., 0], clip.present.astype(np.float32))


def test_confidence_is_the_tracking_state_and_untracked_joints_are_zero(tmp_path: Path) -> None:
    confidence = np.tile(np.array([0, 0.5, 1, 1, 1], np.float32), (3, 1, 5))
    joints = _joints(3)
    clip = _read(tmp_path, to_skeleton_text(_clip(joints, confidence=confidence)))
    assert clip.confidence is not None
    assert np.array_equal(clip.confidence, confidence)
    assert not clip.joints[confidence == 0].any()
    assert np.array_equal(clip.joints[confidence > 0], joints[confidence > 0])


@given(st.integers(1, 30), st.integers(1, 2), st.integers(0, 10**6), st.sampled_from([1e-6, 1.0, 1e5]))
@settings(max_examples=40, deadline=None)
def test_write_and_read_are_equal_to_the_last_bit(frames: int, persons: int, seed: int, scale: float) -> None:
    joints = _joints(frames, persons, seed) * np.float32(scale)
    found = parse_skeleton_text(to_skeleton_text(_clip(joints)), 25)
    assert np.array_equal(found.joints.view(np.uint32), joints.reshape(-1, 25, 3).view(np.uint32))


def test_a_file_of_any_name_is_a_clip(tmp_path: Path) -> None:
    (tmp_path / "mine.skeleton").write_bytes(_text())
    clip = read_clip_file(tmp_path / "mine.skeleton")
    assert (clip.clip_id, clip.label, clip.subject) == ("mine", None, None)
    with pytest.raises(InputError, match=r"absent\.skeleton: there is no such file"):
        read_clip_file(tmp_path / "absent.skeleton")


def test_only_ntu_joints_can_be_written() -> None:
    from sugar.skeleton.layouts import KINECT20

    with pytest.raises(InputError, match="only ntu25"):
        to_skeleton_text(SkeletonClip(joints=np.ones((1, 1, 20, 3), np.float32), layout=KINECT20))


# Cleaning


def test_a_short_track_is_dropped_but_never_the_last(tmp_path: Path) -> None:
    joints = _joints(30, 2)
    joints[11:, 1] = 0
    text = to_skeleton_text(_clip(joints))
    assert _read(tmp_path, text).num_persons == 1
    assert _read(tmp_path, text, reader=Ntu120Reader(short_track=10)).num_persons == 2
    assert _read(tmp_path, text, reader=Ntu120Reader(raw=True)).num_persons == 2
    assert _read(tmp_path, _text(5)).num_frames == 5


def test_a_track_wider_than_tall_is_dropped(tmp_path: Path) -> None:
    joints = _joints(30, 2)
    joints[:, 1] *= np.array([10, 0.1, 1], np.float32)
    text = to_skeleton_text(_clip(joints))
    assert np.array_equal(_read(tmp_path, text).joints, joints[:, :1])
    assert _read(tmp_path, text, reader=Ntu120Reader(wide_share=2)).num_persons == 2


def test_the_two_with_most_motion_stay(tmp_path: Path) -> None:
    joints = _joints(30, 3)
    text = to_skeleton_text(_clip(joints))
    assert np.array_equal(_read(tmp_path, text).joints, joints[:, [2, 1]])
    assert np.array_equal(_read(tmp_path, text, reader=Ntu120Reader(raw=True)).joints, joints[:, ::-1])
    assert _read(tmp_path, text, reader=Ntu120Reader(max_persons=1)).num_persons == 1


def test_options_that_make_no_sense_are_refused() -> None:
    for options in ({"short_track": -1}, {"max_persons": -1}, {"wide_share": float("nan")}):
        with pytest.raises(InputError, match="must not be negative"):
            Ntu120Reader(**options)


# What is refused


@pytest.mark.parametrize(
    ("name", "reader", "reason"),
    [
        ("S001C001P001R001A121.skeleton", Ntu120Reader(), "action 121"),
        ("S001C001P001R001A000.skeleton", Ntu120Reader(), "action 0"),
        ("S033C001P001R001A001.skeleton", Ntu120Reader(), "setup 33"),
        ("S001C001P001R001A061.skeleton", Ntu60Reader(), "action 61"),
        ("S018C001P001R001A001.skeleton", Ntu60Reader(), "setup 18"),
        ("mine.skeleton", Ntu120Reader(), "not of the form"),
    ],
)
def test_names_outside_the_data_set_are_refused(tmp_path: Path, name: str, reader: Ntu120Reader, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        _read(tmp_path, _text(), name, reader)


def test_a_folder_without_skeletons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.skeleton file"), opened(tmp_path, tmp_path / "scratch") as files:
        Ntu60Reader().plan(files)
    (tmp_path / NAME).write_bytes(_text())
    with opened(tmp_path, tmp_path / "scratch") as files:
        plan = Ntu60Reader().plan(files)
    assert (len(plan.items), len(plan.classes or ()), plan.layout) == (1, 60, NTU25)


def _edit(text: bytes, line: int, new: bytes) -> bytes:
    lines = text.split(b"\r\n")
    lines[line] = new
    return b"\r\n".join(lines)


JOINT = b"0.1 0.2 3.0 0 0 0 0 0 0 0 0 2"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda t: b"", "truncated"),
        (lambda t: b"\r\n\r\n", "truncated"),
        (lambda t: b"0\r\n", "no frames"),
        (lambda t: b"3\r\n0\r\n0\r\n0\r\n", "no body in any frame"),
        (lambda t: _edit(t, 0, b"2"), "more lines follow"),
        (lambda t: _edit(t, 0, b"4"), "line 86 should hold the number of bodies in frame 3"),
        (lambda t: _edit(t, 0, b"999999999"), "truncated"),
        (lambda t: _edit(t, 0, b"9" * 30), "cannot be '99999"),
        (lambda t: _edit(t, 0, b"-3"), "number of frames cannot be '-3'"),
        (lambda t: _edit(t, 0, b"three"), "cannot be 'three'"),
        (lambda t: _edit(t, 1, b"2"), "line 30: a body of frame 0 needs 10 fields, not 1"),
        (lambda t: _edit(t, 1, b"0"), "line 3: the number of bodies in frame 1 needs 1 fields, not 10"),
        (lambda t: _edit(t, 1, b"999999999"), "needs 10 fields"),
        (lambda t: t.replace(b"101 0 ", b"101 ", 1), "line 3: a body of frame 0 needs 10 fields, not 9"),
        (lambda t: _edit(t, 2, b"1 0 0 0 0 0 0 0 2 "), "line 3: a body of frame 0 needs 10 fields, not 9"),
        (lambda t: _edit(t, 2, b" 1 0 0 0 0 0 0 0 2"), "line 3: a body of frame 0 needs 10 fields, not 9"),
        (lambda t: _edit(t, 3, b"24"), "must have 25 joints"),
        (lambda t: _edit(t, 3, b"999999999"), "must have 25 joints"),
        (lambda t: _edit(t, 4, JOINT.replace(b"0.1", b"nan")), "line 5: x is 'nan', not a finite number"),
        (lambda t: _edit(t, 4, JOINT.replace(b"0.2", b"-inf")), "line 5: y is '-inf'"),
        (lambda t: _edit(t, 4, JOINT.replace(b"3.0", b"1e39")), "line 5: z is '1e39'"),
        (lambda t: _edit(t, 9, JOINT.replace(b"0.1", b"abc")), "line 10: x is 'abc'"),
        (lambda t: _edit(t, 9, JOINT.replace(b"0.1", b"1_0")), "line 10: x is '1_0'"),
        (lambda t: _edit(t, 9, JOINT[:-1] + b"3"), "tracking state must be 0, 1 or 2, not '3'"),
        (lambda t: _edit(t, 9, JOINT + b" 2"), "line 10: joint 6 of a body of frame 0 needs 12 fields, not 13"),
        (lambda t: _edit(t, 9, JOINT[:-2]), "needs 12 fields, not 11"),
        (lambda t: t.replace(b"72057594037931101", b"\xff\xfe"), "not text"),
        (lambda t: t + b"1\r\n", "more lines follow"),
        (lambda t: t.decode("ascii").encode("utf-16"), "not text|cannot be"),
        (lambda t: _text(3, 2).replace(b"1102 ", b"1101 "), "twice in frame 0"),
    ],
)
def test_damage_is_refused_with_its_place(tmp_path: Path, damage: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        _read(tmp_path, damage(_text()))  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_every_truncation_is_noticed() -> None:
    text = _text(2, 2)
    complete = len(text.rstrip())
    for length in range(0, complete):
        with pytest.raises(InputError):
            parse_skeleton_text(text[:length], 25)
    for length in range(complete, len(text)):
        assert len(parse_skeleton_text(text[:length], 25).frame) == 4


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_refused_or_read_as_it_stands(data: st.DataObject) -> None:
    text = bytearray(_text(2, 1))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(
            st.sampled_from(b"0123456789.-+eE \t\n\x00anif_\xff")
        )
    try:
        found = parse_skeleton_text(bytes(text), 25)
    except InputError:
        return
    plain = list(_plainly(bytes(text)))
    assert found.frame.tolist() == [row[0] for row in plain]
    assert np.array_equal(found.joints, np.array([row[2] for row in plain], np.float32).reshape(-1, 25, 3))


def test_numbers_in_the_file_do_not_drive_memory() -> None:
    text = _edit(_text(), 0, b"999999999")
    tracemalloc.start()
    with pytest.raises(InputError, match="truncated"):
        parse_skeleton_text(text, 25)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_long_body_id_does_not_fill_memory() -> None:
    text = _text(200).replace(b"72057594037931101", b"7" * 200_000, 1)
    tracemalloc.start()
    assert parse_skeleton_text(text, 25).body_id[0] == b"7" * 200_000
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_many_bodies_do_not_fill_memory(tmp_path: Path) -> None:
    body = b"\r\n".join([b"%d 0 0 0 0 0 0 0 0 2", b"25", *[JOINT] * 25])
    text = b"\r\n".join([b"300", *(b"1\r\n" + body % t for t in range(300)), b""])
    with pytest.raises(InputError, match="300 different bodies"):
        _read(tmp_path, text, reader=Ntu120Reader(raw=True))
    assert _read(tmp_path, text).num_persons == 2


def test_a_zip_is_imported_with_bad_files_as_rejected_rows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "nturgbd.zip", "w") as archive:
        for action in (1, 2, 61):
            archive.writestr(f"nturgb+d_skeletons/S001C002P003R001A{action:03d}.skeleton", _text(5, seed=action))
        archive.writestr("nturgb+d_skeletons/S001C002P003R001A003.skeleton", _text()[:-300])
    store = import_data(Ntu60Reader(), tmp_path / "nturgbd.zip", tmp_path / "store", name="ntu60", workers=1)
    assert store.clip_ids == ("S001C002P003R001A001", "S001C002P003R001A002")
    assert np.array_equal(store[1].joints, _joints(5, seed=2))
    assert [row.file[-13:] for row in store.manifest.rejected] == ["A003.skeleton", "A061.skeleton"]
    assert "truncated" in store.manifest.rejected[0].reason
