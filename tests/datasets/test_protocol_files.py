"""The shipped protocols: published counts on the names of the real clips, and lists as they were published."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.class_names import class_names
from sugar.datasets.protocols.protocols import Split, ValidationConfig, get_protocol, protocol_names, split
from sugar.datasets.store.store import COLUMNS, Store
from sugar.errors import InputError

NONE = ValidationConfig(by="none")


@dataclass
class Listed:
    """A store's columns without its clips, as `split` uses them."""

    clip_ids: list[str]
    classes: tuple[str, ...]
    labels: np.ndarray
    columns: dict[str, np.ndarray]
    path: str = "listed"

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    @classmethod
    def read(cls, names: Iterator[str], pattern: str, classes: tuple[str, ...]) -> "Listed":
        """Of clip names with groups such as subject and ``action`` (1-based)."""
        found = sorted({match for name in names if (match := re.search(pattern, name))}, key=lambda m: m[0])
        columns = {
            name: np.array([int(m[name]) if name in m.groupdict() else -1 for m in found], dtype=np.int64)
            for name in COLUMNS
        }
        labels = np.array([int(match["action"]) - 1 for match in found], dtype=np.int64)
        return cls([match[0] for match in found], classes, labels, columns)


@pytest.fixture(scope="module")
def ntu(shared: Path) -> Listed:
    with tarfile.open(shared / "data" / "ntu-lists.tar.xz") as archive:
        (member,) = (m for m in archive.getmembers() if m.name.endswith("clips_with_bodies.txt"))
        names = archive.extractfile(member).read().decode().split()
    return ntu_listed(names, class_names("ntu120"))


def ntu_listed(names: list[str], classes: tuple[str, ...]) -> Listed:
    pattern = r"S(?P<setup>\d+)C(?P<camera>\d+)P(?P<subject>\d+)R(?P<trial>\d+)A(?P<action>\d+)"
    return Listed.read(iter(names), pattern, classes)


@pytest.fixture(scope="module")
def ntu60(ntu: Listed) -> Listed:
    """A store of NTU RGB+D 60 alone, with its 60 classes."""
    return ntu_listed([name for name in ntu.clip_ids if int(name[-3:]) <= 60], class_names("ntu120")[:60])


def archive_names(shared: Path, archive: str) -> list[str]:
    with tarfile.open(shared / "data" / f"{archive}.tar.xz") as packed:
        return [name for name in packed.getnames() if "protocol_lists" not in name]


@pytest.fixture(scope="module")
def msr(shared: Path) -> Listed:
    pattern = r"a(?P<action>\d+)_s(?P<subject>\d+)_e(?P<trial>\d+)"
    return Listed.read(iter(archive_names(shared, "msr-action3d")), pattern, class_names("msr_action3d"))


@pytest.fixture(scope="module")
def utd(shared: Path) -> Listed:
    pattern = r"a(?P<action>\d+)_s(?P<subject>\d+)_t(?P<trial>\d+)"
    return Listed.read(iter(archive_names(shared, "utd-mhad")), pattern, class_names("utd_mhad"))


def sizes(parts: Split) -> tuple[int, int]:
    return len(parts.train) + len(parts.validation), len(parts.test)


def test_every_shipped_protocol_is_found_and_says_where_it_comes_from() -> None:
    names = protocol_names()
    assert len(names) == len(set(names)) >= 40
    for name in names:
        protocol = get_protocol(name)
        assert protocol.name == name
        assert protocol.dataset
        assert protocol.source
        known = class_names(protocol.class_list) if protocol.class_list else ()
        for reference in (*protocol.classes, *protocol.unseen):
            assert reference in known if isinstance(reference, str) else 0 <= reference < len(known)
        if protocol.column and protocol.unseen:
            wide = get_protocol(f"{name}-generalized")
            assert wide == replace(protocol, name=f"{name}-generalized", generalized=True)
    with pytest.raises(InputError, match="nw-ucla-cross-view"):
        get_protocol("x")
    with pytest.raises(InputError, match="needs unseen"):
        get_protocol("ntu60-xsub-generalized")


def test_the_real_cross_view_protocol(nw_ucla_store: Store) -> None:
    parts = split(nw_ucla_store, get_protocol("nw-ucla-cross-view"), ValidationConfig(fraction=0.1))
    assert sizes(parts) == (1020, 464)
    assert 90 <= len(parts.validation) <= 115
    zero_shot = split(nw_ucla_store, get_protocol("nw-ucla-zsl-5-5"), ValidationConfig())
    assert (len(zero_shot.seen), len(zero_shot.unseen)) == (5, 5)
    assert not np.isin(nw_ucla_store.labels[zero_shot.validation], [1, 3, 4, 6, 8]).any()


NTU = [
    ("ntu60-xsub", 40091, 16487),
    ("ntu60-xview", 37646, 18932),
    ("ntu120-xsub", 63026, 50919),
    ("ntu120-xset", 54468, 59477),
]


def test_without_copies_no_test_clip_of_nw_ucla_has_trained(nw_ucla_store: Store) -> None:
    def joints(indices: np.ndarray) -> set[bytes]:
        return {nw_ucla_store[int(i)].joints.tobytes() for i in indices}

    usual = split(nw_ucla_store, get_protocol("nw-ucla-cross-view"), ValidationConfig(by="none"))
    assert len(joints(usual.train) & joints(usual.test)) == 95
    clean = split(nw_ucla_store, get_protocol("nw-ucla-cross-view-no-copies"), ValidationConfig(by="none"))
    assert (len(clean.train), len(clean.test)) == (1020, 369)
    assert not joints(clean.train) & joints(clean.test)


@pytest.mark.parametrize(("name", "train", "test"), NTU)
def test_published_counts_of_ntu(ntu: Listed, ntu60: Listed, name: str, train: int, test: int) -> None:
    protocol = get_protocol(name)
    assert sizes(split(ntu, protocol, NONE)) == (train, test)
    if protocol.dataset == "ntu60":
        assert sizes(split(ntu60, protocol, NONE)) == (train, test)


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        *(("ntu60-zsl-55-5", 55, 5), ("ntu60-zsl-48-12", 48, 12), ("ntu60-zsl-40-20", 40, 20)),
        *(("ntu60-zsl-30-30", 30, 30), *((f"ntu60-smie-{i}", 55, 5) for i in (1, 2, 3))),
        *(("ntu120-zsl-110-10", 110, 10), ("ntu120-zsl-96-24", 96, 24), ("ntu120-zsl-80-40", 80, 40)),
        *(("ntu120-zsl-60-60", 60, 60), *((f"ntu120-smie-{i}", 110, 10) for i in (1, 2, 3))),
        ("ntu120-sugar-p1", 60, 10),
    ],
)
def test_zero_shot_on_ntu(ntu: Listed, name: str, seen: int, unseen: int) -> None:
    protocol = get_protocol(name)
    parts = split(ntu, protocol, ValidationConfig(fraction=0.05))
    assert (len(parts.seen), len(parts.unseen)) == (seen, unseen)
    labels = {
        side: {ntu.classes[i] for i in ntu.labels[getattr(parts, side)]} for side in ("train", "validation", "test")
    }
    assert labels["train"] == labels["validation"] == set(parts.seen)
    assert labels["test"] == set(parts.unseen)
    if protocol.column:
        base = split(ntu, get_protocol("ntu60-xsub" if "ntu60" in name else "ntu120-xsub"), NONE)
        assert set(parts.train) | set(parts.validation) <= set(base.train)
        assert set(parts.test) <= set(base.test)
        wide = split(ntu, get_protocol(f"{name}-generalized"), NONE)
        assert wide.test.tolist() == base.test.tolist()
        assert sizes(wide)[0] == sizes(parts)[0]


def test_the_first_protocol_of_sugar(ntu: Listed) -> None:
    parts = split(ntu, get_protocol("ntu120-sugar-p1"), NONE)
    assert parts.seen == class_names("ntu120")[:60]
    assert parts.unseen == class_names("ntu120")[60::6]
    assert len(parts.train) == 56578  # all of NTU RGB+D 60
    with pytest.raises(InputError, match="has no class"):
        split(replace(ntu, classes=ntu.classes[:60]), get_protocol("ntu120-sugar-p1"), NONE)


def test_published_counts_of_utd_mhad(utd: Listed) -> None:
    assert sizes(split(utd, get_protocol("utd-mhad-cross-subject"), NONE)) == (431, 430)
    for seen in (22, 18, 14):
        parts = split(utd, get_protocol(f"utd-mhad-zsl-{seen}-{27 - seen}"), NONE)
        assert (len(parts.seen), len(parts.unseen)) == (seen, 27 - seen)


@pytest.fixture(scope="module")
def msr_lists(shared: Path) -> dict[str, set[str]]:
    """The clips that each list of the archive names."""
    with tarfile.open(shared / "data" / "msr-action3d.tar.xz") as archive:
        wanted = {m.name.split("/")[-1]: m for m in archive if "_list" in m.name or "files_used" in m.name}
        texts = {name: archive.extractfile(m).read().decode() for name, m in wanted.items() if m.isfile()}
    return {name: set(re.findall(r"a\d+_s\d+_e\d+", text)) for name, text in texts.items()}


def test_msr_action3d_splits_as_its_lists_say(msr_lists: dict[str, set[str]], msr: Listed) -> None:
    def ids(indices: np.ndarray) -> set[str]:
        return {msr.clip_ids[i] for i in indices}

    assert sizes(split(msr, get_protocol("msr-action3d-cross-subject"), NONE)) == (292, 275)
    most = split(msr, get_protocol("msr-action3d-cross-subject-557"), NONE)
    assert sizes(most) == (284, 273)
    assert ids(most.train) | ids(most.test) == msr_lists["files_used_in_cvpr12_paper.txt"]
    assert ids(most.test) == msr_lists["full_cross_te.txt"]
    for subset in ("as1", "as2", "as3"):
        for test, short in (("test-one", "t1"), ("test-two", "t2"), ("cross-subject", "t3")):
            parts = split(msr, get_protocol(f"msr-action3d-{subset}-{test}"), NONE)
            assert len(parts.seen) == 8
            assert ids(parts.train) == msr_lists[f"{subset.upper()}_{short}_Tr.txt"]
            assert ids(parts.test) == msr_lists[f"{subset.upper()}_{short}_Te.txt"]


def test_purls_splits_are_the_published_files(shared: Path) -> None:
    with tarfile.open(shared / "texts" / "texts.tar.xz") as archive:
        published = {
            m.name.split("label_splits/")[1]: np.load(BytesIO(archive.extractfile(m).read()), allow_pickle=False)
            for m in archive
            if re.search(r"label_splits/.*/ru\d+\.npy$", m.name)
        }
    counts = {"ntu60": (60, 5, 12, 20, 30), "ntu120": (120, 10, 24, 40, 60), "nw-ucla": (10, 2, 5)}
    for dataset, (total, *parts) in (counts | {"utd-mhad": (27, 5, 9, 13)}).items():
        for count in parts:
            unseen = get_protocol(f"{dataset}-zsl-{total - count}-{count}").unseen
            assert unseen == tuple(sorted(published[f"{dataset}/ru{count}.npy"].tolist()))


def test_protocols_without_shared_clips_name_what_their_papers_name() -> None:
    for name, count, first in (("uav-human-csv1", 89, (0, 2, 5)), ("uav-human-csv2", 89, (0, 3, 4))):
        protocol = get_protocol(name)
        assert len(protocol.train) == count
        assert protocol.train[:3] == first
        assert max(protocol.train) == 118
    views = [get_protocol(f"smarthome-xview{i}") for i in (1, 2)]
    assert [len(p.classes) for p in views] == [19, 19]
    assert [p.train for p in views] == [(1,), (1, 3, 4, 6, 7)]
    assert {p.test for p in views} == {(2,)}
    assert len(get_protocol("smarthome-xsub").train) == 11
    assert get_protocol("pku-mmd-xview").train == (2, 3)
    assert len(get_protocol("pku-mmd-xsub").test) * 3 == 132
    assert get_protocol("pku-mmd-zsl-39-12").unseen == (3, 7, 11, 15, 19, 21, 25, 31, 33, 36, 43, 48)
