"""UAV-Human: 17 COCO joints in pixels out of NTU-like files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.uav_human import UavHumanReader, read_clip_file
from sugar.datasets.formats.parsing.skeleton_text import parse_skeleton_text
from sugar.datasets.formats.source import opened
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17

NAME = "P002S01G10B50H30UC062000LC092000A154R1_08250945.txt"


def _pixels(frames: int, persons: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(frames)
    wobble = rng.normal(size=(frames, persons, 17, 2)) * 100 * np.arange(persons)[:, None, None]
    return (rng.uniform(900, 1100, (17, 2)) + wobble).astype(np.float32)


def _text(pixels: npt.NDArray[np.float32], tail: str = "0 0 0 0 0 0 0 0 0 0") -> bytes:
    lines = [str(len(pixels))]
    for frame in pixels:
        bodies = [body for body in frame if body.any()]
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += ["000 0 0 0 0 0 0 0 0 0", "17", *(f"{x} {y} {tail}" for x, y in body)]
    return "\n".join([*lines, ""]).encode()


def _read(folder: Path, text: bytes, name: str = NAME, max_persons: int = 2) -> SkeletonClip:
    (folder / name).write_bytes(text)
    with opened(folder, folder / "scratch") as files:
        plan = UavHumanReader(max_persons).plan(files)
        clip = next(iter(plan.read(plan.items[0])))
    assert isinstance(clip, SkeletonClip)
    assert plan.layout == COCO17
    assert len(plan.classes or ()) == 155
    return clip


@pytest.mark.parametrize("tail", ["0 0 0 0 0 0 0 0 0 0", "0.93", "0 0 0 0 0 0 0 0 0 7"])
def test_pixels_and_numbers_of_the_name(tmp_path: Path, tail: str) -> None:
    pixels = _pixels(5, 1)
    clip = _read(tmp_path, _text(pixels, tail))
    assert np.array_equal(clip.joints, pixels)
    assert (clip.subject, clip.setup, clip.trial, clip.camera) == (2, 1, 1, None)
    assert clip.clip_id == NAME.removesuffix(".txt")
    assert clip.label is not None
    assert clip.confidence is None


def test_bodies_are_told_apart_by_their_place(tmp_path: Path) -> None:
    pixels = _pixels(6, 3)
    pixels[4:, 2] = 0
    assert np.array_equal(_read(tmp_path, _text(pixels), max_persons=0).joints, pixels[:, [2, 1, 0]])
    assert np.array_equal(_read(tmp_path, _text(pixels)).joints, pixels[:, [2, 1]])


def test_a_file_of_any_name_is_a_clip(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(_text(_pixels(2, 1)))
    assert read_clip_file(tmp_path / "mine.txt").label is None
    with pytest.raises(InputError, match=r"absent\.txt: there is no such file"):
        read_clip_file(tmp_path / "absent.txt")
    (tmp_path / "mine.txt").write_bytes(b"2\n")
    with pytest.raises(InputError, match=r"mine\.txt: it is truncated"):
        read_clip_file(tmp_path / "mine.txt")


def _edit(text: bytes, line: int, new: bytes) -> bytes:
    lines = text.split(b"\n")
    lines[line] = new
    return b"\n".join(lines)


GOOD = _text(_pixels(3, 1))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (NAME.replace("A154", "A155"), GOOD, "action 155"),
        ("S001C001P001R001A001.txt", GOOD, "not of the form"),
        (NAME, b"", "truncated"),
        (NAME, GOOD[:200], "truncated"),
        (NAME, b"2\n0\n0\n", "no body in any frame"),
        (NAME, _edit(GOOD, 0, b"999999999"), "truncated"),
        (NAME, _edit(GOOD, 0, b"2"), "more lines follow"),
        (NAME, _edit(GOOD, 0, b"many"), "cannot be 'many'"),
        (NAME, _edit(GOOD, 1, b"7"), "number of joints|fields"),
        (NAME, _edit(GOOD, 3, b"25"), "must have 17 joints"),
        (NAME, _edit(GOOD, 4, b"nan 1 0 0 0 0 0 0 0 0 0 0"), "line 5: x is 'nan'"),
        (NAME, _edit(GOOD, 4, b"1 a 0 0 0 0 0 0 0 0 0 0"), "line 5: y is 'a'"),
        (NAME, _edit(GOOD, 4, b"1 2"), "needs 3 fields, not 2"),
        (NAME, _edit(GOOD, 8, b"1 2 0"), "needs 12 fields, not 3"),
        (NAME, GOOD.replace(b"17", b"\xff"), "not text"),
    ],
)
def test_damage_is_refused(tmp_path: Path, name: str, text: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        _read(tmp_path, text, name)
    assert "\n" not in str(caught.value)


def test_options_and_folders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must not be negative"):
        UavHumanReader(max_persons=-1)
    with pytest.raises(InputError, match=r"no \.txt file"), opened(tmp_path, tmp_path / "scratch") as files:
        UavHumanReader().plan(files)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(b"0123456789.-e \n\x00a\xff"), st.integers(0, len(GOOD)))
@settings(max_examples=200, deadline=None)
def test_a_changed_or_cut_file_is_refused_or_read_as_it_stands(at: int, byte: int, length: int) -> None:
    text = (GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])[:length]
    try:
        found = parse_skeleton_text(text, 17, kinect=False)
    except InputError:
        return
    rows = [line.split() for line in text.splitlines()]
    expected = [row[:3] for row in rows if len(row) == 12]
    assert np.array_equal(
        found.joints.reshape(-1, 3), np.array(expected, dtype=float).astype(np.float32).reshape(-1, 3)
    )
