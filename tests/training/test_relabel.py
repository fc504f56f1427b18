"""Labels that a run fixes before it divides its clips."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exchanged_labels import values, write_clips

from sugar.config import parse_config
from sugar.datasets.protocols.protocols import ValidationConfig
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.skeleton.layouts import NTU25
from sugar.training.config import DataConfig, RunConfig
from sugar.training.context import prepare
from sugar.training.prepare_split import prepare_split, relabel


def test_a_run_takes_the_mended_labels(tmp_path: Path) -> None:
    wrong = write_clips(tmp_path, exchanged=3)
    store = Store.open(tmp_path / "store")
    other = {"sit down": "stand up", "stand up": "sit down"}
    fixed = {clip_id: other[store[store.index(clip_id)].label or ""] for clip_id in wrong}
    tests = next(clip_id for clip_id in store.clip_ids if "-p09-" in clip_id and clip_id.startswith("sit"))
    lines = [f"{clip_id}: {name}\n" for clip_id, name in fixed.items()]
    lines.append(f"{tests}: sit down\n")  # has it already
    (tmp_path / "labels.txt").write_text("# exchanged\n" + "".join(lines))
    config, _ = parse_config(RunConfig, values(tmp_path, relabel=str(tmp_path / "labels.txt")), where="test")
    run = prepare(config, tmp_path / "run")
    assert sorted(run.record["relabeled"]) == wrong
    rows = [store.index(clip_id) for clip_id in wrong]
    assert [run.classes[k] for k in run.store.labels[rows]] == list(fixed.values())
    assert [run.dataset[i].label for i, row in enumerate(run.split.train) if row in rows] == [
        run.store.labels[row] for row in run.split.train if row in rows
    ]
    assert (Store.open(tmp_path / "store").labels == store.labels).all()
    config.data.relabel = ""
    assert "relabeled" not in prepare(config, tmp_path / "plain").record


def test_mended_labels_go_into_views_and_worker_processes(tmp_path: Path) -> None:
    write_clips(tmp_path)
    store = Store.open(tmp_path / "store")
    (tmp_path / "labels.txt").write_text(f"{store.clip_ids[0]}: clap\n")
    fixed, _ = relabel(store, tmp_path / "labels.txt")
    view = fixed.view(classes=("stand up", "clap"))
    assert view[0].label == "clap"
    assert view.labels[0] == 1
    copy = pickle.loads(pickle.dumps(view))
    assert (copy.labels == view.labels).all()
    assert copy.classes == view.classes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "data.relabel: .*labels.txt: cannot be read"),
        (
            "# none\n{first}\n",
            "data.relabel: .*labels.txt, line 2: '{first}': write a clip's id and its class, ID: CLASS",
        ),
        ("nobody: clap\n", "data.relabel: .*labels.txt, line 1: .*no clip 'nobody'"),
        ("{first}: fly # away\n", "labels.txt, line 1: .*no class 'fly'; give one of its names"),
    ],
)
def test_files_that_cannot_be_followed_are_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    write_clips(tmp_path)
    first = Store.open(tmp_path / "store").clip_ids[0]
    if text is not None:
        (tmp_path / "labels.txt").write_text(text.replace("{first}", first))
    config, _ = parse_config(RunConfig, values(tmp_path, relabel=str(tmp_path / "labels.txt")), where="test")
    with pytest.raises(InputError, match=said.replace("{first}", first)):
        prepare(config, tmp_path / "run")


def test_the_file_of_one_data_set_serves_a_combined_store(tmp_path: Path) -> None:
    ids = ("left/a1", "right/b1", "right/a2")
    clips = [replace(clip, clip_id=name) for clip, name in zip(generate(3, 0, ["clap"]), ids, strict=True)]
    store = write_store(tmp_path / "s", clips, name="both", classes=["clap", "wave"], layout=NTU25, source="a test")
    (tmp_path / "labels.txt").write_text("a1: wave\nright/a2: wave\n")
    fixed, changed = relabel(store, tmp_path / "labels.txt")
    assert changed == ["left/a1", "right/a2"]
    assert np.array_equal(fixed.labels, [1, 0, 1])


def test_a_mended_label_does_not_bring_a_tested_clip_into_training(tmp_path: Path) -> None:
    write_clips(tmp_path)
    store = Store.open(tmp_path / "store")
    (tmp_path / "p.yaml").write_text("unseen: [clap]\n")
    unseen, seen = (next(i for i in store.clip_ids if store[store.index(i)].label == k) for k in ("clap", "sit down"))
    (tmp_path / "labels.txt").write_text(f"{seen}: clap\n")
    data = DataConfig(
        store=str(tmp_path / "store"),
        protocol=str(tmp_path / "p.yaml"),
        validation=ValidationConfig(by="none"),
        relabel=str(tmp_path / "labels.txt"),
    )
    assert store.index(seen) not in prepare_split(data).split.train  # an action that is never trained
    (tmp_path / "labels.txt").write_text(f"{unseen}: sit down\n")
    with pytest.raises(InputError, match=f"clip '{unseen}' would train, but is tested"):
        prepare_split(data)
    data.relabel = ""
    assert store.index(unseen) in prepare_split(data).split.test
