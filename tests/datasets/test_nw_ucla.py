import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.formats.benchmarks.nw_ucla import NwUclaReader, read_clip_file
from sugar.datasets.formats.source import read_source
from sugar.datasets.store.store import Rejected, Store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20


def content(frames: int = 3, **changes) -> dict:
    joints = np.random.default_rng(0).normal(size=(frames, 20, 3)).round(4).tolist()
    return {"file_name": "a", "skeletons": joints} | changes


def put(path: Path, data: dict | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def with_joint(value: object) -> dict:
    data = content()
    data["skeletons"][1][6] = value
    return data


BAD: dict[str, tuple[dict | str, str]] = {
    "truncated": (json.dumps(content())[:200], "truncated or not JSON"),
    "empty": ("", "truncated or not JSON"),
    "nan": (with_joint([0, float("nan"), 0]), r"left_wrist .* frame 1 .*nan"),
    "infinite": (with_joint([0, 0, float("inf")]), r"left_wrist .* frame 1 .*inf"),
    "short joint": (with_joint([0, 0]), "left_wrist in frame 1 is not three"),
    "words": (with_joint([0, "x", 0]), "left_wrist in frame 1 has a coordinate that is not a number"),
    "nineteen": (content(skeletons=[[[0, 0, 1]] * 19] * 2), "19 joints a person, but layout kinect20 has 20"),
    "ragged": (content(skeletons=[[[0, 0, 1]] * 20, [[0, 0, 1]] * 18]), "frame 1 has 18 joints"),
    "flat": (content(skeletons=[1, 2]), r"not of shape \(2,\)"),
    "two-dimensional": (content(skeletons=[[[0, 1]] * 20]), "2 coordinates a joint"),
    "no frames": (content(skeletons=[]), "no frames"),
    "all zero": (content(skeletons=[[[0, 0, 0]] * 20]), "nobody is there"),
    "no skeletons": ({"file_name": "a"}, "'skeletons'"),
    "list": ("[1]", "'skeletons'"),
    "other label": (content(label=5), "label 5 contradicts"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_rejected_on_import_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    data, message = BAD[case]
    path = put(tmp_path / "a01_s02_e03_v01.json", data)
    with pytest.raises(InputError, match=message) as error:
        read_clip_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    put(tmp_path / "more" / "a12_s02_e03_v01.json", content())
    bad, good = read_source(NwUclaReader(), tmp_path)
    assert isinstance(bad, Rejected)
    assert bad.file == "a01_s02_e03_v01.json"
    assert str(error.value) == f"{path}: {bad.reason}"
    assert isinstance(good, SkeletonClip)


def test_names_carry_label_and_protocol(tmp_path: Path) -> None:
    clip = read_clip_file(put(tmp_path / "a12_s10_e04_v03.json", content(label=10)))
    assert (clip.clip_id, clip.label) == ("a12_s10_e04_v03", "carry")
    assert (clip.subject, clip.trial, clip.camera, clip.setup) == (10, 4, 3, None)
    mine = read_clip_file(put(tmp_path / "mine.json", content()))
    assert (mine.clip_id, mine.label, mine.subject) == ("mine", None, None)
    for name in ("mine.json", "a07_s01_e00_v01.json"):
        put(tmp_path / "d" / name, content())
    first, second = read_source(NwUclaReader(), tmp_path / "d")
    assert isinstance(first, Rejected)
    assert "action 7" in first.reason
    assert isinstance(second, Rejected)
    assert "aAA_sSS" in second.reason


def test_sources_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        list(read_source(NwUclaReader(), tmp_path / "absent"))
    with pytest.raises(InputError, match=r"no \.json"):
        list(read_source(NwUclaReader(), tmp_path))
    with pytest.raises(InputError, match="not a readable tar"):
        list(read_source(NwUclaReader(), put(tmp_path / "x.tar", "text" * 500)))
    with pytest.raises(InputError, match="no such file"):
        read_clip_file(tmp_path / "absent.json")
    archive = tmp_path / "x.tar.xz"
    with tarfile.open(archive, "w:xz") as packed:
        packed.add(put(tmp_path / "in" / "a01_s01_e00_v01.json", content(200)), "a01_s01_e00_v01.json")
    assert [clip.clip_id for clip in read_source(NwUclaReader(), archive) if isinstance(clip, SkeletonClip)] == [
        "a01_s01_e00_v01"
    ]
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(InputError, match="not a readable tar"):
        list(read_source(NwUclaReader(), archive))


def test_the_real_data_set(nw_ucla_store: Store, nw_ucla_folder: Path) -> None:
    assert len(nw_ucla_store) == 1484
    assert not nw_ucla_store.manifest.rejected
    assert Counter(nw_ucla_store.column("camera").tolist()) == {1: 516, 2: 504, 3: 464}
    assert (nw_ucla_store.lengths.min(), nw_ucla_store.lengths.max()) == (1, 201)
    assert np.bincount(nw_ucla_store.labels).tolist() == [150, 152, 141, 173, 148, 149, 142, 142, 145, 142]
    i = nw_ucla_store.index("a06_s03_e01_v02")
    raw = json.loads((nw_ucla_folder / "a06_s03_e01_v02.json").read_text())
    np.testing.assert_array_equal(nw_ucla_store[i].joints[:, 0], np.float32(raw["skeletons"]))
    assert nw_ucla_store[i].label == "stand up"
    # Left is left: where the body faces, by "up" and "left to right", there the toes point.
    joints = np.concatenate([clip.joints[:, 0] for clip in nw_ucla_store])
    index = KINECT20.index
    front = np.cross([0, 1, 0], joints[:, index("right_shoulder")] - joints[:, index("left_shoulder")])
    toes = sum(joints[:, index(f"{s}_foot")] - joints[:, index(f"{s}_ankle")] for s in ("left", "right"))
    assert ((toes * front).sum(axis=1) > 0).mean() > 0.9
    assert (joints[:, index("head"), 1] > joints[:, index("hip_center"), 1]).mean() > 0.95
