import json
import pickle

import numpy as np
import pyarrow as pa
import pytest

from sugar.datasets.store.rows import ROW_SCHEMA, BatchWriter, as_column, as_row, numbers, valid
from sugar.datasets.store.store import FORMAT_VERSION, Rejected, Store, StoreWriter, write_store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20, NTU25

CLASSES = ("walk", "sit down")


def clips(count: int = 150) -> list[SkeletonClip]:
    rng = np.random.default_rng(0)
    return [
        SkeletonClip(
            joints=rng.normal(size=(1 + i % 7, 1 + i % 2, 20, 3)).astype(np.float32),
            layout=KINECT20,
            fps=25.0,
            confidence=rng.random((1 + i % 7, 1 + i % 2, 20), dtype=np.float32) if i % 3 == 0 else None,
            clip_id=f"c{i}",
            label=(None, *CLASSES)[i % 3],
            subject=i % 4,
            camera=None if i % 5 == 0 else i % 5,
            trial=i,
        )
        for i in range(count)
    ]


def exact_clips(count: int = 130) -> list[SkeletonClip]:
    """Clips of fixed numbers, each of which any machine computes alike."""
    found = []
    for i in range(count):
        frames, persons = 1 + i % 7, 1 + i % 2
        joints = (np.arange(frames * persons * 60) * 7919 + i * 104729) % 2003 - 1001
        confidence = (np.arange(frames * persons * 20) + i) % 3
        found.append(
            SkeletonClip(
                joints.reshape(frames, persons, 20, 3).astype(np.float32) / np.float32(512),
                KINECT20,
                fps=(25.0, 30.0, 29.97)[i % 3],
                confidence=confidence.reshape(frames, persons, 20) / np.float32(2) if i % 3 == 0 else None,
                clip_id=f'clip "{i}" é',
                label=(None, "walk", "sit down")[i % 3],
                subject=i % 4,
                camera=None if i % 5 == 0 else i % 5,
                trial=i,
            )
        )
    return found


HASH = "2f779c4ae6990506ffa65acd9e73d3b1eb1903231d2f9397ae47f17eb8ebdf4f"


def write(path, items, classes=CLASSES, rejected=()) -> Store:
    return write_store(path, [*items, *rejected], name="toy", classes=classes, layout=KINECT20, source="the test")


def test_clips_come_back_exactly_and_without_a_copy(tmp_path) -> None:
    originals = clips()
    store = write(tmp_path / "s", iter(originals))
    assert len(store) == 150
    for clip, original in zip(store, originals, strict=True):
        np.testing.assert_array_equal(clip.joints, original.joints)
        if original.confidence is None:
            assert clip.confidence is None
        else:
            np.testing.assert_array_equal(clip.confidence, original.confidence)
        for name in ("fps", "clip_id", "label", "subject", "camera", "setup", "trial", "layout"):
            assert getattr(clip, name) == getattr(original, name)
    assert np.shares_memory(store[70].joints, store[70].joints)
    assert store[-1].clip_id == "c149"
    with pytest.raises(IndexError):
        store[150]
    assert store.index("c77") == 77
    assert store.labels[:4].tolist() == [-1, 0, 1, -1]
    assert store.column("camera")[:3].tolist() == [-1, 1, 2]
    assert store.lengths[:3].tolist() == [1, 2, 3]
    assert store.manifest.frames == sum(clip.num_frames for clip in originals)
    store.verify()


def test_the_hash_follows_the_content(tmp_path) -> None:
    hashes = [
        write(tmp_path / "a", clips()).hash,
        write(tmp_path / "b", clips()).hash,
        write(tmp_path / "c", clips()[::-1]).hash,
        write(tmp_path / "d", clips(), classes=CLASSES[::-1]).hash,
    ]
    assert hashes[0] == hashes[1] == hashes[3]  # the label's name counts, not its number
    assert hashes[0] != hashes[2]


def test_the_hash_of_the_same_clips_is_always_the_same(tmp_path) -> None:
    """Runs and results name the stores that they are of by it."""
    store = write(tmp_path / "s", exact_clips())
    assert store.hash == HASH
    store.verify()


def test_batches_of_rows_make_the_same_store(tmp_path) -> None:
    rows = [as_row(clip) for clip in exact_clips()]
    unknown = rows[3] | {"clip_id": "other", "label": "fly"}
    with BatchWriter(tmp_path / "rows", ROW_SCHEMA) as part:
        for row in [*rows[:70], rows[5], unknown, *rows[70:]]:
            part.add(row)
    (tmp_path / "s").mkdir()
    refused = []
    with pa.memory_map(str(tmp_path / "rows")) as mapped, StoreWriter(tmp_path / "s", KINECT20, CLASSES) as writer:
        batches = pa.ipc.open_file(mapped)
        for i in range(batches.num_record_batches):
            refused += writer.add_batch(batches.get_batch(i))
    writer.write_manifest("toy", "the test", refused)
    store = Store.open(tmp_path / "s")
    assert [row.file for row in refused] == [rows[5]["clip_id"], "other"]
    assert "there twice" in refused[0].reason
    assert "'fly' is not one of the 2 classes" in refused[1].reason
    assert (len(store), store.hash) == (130, HASH)
    store.verify()
    for clip, original in zip(store, exact_clips(), strict=True):
        np.testing.assert_array_equal(clip.joints, original.joints)
        assert (clip.clip_id, clip.label) == (original.clip_id, original.label)


def test_rejected_files_stand_in_the_manifest(tmp_path) -> None:
    store = write(tmp_path / "s", [*clips(3), Rejected("x.json", "bad")], rejected=[Rejected("y.json", "worse")])
    assert Store.open(store.path).manifest.rejected == (
        Rejected("x.json", "bad"),
        Rejected("y.json", "worse"),
    )
    assert Store.open(store.path).manifest == store.manifest


def test_a_store_travels_to_other_processes_by_its_path(tmp_path) -> None:
    store = write(tmp_path / "s", clips(5))
    assert len(pickle.dumps(store)) < 800
    assert pickle.loads(pickle.dumps(store)).hash == store.hash


def test_bad_clips_leave_nothing_behind(tmp_path) -> None:
    first = clips(1)[0]
    other = SkeletonClip(np.ones((1, 1, 25, 3), np.float32), NTU25, clip_id="n")
    unknown = SkeletonClip(np.ones((1, 1, 20, 3), np.float32), KINECT20, clip_id="u", label="fly")
    for items, message in (
        ([first, first], "'c0'.*twice"),
        ([first, other], "'ntu25'"),
        ([first, unknown], "'fly'"),
        ([], "no valid clip"),
        ([Rejected("x.json", "bad")], "no valid clip .*bad"),
    ):
        with pytest.raises(InputError, match=message):
            write(tmp_path / "s", items)
    with pytest.raises(InputError, match="differ"):
        write(tmp_path / "s", [first], classes=("a", "a"))
    assert list(tmp_path.iterdir()) == []


def test_only_a_store_is_replaced(tmp_path) -> None:
    write(tmp_path / "s", clips(3))
    assert len(write(tmp_path / "s", clips(4))) == 4
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a store"):
        write(tmp_path / "home", clips(3))
    assert (tmp_path / "home" / "thesis.txt").read_text() == "mine"


def _edit_manifest(path, **changes) -> None:
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_damaged_stores_are_one_clear_line(tmp_path) -> None:
    path = tmp_path / "s"

    def broken(message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            Store.open(path)
        assert "\n" not in str(error.value)
        write(path, clips())

    broken("no store")
    _edit_manifest(path, format_version=FORMAT_VERSION + 1)
    broken("newer than")
    _edit_manifest(path, clips=3)
    broken("does not fit")
    _edit_manifest(path, layout={"name": "x"})
    broken("layout needs")
    _edit_manifest(path, layout=KINECT20.to_dict(), clips=150, classes=["walk"])
    broken("does not fit its manifest of 1 classes")
    _edit_manifest(path, classes=None)
    broken("garbles")
    (path / "manifest.json").write_text("{")
    broken("cannot be read")
    (path / "manifest.json").write_text("[]")
    broken("not the manifest")
    (path / "clips.arrow").unlink()
    broken("missing")
    content = (path / "clips.arrow").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (path / "clips.arrow").write_bytes(content[:length])
        broken("damaged")
    with pytest.raises(InputError, match="column"):
        Store.open(path).column("color")
    with pytest.raises(InputError, match="'nobody'"):
        Store.open(path).index("nobody")


def test_verify_finds_a_changed_value(tmp_path) -> None:
    originals = clips(20)
    store = write(tmp_path / "s", originals)
    file = store.path / "clips.arrow"
    content = bytearray(file.read_bytes())
    at = content.find(originals[9].joints.tobytes())
    assert at > 0
    content[at + 1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="hash"):
        Store.open(store.path).verify()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, -3, 2**31 - 1], pa.int32()),
        ([None] * 9, pa.int32()),
        ([0.5, 30.0], pa.float64()),
        (["a", None, "", "\u00e9\u6f22"], pa.string()),
        ([np.arange(3, dtype=np.float32), None, np.empty(0, np.float32)], pa.list_(pa.float32())),
        ([None, None], pa.list_(pa.float32())),
    ],
)
def test_columns_are_what_arrow_itself_makes(values: list[object], kind: pa.DataType) -> None:
    column = as_column(values, kind)
    column.validate(full=True)
    assert column.equals(pa.array(values, kind))
    cut = column[1:]
    assert valid(cut).tolist() == [value is not None for value in values[1:]]
    if not pa.types.is_list(kind) and not pa.types.is_string(kind):
        assert numbers(cut)[valid(cut)].tolist() == [value for value in values[1:] if value is not None]
