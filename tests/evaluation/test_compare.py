"""Two reports of the same clips: what differs, how sure that is, and which clips flipped."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sugar.errors import InputError
from sugar.evaluation.compare import compare, compare_markdown
from sugar.evaluation.metrics import compare_paired
from sugar.evaluation.paired import paired_difference, sign_flip_test
from sugar.evaluation.report import evaluate
from sugar.reports.report_files import write_report

CLASSES = ("bow", "clap", "kick")


def table(said: Sequence[int], sure: float = 0.8) -> NDArray[np.float64]:
    """Probabilities whose most probable class is ``said``."""
    probabilities = np.full((len(said), len(CLASSES)), (1 - sure) / 2)
    probabilities[np.arange(len(said)), said] = sure
    return probabilities


def report(
    folder: Path,
    said: Sequence[int],
    labels: Sequence[int],
    *,
    seed: int = 0,
    ids: Sequence[str] | None = None,
    classes: Sequence[str] = CLASSES,
) -> Path:
    result = evaluate(
        {"text": table(said), "fc": table(labels)},
        labels,
        classes,
        protocol="p",
        split="test",
        data_hash="d",
        seed=seed,
        clip_ids=ids or [f"clip {i:03d}" for i in range(len(labels))],
    )
    write_report(result, folder)
    return folder


LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
A = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 1, 1]  # two wrong
B = [0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 2, 1]  # five wrong; right where a is wrong once


def test_differences_classes_and_flips(tmp_path: Path) -> None:
    found = compare(report(tmp_path / "a", A, LABELS), report(tmp_path / "b", B, LABELS))
    assert found["n"] == 12
    assert list(found["scores"]) == ["text", "fc"]
    text = found["scores"]["text"]
    top1 = text["differences"]["top1"]
    assert (top1["a"], top1["b"]) == (pytest.approx(10 / 12), pytest.approx(7 / 12))
    assert top1["difference"] == pytest.approx(3 / 12)
    assert top1["interval"][0] < 0.25 < top1["interval"][1]
    assert top1["deviation"] is None
    assert (text["only_a"], text["only_b"]) == (4, 1)
    assert top1["p_value"] == pytest.approx(2 * (1 + 5) / 32)  # McNemar: 4 against 1
    assert [(c["class"], c["n"]) for c in text["classes"]] == [("kick", 4), ("bow", 4), ("clap", 4)]
    assert [c["difference"] for c in text["classes"]] == pytest.approx([0.0, 0.25, 0.5])
    assert {f["clip_id"]: f["right"] for f in text["flipped"]} == {
        **{"clip 003": "a", "clip 006": "a", "clip 007": "a", "clip 008": "a"},
        "clip 010": "b",
    }
    flip = next(f for f in text["flipped"] if f["clip_id"] == "clip 003")
    assert (flip["label"], flip["a"], flip["b"]) == ("bow", ["bow"], ["clap"])
    none = found["scores"]["fc"]["differences"]["top1"]
    assert (none["difference"], none["interval"], none["p_value"]) == (0, [0, 0], 1)
    json.dumps(found, allow_nan=False)
    text_form = compare_markdown(found)
    assert "| `text` top1 | 83.3 | 58.3 | +25.0 |" in text_form
    assert "better in a: clap 50 to 100 (n 4), bow 75 to 100 (n 4)" in text_form
    assert "clip 003 (bow): a bow; b clap" in text_form


def test_one_seed_agrees_with_the_pairs_of_a_report() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 200)
    a, b = (table(np.where(rng.random(200) < share, labels, (labels + 1) % 3)) for share in (0.9, 0.8))
    expected = compare_paired(a, b, labels)
    right = [(side.argmax(axis=1) == labels).astype(float)[None] for side in (a, b)]
    found = paired_difference(*right)
    assert found.difference == pytest.approx(expected.difference)
    assert found.p_value == pytest.approx(expected.p_value)
    assert found.interval == pytest.approx(expected.interval, abs=0.012)


def test_clips_are_drawn_with_all_their_seeds() -> None:
    """Two seeds that say the same are no more certain than one; the bootstrap's width is that of the clips."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((1, 400)) < share for share in (0.8, 0.7))
    one = paired_difference(a.astype(float), b.astype(float))
    two = paired_difference(np.repeat(a, 2, axis=0).astype(float), np.repeat(b, 2, axis=0).astype(float))
    assert two.interval == one.interval
    assert two.deviation == 0
    width = 2 * 1.96 * (a[0].astype(float) - b[0]).std() / np.sqrt(400)
    assert one.interval[1] - one.interval[0] == pytest.approx(width, rel=0.1)
    independent = (rng.random((2, 400)) < np.array([[0.8], [0.7]])).astype(float)
    assert paired_difference(independent, independent[::-1]).deviation is not None
    assert paired_difference(independent, independent[:1]).deviation is None


def test_mean_class_weighs_classes_alike() -> None:
    groups = np.array([0] * 90 + [1] * 10)
    a, b = np.ones((1, 100)), np.concatenate([np.ones(90), np.zeros(10)])[None]
    assert paired_difference(a, b).difference == pytest.approx(0.1)
    found = paired_difference(a, b, groups)
    assert (found.difference, found.interval) == (0.5, (0.5, 0.5))
    assert found.p_value is None


def test_sign_flips_match_all_flips_counted() -> None:
    differences = np.array([1, 1, 0.5, -0.5, 0, 1, 0.5, 0.5])
    flips = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    exact = (np.abs((flips * differences).sum(axis=1)) >= abs(differences.sum()) - 1e-9).mean()
    assert sign_flip_test(differences) == pytest.approx(exact, abs=0.01)
    assert sign_flip_test(np.zeros(5)) == 1
    assert sign_flip_test(np.ones(400)) < 1e-9


def test_seeds_of_a_side_are_averaged(tmp_path: Path) -> None:
    a = [report(tmp_path / f"a{s}", said, LABELS, seed=s) for s, said in ((0, A), (1, LABELS))]
    b = [report(tmp_path / f"b{s}", said, LABELS, seed=s) for s, said in ((0, B), (1, B))]
    top1 = compare(a, b)["scores"]["text"]["differences"]["top1"]
    assert top1["difference"] == pytest.approx((3 / 12 + 5 / 12) / 2)
    assert top1["deviation"] == pytest.approx(np.std([3 / 12, 5 / 12], ddof=1))
    assert compare(a, b[:1])["scores"]["text"]["differences"]["top1"]["deviation"] is None
    with pytest.raises(InputError, match="seed of its own"):
        compare([a[0], a[0]], b)


def test_order_of_clips_and_classes_does_not_matter(tmp_path: Path) -> None:
    ids = [f"clip {i:03d}" for i in range(12)]
    a = report(tmp_path / "a", A, LABELS)
    turned = [2 - label for label in LABELS[::-1]], [2 - said for said in B[::-1]]
    b = report(tmp_path / "b", turned[1], turned[0], ids=ids[::-1], classes=CLASSES[::-1])
    plain = report(tmp_path / "plain", B, LABELS)
    assert compare(a, b)["scores"] == compare(a, plain)["scores"]


def test_a_run_folder_is_found_by_its_report(tmp_path: Path) -> None:
    report(tmp_path / "run" / "report", A, LABELS)
    file = report(tmp_path / "b", B, LABELS) / "report.json"
    found = compare(tmp_path / "run", file, scorers=["text"])
    assert list(found["scores"]) == ["text"]
    assert found["a"] == [str(tmp_path / "run" / "report")]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    a = report(tmp_path / "a", A, LABELS)
    with pytest.raises(InputError, match=r"different clips \(4, 'clip 010'"):
        compare(a, report(tmp_path / "ids", A, LABELS, ids=[f"clip {i:03d}" for i in (*range(10), 20, 21)]))
    with pytest.raises(InputError, match="clip 'clip 003' different labels"):
        compare(a, report(tmp_path / "labels", A, [*LABELS[:3], 1, *LABELS[4:]]))
    with pytest.raises(InputError, match=r"other candidates \('jump'"):
        compare(a, report(tmp_path / "classes", A, LABELS, classes=("bow", "clap", "jump")))
    with pytest.raises(InputError, match="scorer 'llm' is not on both sides"):
        compare(a, a, scorers=["llm"])
    with pytest.raises(InputError, match="no such report"):
        compare(a, tmp_path / "nowhere")
    (a / "probabilities.npz").unlink()
    with pytest.raises(InputError, match="run `sugar eval` again"):
        compare(a, a)
    (a / "probabilities.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="damaged"):
        compare(a, a)
