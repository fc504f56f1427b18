"""Protocols on a small store, and protocols of one's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.protocols.protocols import (
    Protocol,
    Split,
    ValidationConfig,
    describe_split,
    get_protocol,
    split,
)
from sugar.datasets.store.store import Store, write_store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

CROSS_VIEW = Protocol("cross-view", "camera", (1, 2), (3,))
NONE = ValidationConfig(by="none")
OPTIONS = [
    NONE,
    ValidationConfig(by="subject", values=(2, 5)),
    ValidationConfig(by="camera", values=(2,)),
    ValidationConfig(by="fraction", fraction=0.2, seed=1),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two classes, six people, two trials, three cameras; and one clip without a label."""
    joints = np.ones((2, 1, 20, 3), np.float32)
    clips = [
        SkeletonClip(joints, KINECT20, clip_id=f"{label}{s}{t}{v}", label=label, subject=s, trial=t, camera=v)
        for label in ("a", "b")
        for s in range(6)
        for t in range(2)
        for v in (1, 2, 3)
    ]
    clips.append(SkeletonClip(joints, KINECT20, clip_id="unlabeled", camera=1))
    folder = tmp_path_factory.mktemp("protocols") / "store"
    return write_store(folder, clips, name="toy", classes=("a", "b"), layout=KINECT20, source="test")


def sizes(parts: Split) -> tuple[int, int]:
    return len(parts.train) + len(parts.validation), len(parts.test)


def check_apart(store: Store, parts: Split) -> None:
    sides = [set(side.tolist()) for side in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert sides[2] == set(np.flatnonzero((store.labels >= 0) & (store.column("camera") == 3)).tolist())
    assert sides[0] | sides[1] == set(np.flatnonzero((store.labels >= 0) & (store.column("camera") != 3)).tolist())


@pytest.mark.parametrize("validation", OPTIONS, ids=lambda option: option.by)
def test_no_clip_is_on_two_sides_and_the_test_side_never_moves(store: Store, validation) -> None:
    parts = split(store, CROSS_VIEW, validation)
    check_apart(store, parts)
    expected = {"none": 0, "subject": 16, "camera": 24}
    if validation.by in expected:
        assert len(parts.validation) == expected[validation.by]
    assert (parts.seen, parts.unseen) == (("a", "b"), ())


def test_a_fraction_is_stratified_and_keeps_performances_whole(store: Store) -> None:
    for seed in range(20):
        parts = split(store, CROSS_VIEW, ValidationConfig(fraction=0.25, seed=seed))
        assert np.bincount(store.labels[parts.validation]).tolist() == [6, 6]
        keys = np.stack([store.labels, *(store.column(c) for c in ("subject", "trial"))], axis=1)
        train, held_out = ({tuple(k) for k in keys[side]} for side in (parts.train, parts.validation))
        assert not train & held_out
    again = split(store, CROSS_VIEW, ValidationConfig(fraction=0.25, seed=3))
    same = split(store, CROSS_VIEW, ValidationConfig(fraction=0.25, seed=3))
    other = split(store, CROSS_VIEW, ValidationConfig(fraction=0.25, seed=4))
    assert again.validation.tolist() == same.validation.tolist() != other.validation.tolist()
    # However small the share, each class has one; however large, each class keeps one.
    tiny = split(store, CROSS_VIEW, ValidationConfig(fraction=0.001))
    huge = split(store, CROSS_VIEW, ValidationConfig(fraction=0.999))
    assert np.bincount(store.labels[tiny.validation]).min() > 0
    assert np.bincount(store.labels[huge.train]).min() > 0


@pytest.mark.parametrize(
    ("protocol", "validation", "message"),
    [
        (Protocol("p", "setup", (1,)), {"by": "none"}, "has no setup"),
        (Protocol("p", "camera", (9,)), {"by": "none"}, "no clip on the training side"),
        (Protocol("p", "camera", (1, 2, 3)), {"by": "none"}, "no clip on the test side"),
        (CROSS_VIEW, {"by": "camera", "values": (3,)}, "camera 3 has no clip on the training side"),
        (CROSS_VIEW, {"by": "subject", "values": (1, 77)}, "subject 77"),
        (CROSS_VIEW, {"by": "camera", "values": (1, 2)}, "every training clip"),
        (replace(CROSS_VIEW, unseen=("c",)), {"by": "none"}, "has no class 'c', which protocol cross-view"),
        (replace(CROSS_VIEW, unseen=(2,)), {"by": "none"}, "no class 2, only 0..1"),
        (replace(CROSS_VIEW, classes=("a",), unseen=("b",)), {"by": "none"}, "'b' does not take part"),
        (replace(CROSS_VIEW, unseen=(0, 1)), {"by": "none"}, "no clip on the training side"),
        (get_protocol("nw-ucla-zsl-8-2"), {"by": "none"}, "has no class 'pick up with two hands'"),
        (Protocol("p", train_clips=("x",)), {"by": "none"}, "no clip on the training side"),
    ],
)
def test_a_split_that_cannot_be_is_one_clear_line(store: Store, protocol, validation, message) -> None:
    with pytest.raises(InputError, match=message) as error:
        split(store, protocol, ValidationConfig(**validation))
    assert "\n" not in str(error.value)


def test_lists_of_clips_and_clips_left_out(store: Store) -> None:
    listed = Protocol("p", train_clips=("a001", "a002", "b001", "gone"), exclude=("a002", "a003"))
    parts = split(store, listed, NONE)
    assert [store.clip_ids[i] for i in parts.train] == ["a001", "b001"]
    assert len(parts.test) == 72 - 2 - 2
    both = split(store, replace(listed, test_clips=("a511", "b511")), NONE)
    assert [store.clip_ids[i] for i in both.test] == ["a511", "b511"]


@pytest.mark.parametrize("validation", [o for o in OPTIONS if o.by != "none"], ids=lambda option: option.by)
def test_unseen_classes_only_test(store: Store, validation) -> None:
    protocol = replace(CROSS_VIEW, unseen=("b",))
    parts = split(store, protocol, validation)
    assert (parts.seen, parts.unseen) == (("a",), ("b",))
    assert set(store.labels[parts.train]) == set(store.labels[parts.validation]) == {0}
    assert set(store.labels[parts.test]) == {1}
    assert len(parts.test) == 12
    everything = split(store, replace(protocol, generalized=True), validation)
    assert everything.train.tolist() == parts.train.tolist()
    assert np.bincount(store.labels[everything.test]).tolist() == [12, 12]
    # Without a column the classes alone tell the sides apart.
    whole = split(store, Protocol("p", unseen=(0,)), NONE)
    assert (set(store.labels[whole.train]), set(store.labels[whole.test])) == ({1}, {0})
    assert sizes(whole) == (36, 36)


def test_configs_are_checked() -> None:
    with pytest.raises(InputError, match="at least one subject"):
        ValidationConfig(by="subject")
    with pytest.raises(InputError, match="fraction"):
        ValidationConfig(fraction=1.0)
    for wrong, message in (
        ({"column": "camera", "train": (1, 2), "test": (2,)}, "shares a value"),
        ({"train_clips": ("a",), "test_clips": ("a",)}, "shares a value"),
        ({"column": "color", "train": (1,)}, "its column is one of"),
        ({"column": "camera"}, "needs values"),
        ({"train": (1,)}, "needs values"),
        ({"column": "camera", "train": (1,), "train_clips": ("a",)}, "not both"),
        ({}, "give what trains"),
        ({"unseen": (1,), "generalized": True}, "give what trains"),
        ({"column": "camera", "train": (1,), "generalized": True}, "needs unseen"),
    ):
        with pytest.raises(InputError, match=message):
            Protocol("p", **wrong)


def test_a_protocol_of_ones_own(tmp_path: Path, store: Store) -> None:
    assert get_protocol("subject:1,3/2") == Protocol("subject:1,3/2", "subject", (1, 3), (2,))
    assert get_protocol("subject:1-3,5").train == (1, 2, 3, 5)
    assert get_protocol("camera:2") == Protocol("camera:2", "camera", (2,), None)
    for wrong in (
        "subject:",
        "subject:a",
        "color:1",
        "subject:1/",
        "subject:1/1",
        "subject",
        "subject:3-1",
        "subject:0-999999999",
    ):
        with pytest.raises(InputError) as error:
            get_protocol(wrong)
        assert "\n" not in str(error.value)
    path = tmp_path / "mine.yaml"
    path.write_text("column: subject\ntrain: [0-2, 4]\nunseen: [b]\nexcept: [a001]\nsource: mine\n")
    mine = get_protocol(path)
    assert mine == Protocol("mine", "subject", (0, 1, 2, 4), unseen=("b",), exclude=("a001",), source="mine")
    parts = split(store, mine, NONE)
    assert (len(parts.train), len(parts.test)) == (23, 12)
    path.write_text("base: utd-mhad-cross-subject\nname: fewer\nclasses: 0-4\n")
    fewer = get_protocol(path)
    assert (fewer.name, fewer.train, fewer.classes) == ("fewer", (1, 3, 5, 7), (0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("column: subject\ntrain: 1\ncolor: red\n", "has no field 'color'"),
        ("column: subject\ntrain: one\n", "'one' is neither a number"),
        ("column: subject\ntrain: {a: 1}\n", "neither a number"),
        ("column: 3\ntrain: 1\n", "column cannot be 3"),
        ("column: subject\ntrain: 1\ngeneralized: maybe\n", "generalized cannot be"),
        ("column: subject\ntrain: 1\nunseen: [[1]]\n", "neither the name nor the number"),
        ("column: subject\ntrain: true\n", "neither a number"),
        ("train_clips: a\n", "list of clip ids"),
        ("train_clips: [a, 1]\n", "list of clip ids"),
        ("base: nothing\n", "a base must be a shipped protocol, not 'nothing'"),
        ("- a\n", "expected a mapping"),
        ("", "give what trains"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_protocol_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        get_protocol(str(path))
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read"):
        get_protocol(tmp_path / "absent.yaml")


def test_a_file_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.yaml"
    path.write_text(f"base: {path}\n")
    with pytest.raises(InputError, match="a base must be a shipped protocol"):
        get_protocol(path)


def test_a_split_in_words(store: Store) -> None:
    described = describe_split(store, replace(CROSS_VIEW, unseen=("b",), source="here"))
    assert described == {
        "protocol": "cross-view",
        "source": "here",
        "seen_classes": ["a"],
        "unseen_classes": ["b"],
        "train": {"clips": 24, "classes": 1, "subjects": [0, 1, 2, 3, 4, 5], "cameras": [1, 2]},
        "test": {"clips": 12, "classes": 1, "subjects": [0, 1, 2, 3, 4, 5], "cameras": [3]},
    }
