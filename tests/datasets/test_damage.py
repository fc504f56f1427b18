"""Every format of `sugar data import` against the same damage, from end to end.

Whatever stands in a source, an import ends in clips whose values are those of the undamaged source, in rejected rows,
or in an `InputError` of one line that names the source; it leaves nothing else behind and does not take long.
"""

import io
import json
import os
import random
import shutil
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_sources import MAKERS, OPTIONS, as_json, pixels, put

from sugar.cli.data import FORMATS
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.inference.sources import read_clips
from sugar.skeleton.layouts import KINECT20

SECONDS = 30.0
"""Longer is a hang; long enough for a machine that does other things too."""


def test_the_table_has_every_format() -> None:
    assert {name for name, _ in MAKERS.values()} == set(FORMATS)


class Trial:
    """Imports sources of one format and checks what comes of it."""

    def __init__(self, case: str, folder: Path) -> None:
        self.case = case
        self.format, maker = MAKERS[case]
        self.reader = FORMATS[self.format](**OPTIONS.get(self.format, {}))
        self.source = maker()
        self.content = self.source.files[self.source.main]
        self.root = folder / "in"
        self.store = folder / "out" / "store"
        self.store.parent.mkdir()
        for name, content in self.source.files.items():
            put(self.root / name, content)
        written = self.run(self.root)
        assert isinstance(written, Store), written
        assert not written.manifest.rejected
        self.good = list(written)

    def run(self, source: Path) -> Store | str:
        """The store, or the one line that says what is wrong."""
        shutil.rmtree(self.store, ignore_errors=True)
        began = time.perf_counter()
        try:
            found: Store | str = import_data(self.reader, source, self.store, name="toy", workers=1)
        except InputError as error:
            found = str(error)
            assert "\n" not in found
            assert str(source)[:200] in found or f"{self.store}: {source.name} holds" in found, found
            assert not any(self.store.parent.iterdir())
        else:
            assert isinstance(found, Store)
            assert not any("\n" in f"{row.file}{row.reason}" for row in found.manifest.rejected)
            assert [path.name for path in self.store.parent.iterdir()] == ["store"]
        assert time.perf_counter() - began < SECONDS
        return found

    def damaged(self, content: bytes) -> Store | str:
        """Import the source with another content in its main file."""
        put(self.root / self.source.main, content)
        return self.run(self.root)


def refused(found: Store | str) -> str:
    """Nothing was taken; why."""
    assert isinstance(found, str), [clip.joints for clip in found]
    return found


@pytest.fixture(params=list(MAKERS))
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    return Trial(request.param, tmp_path)


def test_cut_anywhere(trial: Trial) -> None:
    cuts = random.Random(0).sample(range(len(trial.content)), min(40, len(trial.content)))
    for cut in {0, 1, *range(len(trial.content) - 12, len(trial.content)), *cuts}:
        found = trial.damaged(trial.content[:cut])
        for clip, good in zip(found, trial.good, strict=True) if isinstance(found, Store) else ():
            same = clip.joints == good.joints[: clip.num_frames]
            if trial.case in ("files csv", "msr-action3d"):  # rows that are not there cannot be missed
                same |= clip.joints == 0
            else:
                assert clip.num_frames == good.num_frames
            assert same.all(), (cut, trial.content[:cut][-40:])


def test_noise(trial: Trial) -> None:
    noise = random.Random(0).randbytes(2000)
    for damage in (b"", b" \n" * 100, b"\0" * 5000, noise, b"\xff\xfe" + noise, trial.content[:100] + noise):
        refused(trial.damaged(damage))
    for seed in range(20):
        rng = random.Random(seed)
        at = rng.randrange(len(trial.content))
        trial.damaged(trial.content[:at] + rng.randbytes(3) + trial.content[at + 3 :])


WORDS = ("left", "nan", "-inf", "Infinity", "1e999", "1_0", "0x10", "'1'", '"1"', "\u0663", "[1]", "{}", "true", "1 2")


def test_words_for_numbers(trial: Trial) -> None:
    if not trial.source.number:
        pytest.skip("binary")
    for word in (
        "left",
        "nan",
        "-inf",
        "Infinity",
        "1e999",
        "1_0",
        "0x10",
        "'1'",
        "\u0663",
        "[1]",
        "{}",
        "true",
        "1 2",
    ):
        if trial.case == "files csv" and word == "nan":
            continue  # not measured
        refused(trial.damaged(trial.content.replace(trial.source.number, word.encode(), 1)))


COUNTS = {
    "ntu60": (b"3\r\n", b"%d\r\n"),
    "ntu120": (b"3\r\n", b"%d\r\n"),
    "uav-human": (b"3\n", b"%d\n"),
    "bvh": (b"Frames: 3", b"Frames: %d"),
    "coco": (b'"image_id": 2', b'"image_id": %d'),
    "kinetics-skeleton": (b'"frame_index": 2', b'"frame_index": %d'),
    "files csv": (b"wave,2,", b"wave,%d,"),
    "files npy": (b"(3, 1, 20, 3)", b"(3, 1, 20, %d)"),
}


def test_counts_that_are_wrong_or_ask_for_gigabytes(trial: Trial) -> None:
    old, new = COUNTS.get(trial.case, (b"", b""))
    for count in (0, 2, 4, 10**6, 10**9, 10**12, 10**30, -1):
        tracemalloc.start()
        found = trial.damaged(trial.content.replace(old, new % count, 1) if old else trial.content)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * 1024**2
        if trial.format in ("ntu60", "ntu120", "uav-human", "bvh") or trial.case == "files npy":
            refused(found)


def test_nesting_without_end(trial: Trial) -> None:
    for opening in (b"[", b'{"a":', b'{"data":[', b"("):
        refused(trial.damaged(opening * 100_000))
    if trial.source.number:
        refused(trial.damaged(trial.content.replace(trial.source.number, b"[" * 100_000, 1)))


# Half a surrogate pair, an escape, a line end, a NUL, and one too long.
TEXTS = ("\ud800", "a\x1b[31m", "a\nb", "a\0b", "a" * 10**6)


def test_names_and_labels_that_cannot_be_stored(trial: Trial) -> None:
    for text in TEXTS:
        if trial.source.labeled is not None:
            message = refused(trial.damaged(trial.source.labeled(text)))
            assert len(message) < 3000
            message.encode()
    trial.damaged(trial.content)
    if trial.source.named is None:
        return
    for name in (b"a\xffb", b"a\nb", b"a\x1b[31m"):
        path = trial.root / trial.source.named(os.fsdecode(name))
        put(path, trial.content)
        found = trial.run(trial.root)
        assert isinstance(found, Store)
        assert len(found.manifest.rejected) == 1
        assert all(clip.clip_id.isprintable() for clip in found)
        path.unlink()


def test_folders(trial: Trial, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    (empty / trial.source.main).mkdir(parents=True)
    refused(trial.run(empty))
    for name in ("absent", "x" * 300, "a\udcffb"):
        refused(trial.run(tmp_path / name))
    (trial.root / "loop").symlink_to(trial.root)
    (trial.root / f"loop{Path(trial.source.main).suffix}").symlink_to(f"loop{Path(trial.source.main).suffix}")
    found = trial.run(trial.root)
    assert isinstance(found, Store)
    assert [clip.clip_id for clip in found] == [clip.clip_id for clip in trial.good]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(trial: Trial) -> None:
    (trial.root / trial.source.main).chmod(0)
    refused(trial.run(trial.root))


def test_a_source_of_a_name_that_is_not_text(trial: Trial, tmp_path: Path) -> None:
    found = trial.run(trial.root.rename(tmp_path / "a\udcffb"))
    assert isinstance(found, Store)
    assert len(found) == 1


def test_archives(trial: Trial, tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in trial.source.files.items():
            packed.writestr(name, content)
    found = trial.run(archive)
    assert isinstance(found, Store)
    np.testing.assert_array_equal(found[0].joints, trial.good[0].joints)
    whole = archive.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 15)):
        archive.write_bytes(whole[:cut])
        refused(trial.run(archive))
    for seed in range(15):
        rng = random.Random(seed)
        at = rng.randrange(len(whole))
        archive.write_bytes(whole[:at] + rng.randbytes(2) + whole[at + 2 :])
        found = trial.run(archive)
        # A frame of OpenPose whose name is damaged is not missed.
        if isinstance(found, Store) and found[0].num_frames == trial.good[0].num_frames:
            np.testing.assert_array_equal(found[0].joints, trial.good[0].joints)
        assert isinstance(found, str) or trial.format == "openpose" or len(found) == 1
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(f"../{trial.source.main}", trial.content)
    assert "outside its folder" in refused(trial.run(archive))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(trial.source.main, b"0" * 20_000_000)
    assert "not read" in refused(trial.run(archive))
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("inner.zip", whole)
    refused(trial.run(archive))


def test_prediction_reads_the_same_file(trial: Trial, tmp_path: Path) -> None:
    """Recognized by its ending and content, whatever its name."""
    path = trial.root / trial.source.main
    if trial.format == "openpose":
        with pytest.raises(InputError, match="give the folder"):
            list(read_clips(str(path), io.StringIO()))
        path = path.parent
    if trial.case in ("files csv", "files parquet"):  # their layout stands in dataset.yaml
        (clip,) = read_clips(str(path), io.StringIO())
        np.testing.assert_array_equal(clip.joints, trial.good[0].joints)
        return
    renamed = path.rename(tmp_path / f"mine{path.suffix}")
    (clip,) = read_clips(str(renamed), io.StringIO())
    np.testing.assert_array_equal(clip.joints, trial.good[0].joints)
    assert clip.layout == trial.good[0].layout
    if path.suffix:
        for damage in (
            b"",
            b"words in a text\n",
            b"\xff" * 100,
            b"[" * 100_000,
            trial.content[: len(trial.content) // 3 + 4],
        ):
            renamed.write_bytes(damage)
            with pytest.raises(InputError, match="mine") as error:
                list(read_clips(str(renamed), io.StringIO()))
            assert "\n" not in str(error.value)


def test_a_folder_that_is_no_store_says_what_to_import(trial: Trial) -> None:
    if trial.format == "openpose":
        return
    if (trial.root / "dataset.yaml").is_file():  # it says all that the clips do not
        (clip,) = read_clips(str(trial.root), io.StringIO())
        np.testing.assert_array_equal(clip.joints, trial.good[0].joints)
        return
    with pytest.raises(InputError) as error:
        list(read_clips(str(trial.root), io.StringIO()))
    name = "ntu120" if trial.format == "ntu60" else trial.format
    assert f"sugar data import {name} {trial.root} NEW_STORE" in str(error.value)


def test_the_same_clip_twice(trial: Trial) -> None:
    put(trial.root / "again" / trial.source.main, trial.content)
    found = trial.run(trial.root)
    assert isinstance(found, Store)
    assert len(set(found.clip_ids)) == len(found)
    for clip in found if trial.format != "openpose" else ():  # where a single frame is another clip
        np.testing.assert_array_equal(clip.joints, trial.good[0].joints)


def test_files_of_other_formats(trial: Trial, tmp_path: Path) -> None:
    """What another format calls a clip is never one of this, unless it is the same file."""
    for number, (_, maker) in enumerate(MAKERS.values()):
        other = maker()
        if Path(other.main).suffix == Path(trial.source.main).suffix and other.main != trial.source.main:
            found = trial.damaged(other.files[other.main])
            if isinstance(found, Store):
                assert found.layout == trial.good[0].layout, number


def test_labels_outside_the_list(tmp_path: Path) -> None:
    names = {
        "ntu60": "S001C001P001R001A061.skeleton",
        "ntu120": "S001C001P001R001A121.skeleton",
        "msr-action3d": "a21_s01_e01_skeleton3D.txt",
        "nw-ucla": "a07_s01_e01_v01.json",
        "smarthome": "Dance_p02_r00_v05_c03.json",
        "uav-human": "P002S01G10B50H30UC062000LC092000A155R1_08250945.txt",
        "utd-mhad": "a28_s1_t1_skeleton.mat",
    }
    for case, name in names.items():
        trial = Trial(case, tmp_path / case) if (tmp_path / case).mkdir() is None else None
        assert trial is not None
        put(trial.root / name, trial.content)
        found = trial.run(trial.root)
        assert isinstance(found, Store)
        assert [row.file for row in found.manifest.rejected] == [name]


def test_mixed_layouts(tmp_path: Path) -> None:
    for case, joints in {"coco": 26, "openpose": 18}.items():
        (tmp_path / case).mkdir()
        trial = Trial(case, tmp_path / case)
        flat = pixels(joints)
        other = as_json([{"image_id": 0, "keypoints": flat}])
        if case == "openpose":
            other = as_json({"people": [{"pose_keypoints_2d": flat}]})
        assert trial.source.named is not None
        put(trial.root / trial.source.named("b"), other)
        found = trial.run(trial.root)
        assert isinstance(found, Store)
        assert len(found) == len(found.manifest.rejected) == 1
        assert str(3 * joints) in found.manifest.rejected[0].reason


@pytest.mark.parametrize("name", [r'"\ud800"', r'"a\e[31m"', r'"a\nb"'])
def test_class_and_joint_names_that_cannot_be_stored(tmp_path: Path, name: str) -> None:
    (tmp_path / "it").mkdir()
    trial = Trial("files json", tmp_path / "it")
    put(trial.root / "dataset.yaml", f"classes: [wave, {name}]\n".encode())
    assert "a class name" in refused(trial.run(trial.root))
    layout = json.dumps(KINECT20.to_dict()).replace('"spine"', name.replace(r"\e", r"\u001b"))
    put(trial.root / "dataset.yaml", b"layout: rig.json\n")
    put(trial.root / "rig.json", layout.encode())
    assert "a name in the joint layout" in refused(trial.run(trial.root))
