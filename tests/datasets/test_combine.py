"""Several data sets, layouts and class lists in one model: combined stores, views of a store, zero-shot splits."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from sugar import Recognizer
from sugar.cli.main import main
from sugar.config import parse_config, read_yaml
from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store.combine import PROTOCOL_FILE, combine_stores
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.skeleton.layouts import COCO17, KINECT20, NTU25
from sugar.skeleton.retarget import retarget
from sugar.training.config import RunConfig
from sugar.training.context import prepare
from sugar.training.stages import instruction as instruction

FIRST = ("clap", "squat", "kick")
SECOND = ("squat", "bow", "jump")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("stores")
    first = write_store(folder / "a", generate(12, 0, FIRST), name="a", classes=FIRST, layout=NTU25, source="test")
    clips = (retarget(clip, KINECT20) for clip in generate(12, 1, SECOND))
    second = write_store(folder / "b", clips, name="b", classes=SECOND, layout=KINECT20, source="test")
    return first, second


@pytest.fixture(scope="module")
def combined(stores: tuple[Store, Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    protocol = get_protocol("synthetic-cross-person")
    return combine_stores([(store, protocol) for store in stores], tmp_path_factory.mktemp("c") / "both", KINECT20)


def test_combined_stores_keep_clips_classes_and_sides(stores: tuple[Store, Store], combined: Store) -> None:
    assert combined.classes == ("clap", "squat", "kick", "bow", "jump")
    assert combined.layout == KINECT20
    protocol = get_protocol(combined.path / PROTOCOL_FILE)
    assert protocol.lists == (FIRST, SECOND)
    sides = split(combined, protocol, ValidationConfig(by="none"))
    assert len(sides.train) + len(sides.test) == len(combined) == 72
    for store in stores:
        own = split(store, get_protocol("synthetic-cross-person"), ValidationConfig(by="none"))
        for mine, theirs in ((sides.train, own.train), (sides.test, own.test)):
            kept = {combined.clip_ids[i] for i in mine if combined.clip_ids[i].startswith(f"{store.name}/")}
            assert kept == {f"{store.name}/{store.clip_ids[i]}" for i in theirs}
    clip, was = combined[0], stores[0][stores[0].index(combined.clip_ids[0].removeprefix("a/"))]
    assert np.array_equal(clip.joints, retarget(was, KINECT20).joints)
    assert (clip.label, clip.subject, clip.camera, clip.trial) == (was.label, was.subject, was.camera, was.trial)


def test_combining_refuses_what_cannot_be(stores: tuple[Store, Store], tmp_path: Path) -> None:
    part = (stores[0], get_protocol("synthetic-cross-person"))
    with pytest.raises(InputError, match="names that differ"):
        combine_stores([part, part], tmp_path / "x", NTU25)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="not a store is already there"):
        combine_stores([part], tmp_path / "mine", NTU25)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_view_has_other_classes_and_another_layout(stores: tuple[Store, Store]) -> None:
    store = stores[0]
    view = store.view(classes=("kick", "clap"), layout=KINECT20)
    assert view.classes == ("kick", "clap")
    assert {name: int((view.labels == i).sum()) for i, name in enumerate(view.classes)} == {"kick": 12, "clap": 12}
    assert int((view.labels < 0).sum()) == 12
    for i in range(len(store)):
        assert view[i].label == (store[i].label if store[i].label != "squat" else None)
    assert view[3].layout == KINECT20
    assert np.array_equal(view[3].joints, retarget(store[3], KINECT20).joints)
    again = pickle.loads(pickle.dumps(view))
    assert (again.classes, again.layout, again.hash) == (view.classes, view.layout, store.hash)
    assert np.array_equal(again[3].joints, view[3].joints)
    assert store.classes == FIRST  # untouched
    with pytest.raises(InputError, match="no class 'fly'"):
        store.view(classes=("fly",))


def config(path: Path, store: Store, **data: str) -> Path:
    tiny = {"loop": {"epochs": 2, "batch_size": 16}}
    values = {
        "data": {"store": str(store.path), "validation": {"by": "none"}} | data,
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 16},
        "stages": ["alignment"],
        "alignment": tiny,
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_model_of_all_recognizes_each_store_in_its_own_layout(
    stores: tuple[Store, Store], combined: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path / "c.yaml", combined, protocol=str(combined.path / PROTOCOL_FILE))
    run = tmp_path / "run"
    assert main(["train", str(path), "--out", str(run)]) == 0
    for store in stores:
        capsys.readouterr()
        arguments = ["--store", str(store.path), "--protocol", "synthetic-cross-person", "--json"]
        assert main(["eval", str(run), *arguments, "--out", str(tmp_path / store.name)]) == 0
        assert json.loads(capsys.readouterr().out)["n"] == 12
        report = json.loads((tmp_path / store.name / "report.json").read_text())
        assert report["classes"] == list(store.classes)
    model = Recognizer.load(run)
    found = model.recognize(stores[0][0], candidates=FIRST)  # NTU's joints, a model of Kinect's
    assert set(found.scores["text"]) == set(FIRST)
    flat = retarget(stores[0][0], COCO17)
    with pytest.raises(InputError, match="cannot become 3-D layout kinect20"):
        model.recognize(flat)


def test_classes_of_two_stores_need_not_be_told_apart(
    stores: tuple[Store, Store], combined: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path / "c.yaml", combined, protocol=str(combined.path / PROTOCOL_FILE))
    values = yaml.safe_load(path.read_text())
    values["stages"] = ["alignment", "baseline", "instruction"]
    values["baseline"] = values["instruction"] = values["alignment"]
    values["model"] |= {"alignment": {"negative_classes": "own_list"}, "soft_label_tokens": True}
    path.write_text(yaml.safe_dump(values))
    parsed, _ = parse_config(RunConfig, read_yaml(path), where="test")
    run = prepare(parsed, tmp_path / "class_groups")
    assert run.class_groups is not None
    lists: list[list[str]] = []
    draw = instruction.draw_candidates
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instruction, "draw_candidates", lambda *a: lists.append(draw(*a)) or lists[-1])
        assert main(["train", str(path), "--out", str(tmp_path / "run")]) == 0
    without = [set(names) for names in lists if "squat" not in names]  # which is on both
    assert all(names <= set(FIRST) or names <= set(SECOND) for names in without)
    assert {name for names in lists for name in names} == {*FIRST, *SECOND}
    values["data"]["protocol"] = "subject:1-8"
    path.write_text(yaml.safe_dump(values))
    capsys.readouterr()
    assert main(["train", str(path), "--out", str(tmp_path / "none")]) == 2
    assert "is on none of its lists" in capsys.readouterr().err


def test_unseen_classes_stay_out_of_training(stores: tuple[Store, Store], tmp_path: Path) -> None:
    protocol = tmp_path / "zsl.yaml"
    protocol.write_text("base: synthetic-cross-person\nunseen: [kick]\n")
    path = config(tmp_path / "c.yaml", stores[0], protocol=str(protocol))
    run = tmp_path / "run"
    assert main(["train", str(path), "--out", str(run)]) == 0
    assert Recognizer.load(run).classes == ("clap", "squat")
    for file in run.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".jsonl", ".txt", ".safetensors"):
            assert b"kick" not in file.read_bytes(), file
    assert main(["eval", str(run), "--out", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["classes"] == ["kick"]
    assert report["n"] == 4
