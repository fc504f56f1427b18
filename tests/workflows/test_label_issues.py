"""Labels that models which were not shown the clips do not believe; lists of clips that are not trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from exchanged_labels import values, write_clips

from sugar.cli.main import main
from sugar.config import parse_config
from sugar.datasets.protocols.protocols import Split
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.evaluation.label_issues import Doubt, confident_classes, label_issues
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.context import prepare
from sugar.training.prepare_split import exclude


def sure_of(*classes: int, probability: float = 0.9, num_classes: int = 3) -> np.ndarray:
    table = np.full((len(classes), num_classes), (1 - probability) / (num_classes - 1))
    table[np.arange(len(classes)), classes] = probability
    return table


def test_an_example_counts_as_a_class_of_which_the_model_is_as_sure_as_of_others() -> None:
    table = np.array([[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.3, 0.7, 0.0], [0.2, 0.5, 0.3], [0.85, 0.15, 0.0]])
    labels = np.array([0, 0, 1, 1, 1])
    # On average 0.8 for the first class and 0.45 for the second; nothing has the third label.
    assert confident_classes(table, labels).tolist() == [0, -1, 1, 1, 0]


def test_a_recording_whose_two_classes_are_exchanged_is_doubted() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1] * 4)
    recordings = np.repeat(np.arange(4), 6).tolist()
    table = sure_of(*labels)
    table[6:12] = sure_of(1, 1, 0, 0, 0, 1)  # one of three is mistaken for what it is said to be
    found = label_issues(table, labels, recordings)
    assert [(doubt.clips, doubt.label, doubt.taken_for) for doubt in found] == [((6, 7, 8), 0, 1), ((9, 10, 11), 1, 0)]
    assert found[0].own == pytest.approx((0.05 + 0.05 + 0.9) / 3)
    assert found[0].other == pytest.approx((0.9 + 0.9 + 0.05) / 3)


def test_the_other_half_of_an_exchange_needs_less_certainty() -> None:
    labels = np.array([0, 0, 1, 1] * 5)
    table = sure_of(*labels)
    table[4:6] = sure_of(1, 1)
    table[6:8] = [[0.5, 0.45, 0.05]] * 2  # rather the first class, surely nothing
    recordings = np.repeat(np.arange(5), 4).tolist()
    assert [doubt.clips for doubt in label_issues(table, labels, recordings)] == [(4, 5), (6, 7)]
    table[4:6] = sure_of(0, 0)
    assert label_issues(table, labels, recordings) == []


def test_single_clips_of_classes_that_look_alike_are_believed() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1] * 4)
    table = sure_of(*labels)
    table[[1, 9, 22]] = sure_of(1, 0, 0)
    assert label_issues(table, labels, np.repeat(np.arange(4), 6).tolist()) == []
    assert label_issues(table, labels, list(range(24)))[0] == Doubt((1,), 0, 1, pytest.approx(0.05), 0.9)


def test_exchanged_labels_are_found_listed_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = write_clips(tmp_path, exchanged=3)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values(tmp_path, exclude="not read here")))
    command = ["lab", "label-issues", str(tmp_path / "c.yaml"), "--by", "camera", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    listing = (tmp_path / "out/doubtful.txt").read_text()
    assert sorted(line for line in listing.splitlines() if not line.startswith("#")) == wrong
    assert "# subject 3, camera 1: 'sit down' (" in listing
    assert "seems to be 'stand up'" in listing
    assert not (tmp_path / "out/round-3").exists()  # the second round found the same
    trained = yaml.safe_load((tmp_path / "out/round-2/camera-1.yaml").read_text())
    assert not set(wrong) & set(trained["train_clips"])
    assert len(trained["test_clips"]) == 24

    metrics = tmp_path / "out/round-2/camera-2/metrics.jsonl"
    before = metrics.read_text()
    (tmp_path / "out/doubtful.txt").unlink()
    assert main(command) == 0  # what is trained is not trained again
    assert (tmp_path / "out/doubtful.txt").read_text() == listing
    assert metrics.read_text() == before

    config, _ = parse_config(RunConfig, values(tmp_path, exclude=str(tmp_path / "out/doubtful.txt")), where="test")
    run = prepare(config, tmp_path / "run")
    assert sorted(run.record["excluded"]) == wrong
    assert not set(wrong) & {run.store.clip_ids[i] for i in run.split.train}
    assert len(run.dataset) == 8 * 2 * 3 - 4
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "height"], "--by height: give a column"),
        (["--by", "camera", "--rounds", "0"], "--rounds 0: give one or more"),
        (["--by", "setup"], "the training clips need a setup each"),
        (["--data.protocol", "camera:1/2", "--by", "camera"], "and two of them or more"),
    ],
)
def test_what_cannot_be_judged_in_parts_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clips(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values(tmp_path)))
    assert main(["lab", "label-issues", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_list_leaves_out_what_trains_and_validates_alone(tmp_path: Path) -> None:
    write_clips(tmp_path)
    store = Store.open(tmp_path / "store")
    test_clip = next(i for i in store.clip_ids if "-p09-" in i)
    training = [i for i in store.clip_ids if "-p01-" in i][:2]
    (tmp_path / "list").write_text(f"# doubtful\n\n{training[0]}  # why\n{test_clip}\n  {training[1]}\n")
    config, _ = parse_config(RunConfig, values(tmp_path, exclude=str(tmp_path / "list")), where="test")
    run = prepare(config, tmp_path / "run")
    assert run.record["excluded"] == training
    assert test_clip in {store.clip_ids[i] for i in run.split.test}
    config.data.exclude = ""
    whole = prepare(config, tmp_path / "whole")
    assert "excluded" not in whole.record
    assert len(whole.dataset) == len(run.dataset) + 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "data.exclude: .*list: cannot be read"),
        ("clap-p01-c1-t01\nnobody", "data.exclude: .*list, line 2: .*no clip 'nobody'"),
        ("CLAPS", "class 'clap' has no training clip in this protocol outside data.exclude"),
    ],
)
def test_lists_that_cannot_be_followed_are_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    write_clips(tmp_path)
    if text == "CLAPS":
        text = "\n".join(i for i in Store.open(tmp_path / "store").clip_ids if i.startswith("clap"))
    if text is not None:
        (tmp_path / "list").write_text(text)
    config, _ = parse_config(RunConfig, values(tmp_path, exclude=str(tmp_path / "list")), where="test")
    with pytest.raises(InputError, match=said):
        prepare(config, tmp_path / "run")


def test_the_list_of_one_data_set_serves_a_combined_store(tmp_path: Path) -> None:
    ids = ("left/a1", "left/a2", "right/a2", "right/b1", "b1")
    clips = [replace(clip, clip_id=name) for clip, name in zip(generate(5, 0, ["clap"]), ids, strict=True)]
    store = write_store(tmp_path / "store", clips, name="both", classes=["clap"], layout=NTU25, source="a test")
    sides = Split(np.array([0, 1, 2, 3]), np.array([], dtype=np.int64), np.array([4]))

    def excluded(listed: str) -> list[str]:
        (tmp_path / "list").write_text(listed)
        return exclude(sides, store, tmp_path / "list")[1]

    assert excluded("a1\nright/a2\n") == ["left/a1", "right/a2"]
    assert excluded("b1\n") == []  # a clip's own name goes first, and that one tests
    with pytest.raises(InputError, match=r"line 1: .*no clip 'a2'"):
        excluded("a2\n")  # of two
