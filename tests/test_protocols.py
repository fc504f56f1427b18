import numpy as np
import pytest

from sugar.datasets.protocols import (
    NW_UCLA_CROSS_VIEW,
    PROTOCOLS,
    Protocol,
    Split,
    ValidationConfig,
    get_protocol,
    split,
)
from sugar.datasets.store import Store, write_store
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20

OPTIONS = [
    ValidationConfig(by="none"),
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
    clips.append(SkeletonClip(joints, KINECT20, clip_id="unlabelled", camera=1))
    folder = tmp_path_factory.mktemp("protocols") / "store"
    return write_store(folder, clips, name="toy", classes=("a", "b"), layout=KINECT20, source="test")


def check_apart(store: Store, parts: Split) -> None:
    sides = [set(side.tolist()) for side in (parts.train, parts.validation, parts.test)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert sides[2] == set(np.flatnonzero((store.labels >= 0) & (store.column("camera") == 3)).tolist())
    assert sides[0] | sides[1] == set(np.flatnonzero((store.labels >= 0) & (store.column("camera") != 3)).tolist())


@pytest.mark.parametrize("validation", OPTIONS, ids=lambda option: option.by)
def test_no_clip_is_on_two_sides_and_the_test_side_never_moves(store: Store, validation) -> None:
    parts = split(store, NW_UCLA_CROSS_VIEW, validation)
    check_apart(store, parts)
    sizes = {"none": 0, "subject": 16, "camera": 24}
    if validation.by in sizes:
        assert len(parts.validation) == sizes[validation.by]


def test_a_fraction_is_stratified_and_keeps_performances_whole(store: Store) -> None:
    for seed in range(20):
        parts = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.25, seed=seed))
        assert np.bincount(store.labels[parts.validation]).tolist() == [6, 6]
        keys = np.stack([store.labels, *(store.column(c) for c in ("subject", "trial"))], axis=1)
        train, held_out = ({tuple(k) for k in keys[side]} for side in (parts.train, parts.validation))
        assert not train & held_out
    again = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.25, seed=3))
    same = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.25, seed=3))
    other = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.25, seed=4))
    assert again.validation.tolist() == same.validation.tolist() != other.validation.tolist()
    # However small the share, each class has one; however large, each class keeps one.
    tiny = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.001))
    huge = split(store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.999))
    assert np.bincount(store.labels[tiny.validation]).min() > 0
    assert np.bincount(store.labels[huge.train]).min() > 0


@pytest.mark.parametrize(
    ("protocol", "validation", "message"),
    [
        (Protocol("p", "setup", (1,)), {"by": "none"}, "has no setup"),
        (Protocol("p", "camera", (9,)), {"by": "none"}, "no clip on the training side"),
        (Protocol("p", "camera", (1, 2, 3)), {"by": "none"}, "no clip on the test side"),
        (NW_UCLA_CROSS_VIEW, {"by": "camera", "values": (3,)}, "camera 3 has no clip on the training side"),
        (NW_UCLA_CROSS_VIEW, {"by": "subject", "values": (1, 77)}, "subject 77"),
        (NW_UCLA_CROSS_VIEW, {"by": "camera", "values": (1, 2)}, "every training clip"),
    ],
)
def test_a_split_that_cannot_be_is_one_clear_line(store: Store, protocol, validation, message) -> None:
    with pytest.raises(InputError, match=message):
        split(store, protocol, ValidationConfig(**validation))


def test_configs_are_checked() -> None:
    with pytest.raises(InputError, match="at least one subject"):
        ValidationConfig(by="subject")
    with pytest.raises(InputError, match="fraction"):
        ValidationConfig(fraction=1.0)
    with pytest.raises(InputError, match="shares a value"):
        Protocol("p", "camera", (1, 2), (2,))
    with pytest.raises(InputError, match="nw-ucla-cross-view"):
        get_protocol("x")
    assert [get_protocol(p.name) for p in PROTOCOLS] == list(PROTOCOLS)


def test_the_real_cross_view_protocol(nw_ucla_store: Store) -> None:
    parts = split(nw_ucla_store, NW_UCLA_CROSS_VIEW, ValidationConfig(fraction=0.1))
    check_apart(nw_ucla_store, parts)
    assert (len(parts.train) + len(parts.validation), len(parts.test)) == (1020, 464)
    assert 90 <= len(parts.validation) <= 115


def test_a_protocol_of_ones_own() -> None:
    assert get_protocol("subject:1,3/2") == Protocol("subject:1,3/2", "subject", (1, 3), (2,))
    assert get_protocol("camera:2") == Protocol("camera:2", "camera", (2,), None)
    for wrong in ("subject:", "subject:a", "colour:1", "subject:1/", "subject:1/1", "subject"):
        with pytest.raises(InputError):
            get_protocol(wrong)
