"""Clips that hold the same frames, whole or in part."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from sugar.datasets.diagnostics.shared_frames import USUAL, frame_digests, shared_frames
from sugar.datasets.diagnostics.statistics import findings, store_figures
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25


def motion(frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 1, 25, 3)).astype(np.float32)


def test_frames_count_once_and_what_all_start_from_or_nobody_is_in_does_not_count() -> None:
    one, two = motion(20, 0), motion(30, 1)
    pose, nobody = motion(1, 2), np.zeros((5, 1, 25, 3), np.float32)
    first = np.concatenate([pose, one, nobody])
    overlapping = np.concatenate([pose, two, one[8:], one[8:], nobody])
    others = [np.concatenate([pose, motion(4, 3 + k), nobody]) for k in range(USUAL)]
    digests = [frame_digests(joints) for joints in (first, overlapping, *others)]
    assert [len(one) for one in digests[:2]] == [26, 60]
    assert (digests[0][-5:] == 0).all()
    assert shared_frames(digests) == {(0, 1): 12}
    assert shared_frames([]) == {}


def test_copies_and_stretches_that_were_cut_twice_are_found(tmp_path: Path) -> None:
    clips = list(generate(6, 0, ["clap", "squat"]))
    joints = clips[0].joints
    half = len(joints) // 2

    def lines(label: str | None, cut: np.ndarray) -> list[str]:
        other: SkeletonClip = replace(clips[1], joints=cut, label=label, clip_id="other")
        store = write_store(
            tmp_path / "s", [clips[0], other, *clips[2:]], name="s", classes=("clap", "squat"), layout=NTU25, source="t"
        )
        said = [str(finding) for finding in findings(store_figures(store))]
        return [line for line in said if line.startswith("clip")]

    rest = clips[1].joints
    mine = clips[0].label
    its = "squat" if mine == "clap" else "clap"
    (line,) = lines(its, np.concatenate([rest, joints[:half]]))
    assert line.startswith(f"clip {clips[0].clip_id!r}: {half} of its {len(joints)} frames are in 'other' too, ")
    assert f"which is called {its!r}, not {mine!r}; look at both" in line
    (line,) = lines(mine, np.concatenate([rest, joints[:half]]))
    assert "called" not in line
    assert lines(its, np.concatenate([rest, joints[: half - 1]])) == []
    (line,) = lines(None, joints[::-1].copy())
    assert line.startswith(f"clip {clips[0].clip_id!r}: {len(joints)} of its {len(joints)} frames are in 'other' too;")
    (line,) = lines(its, joints)
    copy = f"clip 'other': its joints are those of {clips[0].clip_id!r}, which is called {mine!r}, not {its!r}"
    assert line == f"{copy}; keep one of the two"
