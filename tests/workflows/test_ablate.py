"""Ablations: what rows share, what a started run loses (nothing), what is left after a failure or a signal."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file

from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.skeleton.layouts import NTU25
from sugar.training import run as training_run
from sugar.training.engine.interruption import Interrupted
from sugar.training.run import train
from sugar.transforms.batches import ClipBatch, collate
from sugar.workflows import ablate as ablation
from sugar.workflows.ablate import baseline_config, config_hash, llm_folders, run_table, stage_one_config
from sugar.workflows.ablation_table import change, read_table

CLASSES = ("clap", "kick", "squat", "bow")
QUICK = {"loop": {"epochs": 1, "batch_size": 16, "tensorboard": "off"}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    store = folder / "store"
    write_store(store, generate(12, 0, CLASSES), name="synthetic", classes=CLASSES, layout=NTU25, source="test")
    values = {
        "data": {"store": str(store), "protocol": "synthetic-cross-person", "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "model": {
            "frames": 16,
            "encoder": {"branches": []},
            "motion": {"phrasings": 1},
            "language": {"lora_rank": 4},
            "projector": {"num_queries": 2},
        },
        "alignment": QUICK,
        "baseline": QUICK,
        "instruction": QUICK,
        "stages": ["alignment", "baseline"],
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(values))
    return folder / "base.yaml"


def write_table(base: Path, name: str, **values: Any) -> Path:
    path = base.with_name(f"{name}.yaml")
    path.write_text(
        yaml.safe_dump({"base": base.name, "seeds": [0], "scores": ["fc", "text"]} | values, sort_keys=False)
    )
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were trained."""
    folders: list[Path] = []

    def noted(config: Any, out: Path, *, resume: bool) -> object:
        folders.append(out)
        return train(config, out, resume=resume)

    monkeypatch.setattr(ablation, "train", noted)
    return folders


def quiet() -> Console:
    return Console(file=open(os.devnull, "w"), width=200)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_rows_share_what_does_not_differ(base: Path, tmp_path: Path, trained: list[Path]) -> None:
    rows = {"names": {"knowledge.kinds": []}, "both": {}}
    table = write_table(base, "shares", rows=rows, seeds=[0, 1], title="Which texts")
    result = run_table(table, tmp_path / "out", console=quiet())
    # A seed: stage 1 with names and with texts, one baseline, and two runs that start from them.
    assert len([folder for folder in trained if folder.parent.name == "stage1"]) == 2 * 3
    assert len([folder for folder in trained if folder.parent.name == "runs"]) == 2 * 2
    assert result["failures"] == {}
    assert result["missing"] == []
    assert list(result["rows"]) == ["names", "both"]
    assert result["varies"] == {"knowledge.kinds": {"names": [], "both": ["motion", "visual"]}}
    names = result["rows"]["names"]
    reports = [json.loads((tmp_path / "out/reports" / name / "report.json").read_text()) for name in names["reports"]]
    assert [r["seed"] for r in reports] == names["seeds"] == [0, 1]
    values = [r["scores"]["text"]["top1"] for r in reports]
    assert names["scores"]["text"]["top1"]["values"] == values
    assert names["scores"]["text"]["top1"]["mean"] == pytest.approx(sum(values) / 2)
    paired = names["differences"]["text"]["top1"]
    assert paired["difference"] == pytest.approx(paired["a"] - paired["b"])
    assert paired["b"] == pytest.approx(result["rows"]["both"]["scores"]["text"]["top1"]["mean"])
    assert names["differences"]["fc"]["top1"]["difference"] == 0  # the same baseline
    assert "differences" not in result["rows"]["both"]
    assert {"alignment", "baseline", "evaluate", "run"} == set(names["seconds"])
    assert json.loads((tmp_path / "out/table.json").read_text()) == json.loads(json.dumps(result))
    page = (tmp_path / "out/table.md").read_text()
    assert "## Which texts" in page
    assert "| names |" in page
    assert "`knowledge.kinds`: names: none; both: motion, visual" in page

    trained.clear()
    assert run_table(table, tmp_path / "out", console=quiet()) == result
    assert trained == []


def test_a_started_run_loses_nothing(base: Path, tmp_path: Path) -> None:
    """Stage 1, baseline and stage 2 in two runs end with the weights of one run of all three, bit for bit."""
    table = write_table(
        base, "whole", rows={"all": {"stages": ["alignment", "baseline", "instruction"]}}, scores=["llm"]
    )
    result = run_table(table, tmp_path / "out", console=quiet())
    assert result["failures"] == {}
    train(read_table(table).config("all", 0), tmp_path / "plain")
    expected = weights(tmp_path / "plain")
    parts = ("encoder", "projection", "motion", "motion_reference", "baseline", "projector")
    assert set(expected) == {f"{part}.safetensors" for part in parts}
    assert weights(tmp_path / "out/runs/all-0") == expected
    adapters = [
        load_file(run / "adapter/adapter_model.safetensors")
        for run in (tmp_path / "plain", tmp_path / "out/runs/all-0")
    ]
    assert all((adapters[0][name] == adapters[1][name]).all() for name in adapters[0].keys() | adapters[1].keys())
    assert set(result["rows"]["all"]["seconds"]) == {"alignment", "baseline", "instruction", "evaluate", "run"}
    assert result["llms"][0]["hash_before"] == result["llms"][0]["hash_after"]


def test_a_failed_row_leaves_the_others(base: Path, tmp_path: Path, trained: list[Path]) -> None:
    rows = {
        "lost": {"knowledge.pack": "nowhere.yaml"},
        "lost too": {"knowledge.pack": "nowhere.yaml", "model.views": [{"stop": 0.9}]},
        "good": {},
    }
    table = write_table(base, "failing", rows=rows, **{"common": {"stages": ["alignment"]}}, scores=["text"])
    result = run_table(table, tmp_path / "out", console=quiet())
    assert set(result["failures"]) == {"lost-0", "lost-too-0"}
    assert "nowhere.yaml" in result["failures"]["lost-0"]
    assert len(trained) == 3  # what both lost rows share was tried once; then the good row's
    assert result["rows"]["good"]["scores"]["text"]["top1"]["mean"] > 0
    assert result["rows"]["lost"]["scores"] == {}
    assert "- lost-0: FAILED: " in (tmp_path / "out/table.md").read_text()
    assert "Traceback" in (tmp_path / "out/failures/lost-0.txt").read_text()


def test_other_settings_do_not_mix_in_one_folder(base: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"common": {"stages": ["alignment"]}, "scores": ["text"]}
    run_table(write_table(base, "changing", rows={"one": {}}, **values), tmp_path / "out", console=quiet())
    changed = write_table(base, "changing", rows={"one": {"model.views": [{"stop": 0.9}]}}, **values)
    result = run_table(changed, tmp_path / "out", console=quiet())
    assert "was started with other settings (model.views was" in result["failures"]["one-0"]


def interrupt_at(batch: int) -> Callable[[list[Any]], ClipBatch]:
    """`collate` that sends the process SIGINT when it makes that batch."""
    made = 0

    def collating(items: list[Any]) -> ClipBatch:
        nonlocal made
        made += 1
        if made == batch:
            os.kill(os.getpid(), signal.SIGINT)
        return collate(items)

    return collating


def test_an_interrupted_ablation_goes_on(
    base: Path, tmp_path: Path, trained: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {"common": {"stages": ["alignment"]}, "scores": ["text"]}
    table = write_table(base, "signals", rows={"row": {}}, **values)
    whole = run_table(table, tmp_path / "whole", console=quiet())
    out = tmp_path / "out"
    with monkeypatch.context() as patch:  # in training, a step before its end
        patch.setattr(training_run, "collate", interrupt_at(steps(base) - 1))
        with pytest.raises(Interrupted, match="resume"):
            run_table(table, out, console=quiet())
    assert not (out / "table.json").exists()
    moved = out.rename(tmp_path / "moved")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # and again in its evaluation
        patch.setattr(ablation, "evaluate_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_table(table, moved, console=quiet())
    trained.clear()
    result = run_table(table, moved, console=quiet())
    assert trained == []
    assert result["rows"]["row"]["scores"] == whole["rows"]["row"]["scores"]
    assert weights(moved / "runs/row-0") == weights(tmp_path / "whole/runs/row-0")


def steps(base: Path) -> int:
    """Batches of an epoch: the training side of `base`'s store in batches of 16."""
    from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
    from sugar.datasets.store.store import Store

    protocol = get_protocol("synthetic-cross-person")
    sides = split(Store.open(base.with_name("store")), protocol, ValidationConfig(by="none"))
    return -(-len(sides.train) // 16)


def test_some_rows_and_seeds_alone(base: Path, tmp_path: Path) -> None:
    values: dict[str, Any] = {"common": {"stages": ["alignment"]}, "scores": ["text"]}
    vary = {"model.alignment.visual_texts": [1, 2]}
    table = write_table(base, "some", vary=vary, reference=1, short={"model.frames": 8}, **values)
    result = run_table(table, tmp_path / "out", rows=["visual_texts 2"], seeds=[5], short=True, console=quiet())
    assert result["seeds"] == [0, 5]
    assert result["missing"] == ["visual_texts-1-0", "visual_texts-1-5", "visual_texts-2-0"]
    assert result["reference"] == "visual_texts 1"
    assert result["rows"]["visual_texts 2"]["value"] == 2
    assert result["rows"]["visual_texts 2"]["differences"] == {}
    assert "not run: visual_texts-1-0" in (tmp_path / "out/table.md").read_text()
    with pytest.raises(InputError, match="no row '2'"):
        run_table(table, tmp_path / "out", rows=["2"], console=quiet())


def test_what_stage_one_and_the_baseline_depend_on(base: Path) -> None:
    rows = {
        "plain": {},
        "projector": {"model.projector.kind": "linear", "instruction.loop.epochs": 9, "model.language.lora": False},
        "texts": {"knowledge.kinds": ["motion"], "model.alignment.cross_entropy": 1},
        "frames": {"model.frames": 20},
        "baseline": {"baseline.loop.epochs": 2},
    }
    table = read_table(write_table(base, "depends", rows=rows))
    first = {row: config_hash(stage_one_config(table.config(row, 0))) for row in rows}
    second = {row: config_hash(baseline_config(table.config(row, 0))) for row in rows}
    assert first["plain"] == first["projector"] == first["baseline"]
    assert len(set(first.values())) == 3
    assert second["plain"] == second["projector"] == second["texts"]
    assert len(set(second.values())) == 3
    other = table.config("plain", 1)
    assert config_hash(stage_one_config(other)) != first["plain"]
    assert config_hash(baseline_config(other)) != second["plain"]
    assert config_hash(replace(other, seed=0)) == config_hash(table.config("plain", 0))


def test_changes_merge_nested_and_dotted() -> None:
    values: dict[str, Any] = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": 2}
    kept = values["a"]
    change(values, {"a.b.c": 3, "a": {"d": [3], "f.g": 4}, "h.i": 5})
    change(values, {"a.b": None, "a": None})  # nothing below a section's name: nothing changes
    assert values == {"a": {"b": {"c": 3}, "d": [3], "f": {"g": 4}}, "e": 2, "h": {"i": 5}}
    assert kept == {"b": {"c": 1}, "d": [1, 2]}


def test_an_llm_is_named_by_its_folder(base: Path) -> None:
    rows = {"other": {"model.language.name": "tiny"}, "own": {}}
    table = read_table(write_table(base, "llms", rows=rows))
    llm = llm_folders(["tiny=models/tiny"])
    assert table.config("other", 0, llm=llm).model.language.name == "models/tiny"
    assert table.config("own", 0, llm=llm).model.language.name == "sugar-lm"
    assert table.config("own", 0, llm=llm_folders(["models/a"])).model.language.name == "models/a"
    assert table.config("own", 0, store="elsewhere").data.store == "elsewhere"
    for wrong in (["=a"], ["a="], ["a", "b"], [""]):
        with pytest.raises(InputError, match="--llm"):
            llm_folders(wrong)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "either 'rows' or 'vary'"),
        ({"rows": {}}, "at least one"),
        ({"rows": {"a": {}}, "vary": {"seed": [1]}}, "either 'rows' or 'vary'"),
        ({"rows": {True: {}}}, "row True"),
        ({"rows": {"a/b": {}}}, "row 'a/b'"),
        ({"rows": {"a b": {}, "a,b": {}}}, "differ in more"),
        ({"rows": {"a": 3}}, "row 'a' must be a mapping"),
        ({"rows": {"a": {}}, "reference": "b"}, "reference 'b' is no row"),
        ({"rows": {"a": {}}, "seeds": [1, 1]}, "seeds"),
        ({"rows": {"a": {}}, "scores": ["best"]}, "scores"),
        ({"rows": {"a": {}}, "sedes": [1]}, "unknown key 'sedes'"),
        ({"vary": {"model.frames": []}}, "vary"),
        ({"vary": {"model.frames": [1, 1]}}, "twice"),
    ],
)
def test_a_wrong_table_is_refused(base: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_table(write_table(base, "wrong", **values))


def test_a_table_names_its_base(tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text("rows: {a: {}}\n")
    with pytest.raises(InputError, match="base must name"):
        read_table(tmp_path / "table.yaml")


def test_a_wrong_setting_is_refused_before_any_training(base: Path, tmp_path: Path) -> None:
    table = write_table(base, "misspelt", rows={"a": {}, "b": {"model.frame": 3}})
    with pytest.raises(InputError, match=r"misspelt\.yaml, row 'b'"):
        run_table(table, tmp_path / "out", console=quiet())
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="no short form"):
        run_table(write_table(base, "long", rows={"a": {}}), tmp_path / "out", short=True, console=quiet())
