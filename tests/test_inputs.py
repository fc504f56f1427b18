"""Which format a file or folder is taken for; `test_damage` reads one of each."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import MAKERS, put

from sugar.datasets.pyskl import write_pyskl
from sugar.datasets.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.inference.inputs import read_clips
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25


def read(path: Path) -> list[SkeletonClip]:
    return list(read_clips(str(path), io.StringIO()))


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
