"""A run as a whole: what its folder holds, what a resumed one notices, and several processes of one."""

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import yaml
from safetensors.torch import load_file
from tiny_runs import values

from sugar.config import parse_config
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.knowledge.pack import load_pack
from sugar.models.run_folder import load_model
from sugar.skeleton.layouts import NTU25
from sugar.training import run as training_run
from sugar.training.config import RunConfig
from sugar.training.context import prepare
from sugar.training.engine.fit import FitResult
from sugar.training.engine.precision import Precision
from sugar.training.run import STAGES, choose_fusion, train, train_stage, write_run
from sugar.workflows.evaluate import evaluate_run

CLASSES = ("bow", "jump", "clap")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_store(folder / "store", generate(12, 1, CLASSES), name="s", classes=CLASSES, layout=NTU25, source="test")
    return folder


def config_of(folder: Path, data: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    return parse_config(RunConfig, values(folder, data, **changes), where="test")[0]


def test_the_baseline_alone_makes_a_run_that_loads(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config_of(folder, stages=["baseline"]), run)
    assert json.loads((run / "classes.json").read_text())["parts"] == ["baseline"]
    loaded = load_model(run)
    assert loaded.motion is None
    assert loaded.baseline is not None
    scores = evaluate_run(run, tmp_path / "report", side="validation", describe=False)["scores"]
    assert {"fc", "text"} <= scores.keys()
    assert "motion" not in scores


def test_the_whole_model_is_where_a_stage_trains(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Validation asks more than the part in training: on a GPU the baseline alone used to be there."""

    class Elsewhere:
        device = torch.device("meta")

    run = prepare(config_of(folder, stages=["baseline"]), tmp_path / "run")
    places: list[tuple[str, str]] = []

    def fit(objective: torch.nn.Module, *_: Any, **__: Any) -> FitResult:
        objective.to("meta")  # as accelerate does
        places.append((run.model.device.type, next(objective.parameters()).device.type))
        return FitResult(steps=1, seconds=0.0, loss=0.0, validation={}, precision=Precision("float32", "a test"))

    monkeypatch.setattr(training_run, "processes", Elsewhere)
    monkeypatch.setattr(training_run, "fit", fit)
    train_stage(run, STAGES["baseline"])
    assert places == [("meta", "meta")]


def test_a_resumed_run_notices_other_texts_and_labels(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    run, labels = tmp_path / "run", tmp_path / "labels.txt"
    store = Store.open(folder / "store")
    ids = [store.clip_ids[i] for i in range(len(store)) if store.column("subject")[i] == 1][:2]
    labels.write_text(f"{ids[0]}: jump\n")
    config = config_of(folder, {"relabel": str(labels)})
    train(config, run)
    train(config, run, resume=True)  # nothing has changed

    labels.write_text(f"{ids[1]}: jump\n")
    with pytest.raises(InputError, match=r"other settings \(.*the clips or labels changed\)"):
        train(config, run, resume=True)
    labels.write_text(f"{ids[0]}: jump\n")

    pack = load_pack("synthetic")
    for field, said in (("visual", "knowledge texts"), ("motion_sentences", "motion sentences")):
        texts = getattr(pack["bow"], field)
        fixed = replace(pack["bow"], **{field: (*texts[:-1], "the head moves down" if len(texts) < 2 else texts[0])})
        classes = tuple(fixed if entry.name == "bow" else entry for entry in pack.classes)
        monkeypatch.setattr(
            "sugar.training.context.load_pack", lambda _, classes=classes: replace(pack, classes=classes)
        )
        with pytest.raises(InputError, match=rf"other settings \(the {said} changed\)"):
            train(config, run, resume=True)
    monkeypatch.undo()
    train(config, run, resume=True)


def test_validation_clips_are_those_that_the_run_held_out(folder: Path, tmp_path: Path) -> None:
    """Under fixed labels a fraction of each class is other clips than under the store's own."""
    store, out = Store.open(folder / "store"), tmp_path / "run"
    trains = [i for i in range(len(store)) if store.column("subject")[i] <= 8]
    fixed = {store.clip_ids[i]: CLASSES[(store.labels[i] + 1) % 3] for i in trains[:40:3]}
    (tmp_path / "labels.txt").write_text("".join(f"{clip}: {name}\n" for clip, name in fixed.items()))
    config = config_of(folder, {"relabel": str(tmp_path / "labels.txt")})
    run = prepare(config, out)
    train_stage(run, STAGES["alignment"])
    choose_fusion(run)
    write_run(run)
    held_out = [store.clip_ids[i] for i in run.split.validation]
    assert held_out != [store.clip_ids[i] for i in prepare(config_of(folder), tmp_path / "plain").split.validation]
    for number, given in enumerate((None, folder / "store")):
        report = tmp_path / f"report-{number}"
        evaluate_run(out, report, store=given, side="validation", describe=False)
        with np.load(report / "probabilities.npz") as tables:
            assert tables["clip_ids"].tolist() == held_out


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _process(rank: int, port: int, folder: str) -> None:
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"},
    }
    torch.set_num_threads(1)
    here = Path(folder)
    config = config_of(here, stages=["alignment", "baseline"])
    saved: list[Path] = []
    save = training_run.save_model
    training_run.save_model = lambda model, to: (saved.append(to), save(model, to))[1]
    time.sleep(rank)  # a late process finds the folder as the main one leaves it
    model = train(config, here / "run")
    assert model.baseline is not None
    assert model.reference is not None
    torch.save(
        {
            "encoder": model.encoder.state_dict(),
            "baseline": model.baseline.state_dict(),
            "reference": model.reference.tensors(),
            "saved": len(saved),
        },
        here / f"{rank}.pt",
    )
    with pytest.raises(InputError, match="exists; continue that run"):
        train(config, here / "run")
    train(config, here / "run", resume=True)
    dist.destroy_process_group()


def test_two_processes_make_one_run(folder: Path) -> None:
    mp.spawn(_process, args=(_free_port(), str(folder)), nprocs=2)
    main, other = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert (main["saved"], other["saved"]) == (1, 0)
    for part, file in (("encoder", "encoder"), ("baseline", "baseline"), ("reference", "motion_reference")):
        written = load_file(folder / "run" / f"{file}.safetensors")
        assert written.keys() == main[part].keys()
        for name, tensor in written.items():
            assert torch.equal(main[part][name], tensor), name
            assert torch.equal(other[part][name], tensor), name
    assert yaml.safe_load((folder / "run" / "config.yaml").read_text())["stages"] == ["alignment", "baseline"]
