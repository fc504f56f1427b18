"""One's own files: every form, what dataset.yaml can say, damage of all kinds, and back out again."""

import csv
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.datasets.formats.clip_files import clips_of, read_clips
from sugar.datasets.formats.custom import CustomReader
from sugar.datasets.formats.parsing.clip_tables import column_names
from sugar.datasets.formats.source import opened
from sugar.datasets.store.export import write_files
from sugar.datasets.store.importing import import_data
from sugar.datasets.store.manifest import Rejected
from sugar.datasets.store.store import Store, write_store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25


def joints(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def read(source: Path, reader: CustomReader | None = None) -> tuple[list[SkeletonClip], list[Rejected]]:
    """All of a source, the way an import reads it."""
    clips, rejected = [], []
    with opened(source, source.parent / "scratch") as files:
        plan = (reader or CustomReader()).plan(files)
        for item in plan.items:
            try:
                for one in plan.read(item):
                    (rejected if isinstance(one, Rejected) else clips).append(one)
            except InputError as error:
                rejected.append(Rejected(item.name, str(error)))
    assert all("\n" not in row.reason for row in rejected)
    return clips, rejected


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npz":
        np.savez(path, **content)  # type: ignore[arg-type]
    elif path.suffix == ".npy":
        np.save(path, content)  # type: ignore[arg-type]
    elif path.suffix == ".parquet":
        pa_parquet.write_table(pa.table(content), path)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(yaml.safe_dump(content) if path.suffix == ".yaml" else json.dumps(content))
    return path


def table(rows: Sequence[Sequence[object]], titles: str, delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([titles.split(), *rows])
    return text.getvalue()


def wide(points: np.ndarray, layout: JointLayout, **columns: object) -> dict[str, list]:
    """Columns of the wide form of ``[T, V, C]``."""
    flat = points.reshape(len(points), -1).tolist()
    values = {title: [row[i] for row in flat] for i, title in enumerate(column_names(layout, False))}
    return {"frame": list(range(len(points))), **{k: [v] * len(points) for k, v in columns.items()}, **values}


def as_csv(columns: dict[str, list]) -> str:
    return table(list(zip(*columns.values(), strict=True)), " ".join(columns))


POINTS = joints(5, 20, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("wave/a.npz", {"joints": POINTS, "layout": "kinect20"}),
        ("wave/a.npz", {"arr_0": POINTS}),
        ("wave/a.npy", POINTS[:, None]),
        ("wave/a.npy", np.asfortranarray(POINTS.astype(">f4"))),
        ("wave/a.json", {"joints": POINTS.tolist(), "fps": 30}),
        ("a.jsonl", json.dumps({"joints": POINTS.tolist(), "clip_id": "wave/a", "label": "wave"})),
        ("wave/a.csv", as_csv(wide(POINTS, KINECT20))),
        ("wave/a.CSV", as_csv(wide(POINTS, KINECT20)).replace("left_wrist_x", "Left Wrist.X").replace(",", ";")),
        ("wave/a.parquet", wide(POINTS, KINECT20)),
        (
            "all.csv",
            table(
                [
                    ["wave/a", "wave", 7 + 3 * t, KINECT20.joint_names[j], *POINTS[t, j].astype(float)]
                    for j in range(20)
                    for t in (4, 2, 0, 1, 3)
                ],
                "clip label frame_id joint x y z",
            ),
        ),
        (
            "all.csv",
            "\ufeff"
            + table(
                [["wave/a", "wave", t, j, *POINTS[t, j].astype(float)] for t in range(5) for j in range(20)],
                "clip label frame joint x y z layout",
            )
            .replace("layout", "layout", 1)
            .replace("\r\n", ",kinect20\r\n")
            .replace("layout,kinect20", "layout"),
        ),
    ],
)
def test_every_form_gives_the_same_clip_without_a_description(tmp_path: Path, name: str, content: object) -> None:
    put(tmp_path / "data" / name, content)
    put(tmp_path / "data" / "readme.txt", "passed over")
    (clip,), rejected = read(tmp_path / "data")
    assert not rejected
    np.testing.assert_array_equal(clip.joints, POINTS[:, None])
    assert (clip.clip_id, clip.label, clip.fps, clip.layout) == ("wave/a", "wave", 30.0, KINECT20)
    (again,) = read_clips(tmp_path / "data" / name)  # and for prediction
    np.testing.assert_array_equal(again.joints, clip.joints)


def test_a_table_with_clips_persons_gaps_and_confidence(tmp_path: Path) -> None:
    points, sure = joints(3, 2, 17, 2), np.abs(joints(3, 2, 17, seed=1)) + 0.1
    rows = [
        [
            clip,
            label,
            ("7", "10")[m],
            100 + t,
            COCO17.joint_names[j],
            *points[t, m, j].astype(float),
            float(sure[t, m, j]),
        ]
        for clip, label in (("b", "hug"), ("007", "wave"))
        for t in (0, 2)
        for m in range(2)
        for j in range(17)
        if not (clip == "007" and j == 4) and not (clip == "b" and t == 2 and m == 1)
    ]
    rows[0][-3] = ""  # an empty cell
    put(tmp_path / "data" / "all.csv", table([*rows, ["b", "hug", 7, 101, "nose", 1, 2, 0]],
                                             "clip_id label person frame joint x y score"))  # fmt: skip
    (b, seven), rejected = read(tmp_path / "data")
    assert not rejected
    assert (seven.clip_id, seven.label, b.clip_id, b.label) == ("007", "wave", "b", "hug")
    assert seven.num_frames == 2  # every second frame: no gap
    expected, sure_expected = points[[0, 2]].copy(), sure[[0, 2]].copy()
    expected[:, :, 4], sure_expected[:, :, 4] = 0, 0
    np.testing.assert_array_equal(seven.joints, expected)
    np.testing.assert_array_equal(seven.confidence, sure_expected)
    assert b.num_frames == 3
    assert not b.joints[1].any()  # confidence 0: not measured
    assert not b.joints[2, 1].any()
    assert not b.joints[0, 0, 0].any()
    np.testing.assert_array_equal(b.joints[0, 0, 1:], points[0, 0, 1:])
    assert b.confidence is not None
    assert b.confidence[0, 0, 0] == 0


DESCRIPTIONS: list[tuple[dict, str, dict, dict]] = [
    (
        {"label": "filename", "pattern": r"(?P<label>[a-z]+)_P(?P<subject>\d+)_c(?P<camera>\d)_(?P<id>\w+)$"},
        "x/wave_P07_c2_r1.npz",
        {},
        {"label": "wave", "subject": 7, "camera": 2},
    ),
    ({"label": "column", "fps": 15}, "x/a.npz", {"label": "jump"}, {"label": "jump", "fps": 15.0}),
    ({"label": "folder"}, "x/jump/a.npz", {"label": "no"}, {"label": "jump"}),
    ({"classes": ["sit", "stand"]}, "a.npz", {"label": 1, "trial": 3}, {"label": "stand", "trial": 3}),
    ({"classes": "ntu120"}, "x/a.npz", {"label": 0, "fps": 25.0}, {"label": "drink water", "fps": 25.0}),
    ({"labels": "meta/l.csv"}, "x/a.npz", {"subject": 9}, {"label": "run", "subject": 4, "setup": 2}),
]


@pytest.mark.parametrize(("about", "name", "extra", "expected"), DESCRIPTIONS)
def test_dataset_yaml_says_where_labels_and_numbers_are(
    tmp_path: Path, about: dict, name: str, extra: dict, expected: dict
) -> None:
    folder = tmp_path / "data"
    put(
        folder / "meta" / "l.csv",
        table([["a.npz", "run", "S04", 2], ["b", "sit", "S05", 1]], "file class subject setup"),
    )
    if "labels" not in about:
        (folder / "meta" / "l.csv").unlink()
    put(folder / "dataset.yaml", about)
    put(folder / name, {"joints": POINTS} | extra)
    absent = ["l.csv: b"] if "labels" in about else []
    (clip,), rejected = read(folder)
    assert [Path(row.file).name for row in rejected] == absent
    assert {key: getattr(clip, key) for key in expected} == expected
    store = import_data(CustomReader(), folder, tmp_path / "store", name="mine", workers=1)
    assert store[0].label == expected["label"]
    # The same from a zip with everything in a folder of its own, and from a tar.
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, Path("mine") / path.relative_to(folder))
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as packed:
        packed.add(folder, "mine")
    for packed_name in ("data.zip", "data.tar.gz"):
        (other,), rejected = read(tmp_path / packed_name)
        assert [Path(row.file).name for row in rejected] == absent
        assert {key: getattr(other, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("units", "up", "turn"),
    [
        ("m", "y", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("cm", "z", [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        ("mm", "x", [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        ("mm", "-y", None),
        ("cm", "-z", None),
        ("m", "-x", None),
    ],
)
def test_units_and_the_vertical_axis(tmp_path: Path, units: str, up: str, turn: list | None) -> None:
    scale = {"m": 1, "cm": 0.01, "mm": 0.001}[units]
    put(tmp_path / "data" / "dataset.yaml", {"units": units, "up": up, "layout": "kinect20"})
    basis = np.concatenate([np.eye(3), POINTS[0, 3:]])
    put(tmp_path / "data" / "a.npy", basis[None] / scale)
    (clip,), _ = read(tmp_path / "data")
    turned = clip.joints[0, 0].astype(np.float64)
    matrix = turned[:3].T
    assert np.linalg.det(matrix) == pytest.approx(1)  # a turn, no mirror
    up_axis = np.zeros(3)
    up_axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    np.testing.assert_allclose(matrix @ up_axis, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(turned, basis @ matrix.T, atol=1e-5)
    if turn is not None:
        np.testing.assert_allclose(matrix, turn, atol=1e-6)


def test_pixels_with_scores_a_layout_of_its_own_and_nan(tmp_path: Path) -> None:
    layout = JointLayout.from_dict(KINECT20.to_dict() | {"name": "rig", "dimension": 2})
    points = np.abs(joints(4, 2, 20, 3)) + 1
    points[1, 0, 3, 0] = np.nan
    points[2, 1, 5, 2] = 0
    put(tmp_path / "data" / "walk" / "a.npy", points)
    layout.to_json(tmp_path / "data" / "rig.json")
    about = {"layout": "rig.json", "units": "pixels", "last_is_confidence": True, "nan_is_missing": True, "up": "y"}
    put(tmp_path / "data" / "dataset.yaml", about)
    (clip,), rejected = read(tmp_path / "data")
    assert not rejected
    assert clip.layout == layout
    expected, sure = points[..., :2] * [1, -1], points[..., 2].copy()
    expected[1, 0, 3], expected[2, 1, 5], sure[1, 0, 3] = 0, 0, 0
    np.testing.assert_array_equal(clip.joints, expected.astype(np.float32))
    np.testing.assert_array_equal(clip.confidence, sure)
    put(tmp_path / "data" / "dataset.yaml", about | {"nan_is_missing": False})
    _, (row,) = read(tmp_path / "data")
    assert "head of person 0 in frame 1 is not a finite" in row.reason
    # The description may lie elsewhere, with what it names beside it.
    for name in ("dataset.yaml", "rig.json"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    put(tmp_path / "dataset.yaml", about)
    (clip,), _ = read(tmp_path / "data", CustomReader(description=str(tmp_path / "dataset.yaml")))
    np.testing.assert_array_equal(clip.confidence, sure)


def test_names_match_in_any_case_and_without_spaces_around_them(tmp_path: Path) -> None:
    text = json.dumps(KINECT20.to_dict() | {"name": "rig"}).replace('"hip_center"', '"Pelvis"')
    put(tmp_path / "data" / "rig.json", text.replace('"left_wrist"', '"Left Wrist"'))
    put(tmp_path / "data" / "dataset.yaml", {"layout": "rig.json", "labels": "labels.csv"})
    put(tmp_path / "data" / "labels.csv", "File,Label\n wide.csv , wave\nlong.csv,wave \na.npz,wave\n gone.csv,wave\n")
    as_wide = wide(POINTS, KINECT20)
    titles = {"hip_center": "PELVIS", "left_wrist": "Left wrist"}
    for joint, title in titles.items():
        as_wide = {key.replace(joint, title): value for key, value in as_wide.items()}
    stream = io.StringIO()
    csv.writer(stream).writerows([as_wide, *zip(*as_wide.values(), strict=True)])
    put(tmp_path / "data" / "wide.csv", stream.getvalue())
    rows = [
        [t, titles.get(joint, joint), *POINTS[t, j].astype(float)]
        for t in range(5)
        for j, joint in enumerate(KINECT20.joint_names)
    ]
    put(tmp_path / "data" / "long.csv", table(rows, "frame joint x y z"))
    put(tmp_path / "data" / "a.npz", {"joints": POINTS, "clip_id": " npz ", "label": "x "})
    clips, (absent,) = read(tmp_path / "data")
    assert [(clip.clip_id, clip.label) for clip in clips] == [("npz", "wave"), ("long", "wave"), ("wide", "wave")]
    for clip in clips:
        np.testing.assert_array_equal(clip.joints, POINTS[:, None])
        assert clip.layout.joint_names[KINECT20.index("left_wrist")] == "left_wrist"
        assert clip.layout.joint_names[KINECT20.index("hip_center")] == "pelvis"
    assert (absent.file, absent.reason) == ("labels.csv: gone.csv", "there is no such file among the clips")
    store = import_data(CustomReader(), tmp_path / "data", tmp_path / "store", name="mine", workers=1)
    assert (len(store), store.manifest.rejected) == (3, (absent,))


@pytest.mark.parametrize("about", [{}, {"layout": "ntu25"}])
def test_a_layout_file_is_no_clip(tmp_path: Path, about: dict) -> None:
    rig = json.loads(json.dumps(KINECT20.to_dict()).replace("head", "skull").replace('"skull": [', '"head": ['))
    put(tmp_path / "data" / "rig.json", rig | {"name": "rig"})
    text = as_csv(wide(POINTS, KINECT20)).replace("head", "skull")
    put(tmp_path / "data" / "wave" / "a.csv", text)
    put(tmp_path / "data" / "dataset.yaml", about | {"fps": 30})
    with pytest.raises(InputError, match=r"but a layout lies there: write layout: rig\.json .* \(wave/a\.csv: "):
        read(tmp_path / "data")
    put(tmp_path / "data" / "dataset.yaml", {"layout": "rig.json"})
    (clip,), rejected = read(tmp_path / "data")
    assert (clip.layout.name, rejected) == ("rig", [])
    put(tmp_path / "data" / "wave" / "a.csv", as_csv(wide(POINTS, KINECT20)))
    put(tmp_path / "data" / "dataset.yaml", {"layout": "kinect20"})  # a layout that is not needed does no harm
    (clip,), rejected = read(tmp_path / "data")
    assert (clip.layout, rejected) == (KINECT20, [])
    with pytest.raises(InputError, match="it is a joint layout, not a clip"):
        list(read_clips(tmp_path / "data" / "rig.json"))


def test_an_unknown_layout_says_what_dataset_yaml_must_hold(tmp_path: Path) -> None:
    put(tmp_path / "data" / "a.npy", joints(4, 17, 3))
    with pytest.raises(InputError, match=r"coco17_3d or coco17 would fit.*dataset.yaml such as \{layout: coco17") as e:
        read(tmp_path / "data")
    example = yaml.safe_load(str(e.value)[str(e.value).index("{layout") : str(e.value).index("}") + 1])
    put(tmp_path / "data" / "dataset.yaml", example | {"last_is_confidence": True, "label": None})
    (clip,), _ = read(tmp_path / "data")
    assert clip.layout == COCO17


BAD_YAML: dict[str, tuple[object, str]] = {
    "not yaml": ("layout: [", "not valid YAML"),
    "not utf-8": (b"layout: \xff\xfe", "YAML"),
    "a list": ("- 1", "expected settings such as"),
    "unknown key": ({"layuot": "coco17"}, "unknown key 'layuot'; did you mean layout"),
    "key of one letter less": ({"unit": "cm"}, "unknown key 'unit'; did you mean units"),
    "number for a key": ({3: "cm"}, "unknown key '3'; known are layout"),
    "other labels": ({"label": "name"}, "label must be folder, filename, column or labels, not 'name'"),
    "unknown layout": ({"layout": "octopus8"}, "octopus8"),
    "missing layout file": ({"layout": "mine.json"}, "'mine.json', but no such file"),
    "layout outside": ({"layout": "../mine.json"}, "no such file"),
    "damaged layout file": ({"layout": "bad.json"}, r"bad\.json"),
    "letters for fps": ({"fps": "fast"}, "fps"),
    "fps zero": ({"fps": 0}, "fps"),
    "unknown unit": ({"units": "inch"}, "dataset.yaml: units must be m, cm, mm or pixels, not 'inch'$"),
    "pixels in 3-D": ({"units": "pixels"}, "pixels do not suit the 3-D kinect20"),
    "unknown axis": ({"up": "w"}, "up must be x, y, z, -x, -y or -z, not 'w'"),
    "bad pattern": ({"pattern": "(?P<label>"}, "not a regular expression"),
    "unknown group": ({"pattern": "(?P<class>.)"}, "groups such as"),
    "no pattern": ({"label": "filename"}, "needs a pattern"),
    "no label group": ({"label": "filename", "pattern": "(?P<subject>.)"}, "label: filename needs a group"),
    "labels without a table": ({"label": "labels"}, "needs the table"),
    "missing table": ({"labels": "l.csv"}, "'l.csv', but no such file"),
    "table without ids": ({"labels": "noids.csv"}, "needs a column clip_id"),
    "table without labels": (
        {"labels": "exercise.csv"},
        r"exercise.csv: it has no column 'label' \(it has file, exercise\); or say where labels are",
    ),
    "labels of no table": ({"labels": "people.csv", "label": "labels"}, "no column 'label'"),
    "table twice": ({"labels": "twice.csv"}, "row 2: 'a' is there twice"),
    "table of words": ({"labels": "words.csv"}, "row 1: subject must be a whole number"),
    "table as text": ({"labels": "bad.json"}, "must be a .csv"),
    "classes twice": ({"classes": ["a", "a"]}, "differ from each other"),
    "unknown classes": ({"classes": "octopus"}, "octopus"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_a_faulty_description_is_one_clear_line(tmp_path: Path, case: str) -> None:
    content, message = BAD_YAML[case]
    put(tmp_path / "data" / "a.npz", {"joints": POINTS})
    put(tmp_path / "data" / "dataset.yaml", content)
    put(tmp_path / "data" / "bad.json", "{")
    put(tmp_path / "data" / "noids.csv", "x,label\n1,a\n")
    put(tmp_path / "data" / "exercise.csv", "file,exercise\na.npz,run\n")
    put(tmp_path / "data" / "people.csv", "file,subject\na.npz,3\n")
    put(tmp_path / "data" / "twice.csv", "clip,label\na,run\na,sit\n")
    put(tmp_path / "data" / "words.csv", "clip,label,subject\na,run,Bob\n")
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path / "data")
    assert "\n" not in str(error.value)


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def changed(**columns: object) -> dict[str, list]:
    good = wide(POINTS, KINECT20)
    for name, value in columns.items():
        good[name] = value if isinstance(value, list) else [value, *good.get(name, [value] * 5)[1:]]
    return good


DAMAGE: dict[str, tuple[str, object, str]] = {
    "empty npz": ("a.npz", b"", "empty"),
    "text as npz": ("a.npz", b"hello" * 20, "not a readable .npz"),
    "npz that pickles": ("a.npz", {"joints": np.array([{}], dtype=object)}, "type object"),
    "npz with huge shape": ("a.npz", npz(joints=npy_header("(1000000000, 20, 3)")), "claims shape"),
    "npz bomb": ("a.npz", npz(joints=npy_header("(20000000, 3)") + bytes(240_000_000)), "out of all proportion"),
    "npz with a bad header": ("a.npz", npz(joints=npy_header("(-1, 20, 3)")), "claims shape"),
    "npz of texts": ("a.npz", {"joints": np.array([[["a"] * 3] * 20])}, "array of numbers"),
    "npz without joints": ("a.npz", {"joint": POINTS}, "unknown key 'joint'"),
    "npz with text fps": ("a.npz", {"joints": POINTS, "fps": "fast"}, "fps must be a number"),
    "npz with a short confidence": ("a.npz", {"joints": POINTS, "confidence": np.ones((5, 19))}, "confidence must be"),
    "npy flat": ("a.npy", POINTS.ravel(), r"not of shape \(300,\)"),
    "npy of another rig": ("a.npy", joints(5, 19, 3), "19 joints a person"),
    "npy without frames": ("a.npy", joints(0, 20, 3), "no frames"),
    "npy of structures": ("a.npy", np.zeros(3, dtype="i4,f4"), "array of type"),
    "json truncated": ("a.json", json.dumps({"joints": POINTS.tolist()})[:300], "truncated or not JSON"),
    "json nested": ("a.json", "[" * 100_000, "nested too deeply|not JSON"),
    "json not utf-8": ("a.json", b'{"joints": "\xff"}', "cannot be read as text"),
    "json ragged": ("a.json", {"joints": [[[1, 2, 3]] * 20, [[1, 2, 3]] * 19]}, "not a regular array"),
    "json huge number": ("a.json", '{"joints": [[[1e999, 1, 2]]]}', "1 joints a person"),
    "json endless integer": ("a.json", f'{{"joints": [[[{"9" * 400}, null, 2]]]}}', "beyond all"),
    "json truth": ("a.json", {"joints": [[[True, None, 2.0]] * 20]}, "not a regular array"),
    "json infinite": ("a.json", '{"joints": [[' + ",".join(["[Infinity, 1, 2]"] * 20) + "]]}", "not a finite"),
    "json negative subject": ("a.json", {"joints": POINTS.tolist(), "subject": -1}, "subject must be"),
    "json word subject": ("a.json", {"joints": POINTS.tolist(), "subject": "Bob"}, "whole number"),
    "json list label": ("a.json", {"joints": POINTS.tolist(), "label": [1]}, "label must be"),
    "json other layout": ("a.json", {"joints": POINTS.tolist(), "layout": "ntu25"}, "its layout is 'ntu25'"),
    "json empty list": ("a.json", "[]", "no clip"),
    "csv empty": ("a.csv", "", "empty"),
    "csv titles only": ("a.csv", as_csv(wide(POINTS, KINECT20)).splitlines()[0] + "\n", "no rows"),
    "csv truncated": ("a.csv", as_csv(wide(POINTS, KINECT20))[:2000], "truncated"),
    "csv not utf-8": ("a.csv", b"frame,\xff\xfe\n1,2\n", "not text in UTF-8"),
    "csv letters": ("a.csv", as_csv(changed(left_wrist_x="abc")), "'left_wrist_x' holds 'abc'"),
    "csv decimal comma": (
        "a.csv",
        as_csv(changed(left_wrist_x="-0,5")),
        "holds '-0,5', which is not a number; write decimals with a point, -0.5",
    ),
    "csv infinite": ("a.csv", as_csv(changed(left_wrist_x="inf")), "left_wrist of person 0 in frame 0 is not a finite"),
    "csv lacks a joint": ("a.csv", as_csv(wide(POINTS, KINECT20)).replace("head_x", "haed_x"), "no column 'head_x'"),
    "csv column twice": ("a.csv", as_csv(wide(POINTS, KINECT20)).replace("head_x", "head_y"), "is there twice"),
    "csv frame twice": ("a.csv", as_csv(changed(frame=[0, 1, 1, 2, 3])), "frame 1 is there twice"),
    "csv joint twice": (
        "a.csv",
        "frame,joint,x,y,z\n0,Head,1,2,3\n0,head,1,2,3\n",
        "frame 0 is there twice for head; a column",
    ),
    "csv huge frame": ("a.csv", as_csv(changed(frame=[0, 1, 2, 3, 10**12])), "number them without gaps"),
    "csv half frame": ("a.csv", as_csv(changed(frame=[0, 0.5, 1, 2, 3])), "row 2: frame must be a whole number"),
    "csv no frame": ("a.csv", as_csv(changed(frame=[0, "", 1, 2, 3])), "row 2: frame must be a whole number"),
    "csv without frames": ("a.csv", as_csv(wide(POINTS, KINECT20)).replace("frame", "time"), "no column 'frame'"),
    "csv two labels": ("a.csv", as_csv(changed(label=list("aabaa"))), "label differs from row to row"),
    "csv unknown joint": ("a.csv", "frame,joint,x,y,z\n0,tail,1,2,3\n", "'tail' is no joint of layout kinect20"),
    "csv joint number": ("a.csv", "frame,joint,x,y,z\n0,20,1,2,3\n", "'20' is no joint"),
    "parquet truncated": ("a.parquet", b"PAR1" + bytes(100), "not a Parquet table"),
    "parquet of lists": ("a.parquet", changed(left_wrist_x=[[1.0]] * 5), "not a number"),
    "parquet huge": ("a.parquet", {"x": pa.array(np.zeros(60_000_000, np.int8))}, "more than 50,000,000 values"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_a_rejected_row_and_an_error_in_prediction(tmp_path: Path, case: str) -> None:
    name, content, message = DAMAGE[case]
    put(tmp_path / "data" / "dataset.yaml", {"layout": "kinect20"})
    put(tmp_path / "data" / "good.npz", {"joints": POINTS, "label": "x"})
    path = put(tmp_path / "data" / name, content)
    clips, rejected = read(tmp_path / "data")
    assert [clip.clip_id for clip in clips] == ["good"]
    (row,) = rejected
    assert row.file.startswith(name)
    assert re.search(message, row.reason), row.reason
    if "layout" not in case and "joint" not in case:
        with pytest.raises(InputError) as error:
            list(read_clips(path))
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)


def test_labels_outside_the_list_duplicates_and_mixed_layouts(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    put(folder / "dataset.yaml", {"classes": ["a", "b"], "labels": "labels.csv"})
    put(folder / "labels.csv", "clip,label,subject\n1,a,1\n2,2,1\n3,zzz,1\n5,,2\n6,1,3\n")
    for i in range(1, 7):
        put(folder / f"{i}.npy", POINTS)
    put(folder / "7.json", [{"joints": POINTS.tolist(), "clip_id": "1"}] * 2 + [{"joints": [], "clip_id": "2"}])
    clips, rejected = read(folder)
    assert [(clip.clip_id, clip.label, clip.subject) for clip in clips] == [
        ("1", "a", 1), ("5", None, 2), ("6", "b", 3), ("1", "a", 1)]  # fmt: skip
    assert [row.file for row in rejected] == ["2.npy", "3.npy", "4.npy", "7.json: 1", "7.json: 2"]
    assert "not one of the 2 classes" in rejected[0].reason
    assert "no row for '4'" in rejected[2].reason
    assert "'1' is in it twice" in rejected[3].reason
    store = import_data(CustomReader(), folder, tmp_path / "store", name="mine", workers=1)
    assert sum("two" in r.reason or "twice" in r.reason for r in store.manifest.rejected) == 2
    put(tmp_path / "mixed" / "a.npy", POINTS)
    put(tmp_path / "mixed" / "b.npy", joints(3, 24, 3))
    (clip,), (row,) = read(tmp_path / "mixed")
    assert (clip.clip_id, row.file) == ("a", "b.npy")
    assert "24 joints a person, but layout kinect20 has 20" in row.reason


def test_sources_without_anything_to_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.npz or"):
        read(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder"):
        read(tmp_path / "gone")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../a.json", json.dumps({"joints": POINTS.tolist()}))
    with pytest.raises(InputError, match="outside its folder"):
        read(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(100_000_000))
    with pytest.raises(InputError, match="claims to unpack"):
        read(tmp_path / "bomb.zip")
    put(tmp_path / "alone.npz", {"joints": POINTS, "label": "x"})  # a single file is a source, too
    (clip,), _ = read(tmp_path / "alone.npz")
    assert (clip.clip_id, clip.label) == ("alone", "x")
    with pytest.raises(InputError, match="there is no such file"):
        CustomReader(description=str(tmp_path / "gone.yaml")).plan(())
    put(tmp_path / "bad" / "a.json", "x")
    with pytest.raises(InputError, match=r"no valid clip in the first 1 files; a\.json: truncated"):
        read(tmp_path / "bad")


def store_of(folder: Path, layout: JointLayout, with_confidence: bool) -> Store:
    rng = np.random.default_rng(3)
    clips = []
    for i in range(130):
        points = joints(3, 1 + i % 2, layout.num_joints, layout.dimension, seed=i) * np.float32(10.0) ** rng.integers(
            -6, 4
        )
        sure = np.abs(joints(*points.shape[:3], seed=1000 + i))
        points[0, 0, 1], sure[0, 0, 1] = 0, 0
        clips.append(
            SkeletonClip(
                joints=points,
                layout=layout,
                fps=30.0 if i % 3 else 29.97,
                confidence=sure if with_confidence and i < 110 else None,
                clip_id=f"{i:03d}" if i else 'odd "id", é; here',
                label=None if i == 5 else ("3", "NA", "wave, twice")[i % 3],
                subject=i if i % 4 else None,
                camera=i % 3,
                setup=None,
                trial=2,
            )
        )
    classes = ("wave, twice", "3", "NA", "never seen")
    return write_store(folder, clips, name="mine", classes=classes, layout=layout, source="made up")


RIG = JointLayout.from_dict(NTU25.to_dict() | {"name": "rig"})


@pytest.mark.parametrize("form", ["npz", "json", "csv", "parquet"])
@pytest.mark.parametrize(("layout", "confidence"), [(KINECT20, False), (COCO17, True), (RIG, True)])
def test_what_is_written_comes_back_equal(tmp_path: Path, form: str, layout: JointLayout, confidence: bool) -> None:
    store = store_of(tmp_path / "store", layout, confidence)
    write_files(store, tmp_path / "files", form)  # type: ignore[arg-type]
    back = import_data(CustomReader(), tmp_path / "files", tmp_path / "back", name="mine", workers=1)
    assert back.classes == store.classes
    assert back.layout == store.layout
    assert not back.manifest.rejected
    assert back.clip_ids == store.clip_ids
    assert back.hash == store.hash
    for clip in store:
        other = back[back.index(clip.clip_id)]
        assert clip.joints.tobytes() == other.joints.tobytes()
        assert (clip.confidence is None) == (other.confidence is None)
        if clip.confidence is not None and other.confidence is not None:
            assert clip.confidence.tobytes() == other.confidence.tobytes()
        for name in ("label", "fps", "subject", "camera", "setup", "trial"):
            assert getattr(clip, name) == getattr(other, name)
    with pytest.raises(InputError, match="already there"):
        write_files(store, tmp_path / "files", form)  # type: ignore[arg-type]


def clips_or_none(content: bytes, suffix: str) -> list[SkeletonClip]:
    """The clips of a content, or none where it is refused, in one line."""
    try:
        return list(clips_of(content, suffix, "x"))
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError("an error of several lines") from error
        return []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["npz", "npy", "json", "csv", "parquet"]), st.data())
def test_any_cut_or_flip_gives_an_error_or_what_the_file_says(form: str, data: st.DataObject) -> None:
    content = GOOD[form]
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        broken = content[:at]
    else:
        broken = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    for clip in clips_or_none(broken, f".{form}"):
        assert np.isfinite(clip.joints).all()
        if form == "npz" and clip.num_frames == len(POINTS):  # the archive's checksum has seen to the values
            assert np.isin(clip.joints, POINTS).all()
        elif clip.num_frames == len(POINTS) and form in ("json", "csv"):
            assert (clip.joints[:, 0] != POINTS).sum() <= 2 * 3  # one character: one joint, or two with its neighbor
        assert clip.joints.size <= 10 * POINTS.size


def _good() -> dict[str, bytes]:
    zipped, plain, parquet = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez_compressed(zipped, joints=POINTS, layout="kinect20")
    np.save(plain, POINTS)
    pa_parquet.write_table(pa.table(wide(POINTS, KINECT20)), parquet)
    return {
        "npz": zipped.getvalue(),
        "npy": plain.getvalue(),
        "parquet": parquet.getvalue(),
        "json": json.dumps({"joints": POINTS.tolist(), "layout": "kinect20"}).encode(),
        "csv": as_csv(wide(POINTS, KINECT20)).encode(),
    }


GOOD = _good()


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([".npz", ".npy", ".json", ".csv", ".parquet"]))
def test_any_bytes_are_an_error(content: bytes, suffix: str) -> None:
    assert clips_or_none(content, suffix) == []
