"""Other stages on another run's stage 1: only on one of the same classes, joints and clips."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import values

from sugar.config import parse_config
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.context import Context, prepare
from sugar.training.run import train

Start = Callable[..., Context]
CLASSES = ("bow", "jump", "clap")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_store(folder / "store", generate(12, 1, CLASSES), name="b", classes=CLASSES, layout=NTU25, source="test")
    train(parse_config(RunConfig, values(folder), where="test")[0], folder / "run")
    return folder / "run"


@pytest.fixture
def start(source: Path, tmp_path: Path) -> Start:
    def make(given: Path = source, data: dict[str, Any] | None = None, **changes: Any) -> Context:
        content = values(source.parent, data, stages=["baseline"], start_from=str(given), **changes)
        return prepare(parse_config(RunConfig, content, where="test")[0], tmp_path / "run")

    return make


def copy_with(source: Path, folder: Path, file: str, **changes: Any) -> Path:
    copy = shutil.copytree(source, folder)
    content = json.loads((copy / file).read_text())
    (copy / file).write_text(
        json.dumps({key: value for key, value in (content | changes).items() if value is not None})
    )
    return copy


def test_the_record_names_the_run_and_its_encoder(source: Path, start: Start) -> None:
    record = start().record["start_from"]
    assert record["run"] == str(source)
    assert record["classes"] == 3
    assert len(record["encoder_sha256"]) == 64


def test_a_run_that_saw_an_unseen_class_is_refused(source: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "zsl.yaml").write_text("{base: synthetic-cross-person, unseen: [jump]}")
    with pytest.raises(InputError, match="its classes: the unseen class 'jump' would be trained on; give a run"):
        start(data={"protocol": str(tmp_path / "zsl.yaml")})


def test_classes_must_be_the_same_and_in_the_same_order(source: Path, start: Start, tmp_path: Path) -> None:
    turned = copy_with(source, tmp_path / "turned", "classes.json", classes=["jump", "bow", "clap"])
    with pytest.raises(InputError, match="its classes are this run's in another order"):
        start(turned)
    other = copy_with(source, tmp_path / "other", "classes.json", classes=["bow", "jump", "kick"])
    with pytest.raises(InputError, match="its class 'kick' is none of this run's"):
        start(other)
    fewer = copy_with(source, tmp_path / "fewer", "classes.json", classes=["bow", "jump"])
    with pytest.raises(InputError, match="this run's class 'clap' is none of its"):
        start(fewer)
    layout = json.loads((source / "classes.json").read_text())["layout"] | {"name": "rig25"}
    with pytest.raises(InputError, match="its joint layout is not this run's"):
        start(copy_with(source, tmp_path / "rig", "classes.json", layout=layout))


def test_clips_must_be_divided_alike(source: Path, start: Start, tmp_path: Path) -> None:
    clip = Store.open(source.parent / "store").clip_ids[0]
    (tmp_path / "out.txt").write_text(f"{clip}\n")
    (tmp_path / "labels.txt").write_text(f"{clip}: jump\n")
    for key, value in (
        ("protocol", "camera:1/2"),
        ("validation", {"by": "none"}),
        ("exclude", str(tmp_path / "out.txt")),
        ("relabel", str(tmp_path / "labels.txt")),
    ):
        with pytest.raises(InputError, match=rf"its data\.{key} is .*; make them the same"):
            start(data={key: value})
    with pytest.raises(InputError, match="trained on another store"):
        start(copy_with(source, tmp_path / "other", "environment.json", store_hash="0"))
    with pytest.raises(InputError, match="have changed since"):
        start(copy_with(source, tmp_path / "changed", "environment.json", clips_fingerprint="0"))


def test_the_same_clips_under_another_name_of_the_protocol_will_do(source: Path, start: Start, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("{base: synthetic-cross-person, name: mine}")
    assert "start_from" in start(data={"protocol": str(tmp_path / "p.yaml")}).record


def test_earlier_runs_do_not_say_which_clips_they_had(source: Path, start: Start, tmp_path: Path) -> None:
    earlier = copy_with(source, tmp_path / "earlier", "environment.json", clips_fingerprint=None)
    assert "start_from" in start(earlier).record
    with pytest.raises(InputError, match=r"its data\.validation is"):
        start(earlier, data={"validation": {"by": "none"}})


def test_weights_that_say_nothing_of_themselves_are_refused(source: Path, start: Start, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in source.glob("*.safetensors"):
        shutil.copy(file, bare)
    for folder in (bare, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="no finished run"):
            start(folder)


def test_a_run_without_stage_one_has_no_motion_head_to_take(source: Path, start: Start, tmp_path: Path) -> None:
    config, _ = parse_config(RunConfig, values(source.parent, stages=["baseline"]), where="test")
    train(config, tmp_path / "baseline")
    with pytest.raises(InputError, match=r"no trained motion head; .*model\.motion\.weight 0"):
        start(tmp_path / "baseline")
