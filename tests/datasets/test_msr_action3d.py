import tarfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.benchmarks.msr_action3d import CLASSES, MsrAction3DReader, read_clip_file
from sugar.datasets.formats.source import Item, SourceFile, read_source
from sugar.datasets.store.store import Rejected
from sugar.errors import InputError
from sugar.facts.body_frame import straighten
from sugar.facts.measure import measure
from sugar.facts.thresholds import Thresholds
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

NAME = "a03_s02_e01_skeleton3D.txt"
# The order of the files, as body_model.mat of the data set names and joins them.
FILE_ORDER = (
    *("left_shoulder", "right_shoulder", "shoulder_center", "spine", "left_hip", "right_hip", "hip_center"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle", "left_foot", "right_foot", "head"),
)


def frames(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 20, 4)).round(6)


def text(rows: np.ndarray) -> str:
    return "".join(f"{x:.6f} {y:.6f} {z:.6f} {c:.6f}\n" for x, y, z, c in rows.reshape(-1, 4))


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = text(frames())
LINES = GOOD.splitlines(keepends=True)

BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "it is empty"),
    "blank": ("\n \n", "it is empty"),
    "cut between rows": ("".join(LINES[:-1]), "59 rows are not a multiple of the 20 joints"),
    "cut in a row": (GOOD[:-20], "row"),
    "a row too short": ("".join([*LINES[:25], "1 2 3\n", *LINES[26:]]), "changed from 4 to 3"),
    "a row too long": ("".join([*LINES[:25], "1 2 3 4 5\n", *LINES[26:]]), "changed from 4 to 5"),
    "three columns": ("1 2 3\n" * 20, "3 numbers, not the four"),
    "words": (GOOD.replace(LINES[30], "0.1 left 0.2 1\n"), "left"),
    "comma decimals": (GOOD.replace(".", ","), "could not convert"),
    "underscores": (GOOD.replace(LINES[30], "1_0 1 1 1\n"), "1_0"),
    "a comment": ("# x y z c\n" + GOOD, "not rows"),
    "nan": (GOOD.replace(LINES[27], "0 nan 0 1\n"), "left_elbow .*frame 1 .*nan"),
    "infinite": (GOOD.replace(LINES[27], "0 inf 0 1\n"), "frame 1 .*inf"),
    "too large": (GOOD.replace(LINES[27], "0 1e300 0 1\n"), "frame 1 .*inf"),
    "not ASCII": (GOOD.encode() + b"\xff\xfe 1 1 1\n", "not a text file"),
    "binary": (bytes(range(256)) * 8, "not a text file"),
    "zero": ("0 0 0 0\n" * 40, "nobody is there"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_rejected_on_import_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    path = put(tmp_path / NAME, content)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    put(tmp_path / "more" / "a20_s02_e01_skeleton3D.txt", GOOD)
    bad, good = read_source(MsrAction3DReader(), tmp_path)
    assert isinstance(bad, Rejected)
    assert str(error.value) == f"{path}: {bad.reason}"
    assert isinstance(good, SkeletonClip)
    assert good.label == "pick up and throw"


def test_a_file_too_large_is_not_opened(tmp_path: Path) -> None:
    item = Item(NAME, (SourceFile(NAME, tmp_path / "absent", 10**12),))
    with pytest.raises(InputError, match="1,000,000,000,000 bytes are more"):
        list(MsrAction3DReader().read(item))


def test_joints_go_to_their_places_and_names_to_the_columns(tmp_path: Path) -> None:
    rows = frames()
    rows[1] = 0  # nobody in the middle frame
    clip = read_clip_file(put(tmp_path / NAME, text(rows)))
    assert (clip.clip_id, clip.label, clip.subject, clip.trial) == ("a03_s02_e01", "hammer", 2, 1)
    assert (clip.camera, clip.setup, clip.fps, clip.confidence) == (None, None, 15.0, None)
    for row, joint in enumerate(FILE_ORDER):
        np.testing.assert_array_equal(clip.joints[:, 0, KINECT20.index(joint)], np.float32(rows[:, row, :3]))
    assert clip.present[:, 0].tolist() == [True, False, True]
    mine = read_clip_file(put(tmp_path / "mine.txt", GOOD))
    assert (mine.clip_id, mine.label, mine.subject, mine.trial) == ("mine", None, None, None)


def test_other_names_are_passed_over_or_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file whose name ends in _skeleton3D\.txt"):
        list(read_source(MsrAction3DReader(), tmp_path))
    put(tmp_path / "list.txt", "a01_s01_e01\n")
    with pytest.raises(InputError, match="it holds no file"):
        list(read_source(MsrAction3DReader(), tmp_path))
    for name in ("a21_s01_e01", "a00_s01_e01", "clip", "a٣_s01_e01"):
        put(tmp_path / f"{name}_skeleton3D.txt", GOOD)
    rows = [row for row in read_source(MsrAction3DReader(), tmp_path) if isinstance(row, Rejected)]
    reasons = ["action 0 of", "action 21 of", "not of the form", "not of the form"]
    assert all(reason in row.reason for reason, row in zip(reasons, rows, strict=True))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), put_in=st.binary(max_size=6), drop=st.integers(0, 400))
def test_a_damaged_file_never_gives_a_wrong_number(
    tmp_path_factory: pytest.TempPathFactory, at: int, put_in: bytes, drop: int
) -> None:
    content = GOOD.encode()[:at] + put_in + GOOD.encode()[at + drop :]
    path = put(tmp_path_factory.getbasetemp() / "damaged" / NAME, content)
    try:
        clip = read_clip_file(path)
    except InputError:
        return
    written = np.float32([float(x) for x in content.decode().split()]).reshape(-1, 20, 4)[..., :3]
    for row, joint in enumerate(FILE_ORDER):
        np.testing.assert_array_equal(clip.joints[:, 0, KINECT20.index(joint)], written[:, row])


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SkeletonClip | Rejected]:
    folder = tmp_path_factory.mktemp("msr")
    with tarfile.open(shared / "data" / "msr-action3d.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    start = time.perf_counter()
    rows = list(read_source(MsrAction3DReader(), folder))
    assert time.perf_counter() - start < 30
    return rows


def test_the_real_data_set(real: list[SkeletonClip | Rejected]) -> None:
    (rejected,) = [row for row in real if isinstance(row, Rejected)]
    assert rejected.file.endswith("a13_s09_e02_skeleton3D.txt")
    assert "nobody is there" in rejected.reason
    clips = [row for row in real if isinstance(row, SkeletonClip)]
    assert len(clips) == len({clip.clip_id for clip in clips}) == 566
    counts = Counter(clip.label for clip in clips)
    assert [counts[name] for name in CLASSES] == [
        *(27, 27, 27, 26, 26, 26, 28, 30, 30, 30),
        *(30, 30, 29, 30, 20, 30, 30, 30, 30, 30),
    ]
    assert {clip.subject for clip in clips} == set(range(1, 11))
    assert sum(not clip.present.all() for clip in clips) == 19


def test_the_real_people_stand_upright_and_act_with_the_right_hand(real: list[SkeletonClip | Rejected]) -> None:
    limit = Thresholds()
    sides: dict[str, Counter[str | None]] = defaultdict(Counter)
    toes_ahead, upright, lengths = [], [], []
    for clip in real:
        if not isinstance(clip, SkeletonClip):
            continue
        facts = measure(clip).people[0]
        assert facts.body.postures[:1] == ("standing",)
        sides[clip.label or ""][facts.side(limit)] += 1
        at = {name: straighten(clip)[clip.present[:, 0], 0, j] for j, name in enumerate(KINECT20.joint_names)}
        front = np.cross([0, 1, 0], at["right_shoulder"] - at["left_shoulder"])
        toes = sum(at[f"{s}_foot"] - at[f"{s}_ankle"] for s in ("left", "right"))
        toes_ahead.append(np.mean((toes * front).sum(axis=1) > 0))
        upright.append(np.mean(at["head"][:, 1] - (at["left_ankle"] + at["right_ankle"])[:, 1] / 2))
        for child, parent in KINECT20.bones:
            a, b = at[KINECT20.joint_names[child]], at[KINECT20.joint_names[parent]]
            lengths.append((child, np.median(np.linalg.norm(a - b, axis=1))))
    for label in ("high arm wave", "hammer", "draw x", "draw tick", "draw circle", "forward punch", "tennis swing"):
        assert sides[label]["right"] >= 0.9 * sides[label].total(), label
    for label in ("hand clap", "two hand wave"):
        assert sides[label][None] == sides[label].total(), label
    assert np.mean(toes_ahead) > 0.9
    assert 1.2 < np.median(upright) < 1.8  # meters
    for child, _ in KINECT20.bones:
        bone = [length for c, length in lengths if c == child]
        assert np.std(bone) < 0.2 * np.mean(bone), KINECT20.joint_names[child]
