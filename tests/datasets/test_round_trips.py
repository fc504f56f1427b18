"""What a store holds comes back from every form that can be written, equal to the last bit of float32.

What a form cannot hold is said in `LOST`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sources import bvh

from sugar.datasets.class_names import class_names
from sugar.datasets.formats.benchmarks.ntu import Ntu120Reader, to_skeleton_text
from sugar.datasets.formats.bvh import BvhReader
from sugar.datasets.formats.custom import CustomReader
from sugar.datasets.formats.pyskl import PysklReader, write_pyskl
from sugar.datasets.store.export import write_files
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.store import COLUMNS, Store, write_store
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25, OPENPOSE18, SMPL24

FIELDS = ("clip_id", "label", "fps", *COLUMNS)
LOST = {
    # Numbers are in the names of clips, which must be the data set's; every clip has 30 frames a second.
    "pyskl": {"fps", *COLUMNS},
    # Also names and labels are the data set's; of confidence 1, 0.5 and 0 are told apart.
    "ntu": {"fps"},
    **{form: set() for form in ("npz", "json", "csv", "parquet")},
}
FORMS = ("npz", "json", "csv", "parquet")
CLASSES = ("wave", "sit, down", 'say "hé"')


def clips_of(layout: JointLayout, confidence: bool) -> list[SkeletonClip]:
    """One and two people; somebody absent at first, in between and at last; nobody in a frame; numbers of all sizes."""
    rng = np.random.default_rng(0)
    clips = []
    for number, persons in enumerate((1, 2, 2, 1)):
        frames = 1 if number == 3 else 6
        shape = (frames, persons, layout.num_joints, layout.dimension)
        joints = rng.normal(size=shape).astype(np.float32) * np.float32(10.0 ** rng.integers(-6, 4))
        # The first person moves most, which is the order of persons in NTU's files.
        joints[:, 1:] *= np.float32(0.25)
        if frames > 1:
            joints[:2, -1], joints[4, 0], joints[3] = 0, 0, 0
        joints[0, 0, 0] = np.float32(1 / 3)
        sure = rng.choice(np.float32([0, 0.5, 1]), shape[:3]) if confidence else None
        if sure is not None:
            sure[~joints.any(axis=-1)] = 0
            sure[0, 0, 0] = 1
            joints[sure == 0] = 0
        said = {name: int(n) for name, n in zip(COLUMNS, rng.integers(1, 9, 4), strict=True)} if number else {}
        clips.append(
            SkeletonClip(
                joints=joints,
                layout=layout,
                fps=(30.0, 29.97, 120.0, 12.5)[number],
                confidence=sure,
                clip_id=f"{number:03d}, é",
                label=None if number == 1 else CLASSES[number % 3],
                **said,
            )
        )
    return clips


def stored(clips: list[SkeletonClip], path: Path, classes: tuple[str, ...] = CLASSES) -> Store:
    return write_store(path, clips, name="toy", classes=classes, layout=clips[0].layout, source="test")


def check(found: Store, wanted: Store, lost: set[str]) -> None:
    assert not found.manifest.rejected
    assert found.layout == wanted.layout
    assert found.clip_ids == wanted.clip_ids
    for a, b in zip(found, wanted, strict=True):
        assert a.joints.shape == b.joints.shape
        assert a.joints.tobytes() == b.joints.tobytes()
        assert (a.confidence is None) == (b.confidence is None)
        if a.confidence is not None and b.confidence is not None:
            assert a.confidence.tobytes() == b.confidence.tobytes()
        for name in set(FIELDS) - lost:
            assert getattr(a, name) == getattr(b, name), name


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("layout", [KINECT20, NTU25, COCO17, OPENPOSE18, SMPL24], ids=lambda layout: layout.name)
@pytest.mark.parametrize("form", FORMS)
def test_files(tmp_path: Path, form: Any, layout: JointLayout, confidence: bool) -> None:
    store = stored(clips_of(layout, confidence), tmp_path / "store")
    write_files(store, tmp_path / "files", form)
    back = import_data(CustomReader(), tmp_path / "files", tmp_path / "back", name="toy", workers=1)
    check(back, store, LOST[form])
    assert back.classes == store.classes
    assert back.hash == store.hash


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("layout", [KINECT20, NTU25, COCO17], ids=lambda layout: layout.name)
def test_pyskl(tmp_path: Path, layout: JointLayout, confidence: bool) -> None:
    store = stored(clips_of(layout, confidence), tmp_path / "store")
    write_pyskl(store, tmp_path / "a.pkl", {"all": store.clip_ids})
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    reader = PysklReader(classes=str(tmp_path / "classes.txt"), layout=layout.name)
    back = import_data(reader, tmp_path / "a.pkl", tmp_path / "back", name="toy", workers=1)
    check(back, store, LOST["pyskl"])


def test_ntu_and_pyskl_of_ntu(tmp_path: Path) -> None:
    classes = class_names("ntu120")
    clips = []
    for number, clip in enumerate(clips_of(NTU25, True)):
        setup, camera, subject, trial, action = number + 1, 2, 3, 1, 10 * number + 1
        clips.append(
            replace(
                clip,
                clip_id=f"S{setup:03d}C{camera:03d}P{subject:03d}R{trial:03d}A{action:03d}",
                label=classes[action - 1],
                **{"setup": setup, "camera": camera, "subject": subject, "trial": trial},
            )
        )
    store = stored(clips, tmp_path / "store", classes)
    (tmp_path / "files").mkdir()
    for clip in store:
        (tmp_path / "files" / f"{clip.clip_id}.skeleton").write_bytes(to_skeleton_text(clip))
    back = import_data(Ntu120Reader(raw=True), tmp_path / "files", tmp_path / "back", name="toy", workers=1)
    check(back, store, LOST["ntu"])
    write_pyskl(store, tmp_path / "a.pkl")
    reader = PysklReader(classes="ntu120")
    check(import_data(reader, tmp_path / "a.pkl", tmp_path / "again", name="toy", workers=1), store, {"fps"})


@pytest.mark.parametrize("form", [*FORMS, "pyskl"])
def test_motion_capture(tmp_path: Path, form: Any) -> None:
    source = bvh()
    for name in ("wave/a.bvh", "sit/b.bvh"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes(source.files[source.main])
    store = import_data(BvhReader(), tmp_path / "in", tmp_path / "store", name="toy", workers=1)
    assert store.clip_ids == ("sit/b", "wave/a")
    if form == "pyskl":
        write_pyskl(store, tmp_path / "a.pkl")
        (tmp_path / "classes.txt").write_text("\n".join(store.classes), encoding="utf-8")
        reader: Any = PysklReader(classes=str(tmp_path / "classes.txt"), layout=store.layout.name)
        files = tmp_path / "a.pkl"
    else:
        files, reader = tmp_path / "files", CustomReader()
        write_files(store, files, form)
    check(import_data(reader, files, tmp_path / "back", name="toy", workers=1), store, LOST[form])
