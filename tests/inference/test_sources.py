"""Which format a file or folder is taken for; `test_damage` reads one of each."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_sources import MAKERS, put

from sugar.datasets.formats.pyskl import write_pyskl
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.inference.sources import read_clips
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25, with_dimension


def read(path: Path, layout: JointLayout | None = None) -> list[SkeletonClip]:
    return list(read_clips(str(path), io.StringIO(), layout))


RIG = replace(COCO17, name="rig17", joint_names=tuple(f"my_{name}" for name in COCO17.joint_names), dimension=3)
"""Joints of one's own, as many as another layout's."""


def rig_clip(seed: int = 0) -> np.ndarray:
    """``[T, V, C]``"""
    return np.random.default_rng(seed).normal(size=(4, RIG.num_joints, 3)).astype(np.float32)


def rig_csv(joints: np.ndarray, layout: str | None = None) -> bytes:
    titles = ["frame", *(f"{name}_{axis}" for name in RIG.joint_names for axis in "xyz")]
    rows = [[t, *(float(value) for value in frame.ravel())] for t, frame in enumerate(joints)]
    if layout:
        titles, rows = [*titles, "layout"], [[*row, layout] for row in rows]
    return "\n".join(",".join(map(str, row)) for row in [titles, *rows]).encode()


def rig_npz(path: Path, joints: np.ndarray, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, joints=joints, **more)
    return path


def test_all_clips_of_a_pickle_are_read_whatever_its_labels_mean(tmp_path: Path) -> None:
    clips = list(generate(2, 0, ("clap", "kick")))
    store = write_store(tmp_path / "s", clips, name="a", classes=("clap", "kick"), layout=NTU25, source="test")
    write_pyskl(store, tmp_path / "a.pkl")
    found = read(tmp_path / "a.pkl")
    assert [clip.clip_id for clip in found] == list(store.clip_ids)
    assert {clip.label for clip in found} == {None}
    np.testing.assert_array_equal(found[1].joints, store[1].joints)


def test_texts_are_told_by_their_numbers(tmp_path: Path) -> None:
    layouts = {"msr-action3d": KINECT20, "ntu120": NTU25, "pku-mmd": NTU25, "uav-human": COCO17}
    for name, layout in layouts.items():
        source = MAKERS[name][1]()
        (clip,) = read(put(tmp_path / f"{name}.txt", source.files[source.main]))
        assert clip.layout == layout
        assert clip.label is None
    uav = MAKERS["uav-human"][1]()
    nobody_first = b"4\n0\n" + uav.files[uav.main].split(b"\n", 1)[1]
    (clip,) = read(put(tmp_path / "later.txt", nobody_first))
    assert (clip.layout, clip.present[:, 0].tolist()) == (COCO17, [False, True, True, True])
    for text in (b"", b"1 2 3\n", b"a story\nof two lines\n", b"x,y,z\n1,2,3\n"):
        with pytest.raises(InputError, match=r"other\.txt: this text is neither"):
            read(put(tmp_path / "other.txt", text))


def test_names_of_the_data_sets_give_labels(tmp_path: Path) -> None:
    for name in ("ntu120", "msr-action3d", "nw-ucla", "smarthome", "uav-human", "utd-mhad"):
        source = MAKERS[name][1]()
        (clip,) = read(put(tmp_path / source.main, source.files[source.main]))
        assert clip.label is not None
        assert clip.subject is not None


def test_an_objects_joints_make_it_one_of_ours(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(3, 17, 2)).tolist()
    record = {"joints": joints, "layout": "coco17", "clip_id": 'with "keypoints" and "skeletons"'}
    (clip,) = read(put(tmp_path / "a.json", json.dumps(record).encode()))
    assert clip.clip_id == record["clip_id"]


def test_what_is_no_clip_says_what_to_do(tmp_path: Path) -> None:
    openpose = MAKERS["openpose"][1]()
    for path, message in (
        (put(tmp_path / "a.zip", b"PK"), "an archive is imported first"),
        (put(tmp_path / "a.docx", b"PK"), r"unknown format '\.docx'; give a store"),
        (put(tmp_path / "a_000000000000_keypoints.json", openpose.files[openpose.main]), "give the folder"),
        (tmp_path / "none", "no such file or store"),
        (put(tmp_path / "empty" / "notes.md", b"").parent, "holds no file of a known format"),
    ):
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert "\n" not in str(error.value)


def test_folders_are_told_by_most_of_their_files(tmp_path: Path) -> None:
    for name in ("nw-ucla", "smarthome"):
        source = MAKERS[name][1]()
        put(tmp_path / "mixed" / source.main, source.files[source.main])
    put(tmp_path / "mixed" / "more.json", source.files[source.main])
    put(tmp_path / "mixed" / "readme.txt", b"words")
    with pytest.raises(InputError, match="sugar data import smarthome"):
        read(tmp_path / "mixed")


def test_clips_of_the_models_own_layout_need_not_say_so(tmp_path: Path) -> None:
    joints = rig_clip()
    record = {"joints": joints.tolist()}
    files = [
        put(tmp_path / "a.json", json.dumps(record).encode()),
        put(tmp_path / "b.json", json.dumps([record | {"layout": "rig17"}, record]).encode()),
        put(tmp_path / "c.csv", rig_csv(joints)),
        put(tmp_path / "d.csv", rig_csv(joints, "rig17")),
        rig_npz(tmp_path / "e.npz", joints),
        rig_npz(tmp_path / "f.npz", joints[:, None], layout="rig17"),
    ]
    for path in files:
        for clip in read(path, RIG):
            assert clip.layout == RIG
            np.testing.assert_array_equal(clip.joints[:, 0], joints)
    (clip,) = read_clips("-", io.StringIO(json.dumps(record)), RIG)
    assert (clip.layout, clip.clip_id) == (RIG, "standard input")


def test_other_layouts_than_the_models_stay_what_they_are(tmp_path: Path) -> None:
    (clip,) = generate(1, 0, ("clap",))
    names = [f"{name}_{axis}" for name in NTU25.joint_names for axis in "xyz"]
    rows = [",".join(map(str, frame.ravel())) for frame in clip.joints[:, 0]]
    ntu = rig_npz(tmp_path / "ntu.npz", clip.joints, layout="ntu25")
    table = "\n".join([",".join(["frame", *names]), *(f"{t},{row}" for t, row in enumerate(rows))])
    table = put(tmp_path / "ntu.csv", table.encode())
    said = rig_npz(tmp_path / "said.npz", rig_clip(), layout="coco17_3d")
    for path, layout in ((ntu, NTU25), (table, NTU25), (said, with_dimension(COCO17, 3))):
        assert [clip.layout for clip in read(path, RIG)] == [layout]
    for path, message in (
        (put(tmp_path / "a.csv", rig_csv(rig_clip(), "octopus8")), "octopus8"),
        (
            put(tmp_path / "b.csv", rig_csv(rig_clip()).replace(b"my_nose", b"nose")),
            r"b\.csv: its joints .*; read as rig17: it has no column 'my_nose",
        ),
        (put(tmp_path / "g.csv", rig_csv(rig_clip()).replace(b"frame", b"time")), r"rig17: it has no column 'frame'"),
        (put(tmp_path / "c.json", json.dumps({"joints": rig_clip()[:, 1:].tolist()}).encode()), "layout of 16 joints"),
        (put(tmp_path / "d.json", b'{"joints": [[[1, 2], [3]]]}'), "not a regular array"),
        (put(tmp_path / "e.json", b'{"joints": []}'), "joints"),
    ):
        with pytest.raises(InputError, match=message):
            read(path, RIG)
    for layout in (None, NTU25):  # or x, y and a confidence: a built-in layout is not guessed
        with pytest.raises(InputError, match="ntu25 or openpose25 would fit"):
            read(rig_npz(tmp_path / "either.npz", clip.joints), layout)
    with pytest.raises(InputError, match="those of no built-in layout"):
        read(put(tmp_path / "f.csv", rig_csv(rig_clip())))


ABOUT = {"layout": "rig.json", "fps": 25, "units": "cm", "up": "z", "label": "labels", "labels": "who.csv"}


def described(folder: Path, **changes: object) -> Path:
    """A data set's folder without its clips."""
    RIG.to_json(put(folder / "rig.json", b""))
    put(folder / "who.csv", b"clip_id,label\nknown,wave\n")
    put(folder / "dataset.yaml", yaml.safe_dump(ABOUT | changes).encode())
    return folder


@pytest.mark.parametrize("place", [".", "wave", "P01/monday/wave"])
def test_a_dataset_yaml_beside_or_above_a_file_is_heeded(place: str, tmp_path: Path) -> None:
    joints = rig_clip()
    folder = described(tmp_path / "set") / place
    upright = joints[..., [0, 2, 1]] * np.float32([0.01, 0.01, -0.01])
    files = [put(folder / "new.csv", rig_csv(joints)), rig_npz(folder / "new.npz", joints)]
    for path in files:  # whom no table of labels knows
        (clip,) = read(path)
        assert (clip.layout, clip.fps, clip.clip_id) == (RIG, 25, "new")
        np.testing.assert_allclose(clip.joints[:, 0], upright, atol=1e-7)
    described(tmp_path / "set", layout=None, up=None, units="m")
    (clip,) = read(files[1], RIG)
    assert (clip.layout, clip.fps) == (RIG, 25)
    np.testing.assert_array_equal(clip.joints[:, 0], joints)


def test_a_folder_with_a_dataset_yaml_is_read_file_by_file(tmp_path: Path) -> None:
    folder = described(tmp_path / "set")
    for i, name in enumerate(("wave/a.npz", "wave/b.npz", "sit/a.npz")):
        rig_npz(folder / name, rig_clip(i))
    put(folder / ".cache" / "c.npz", b"hidden")
    assert [clip.clip_id for clip in read(folder)] == ["sit/a", "wave/a", "wave/b"]
    put(folder / "sit" / "b.csv", b"frame,x\n")
    with pytest.raises(InputError, match=r"sit/b\.csv: it has no rows"):
        read(folder)
    with pytest.raises(InputError, match="holds no file of a clip"):
        read(described(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0}, r"dataset\.yaml: fps must be above zero"),
        ({"fps": 1e6}, r"dataset\.yaml: fps must be above zero and at most 1000"),
        ({"layout": "octopus8"}, r"dataset\.yaml: unknown layout 'octopus8'"),
        ({"layout": "gone.json"}, "gone.json"),
        ({"speed": 3}, "speed"),
        ({"layout": "coco17"}, "new.npz"),
    ],
)
def test_a_faulty_dataset_yaml_is_said(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = rig_npz(described(tmp_path / "set", **changes) / "new.npz", rig_clip())
    for source in (path, path.parent):
        with pytest.raises(InputError, match=message):
            read(source)
