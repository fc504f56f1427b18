"""Stage 1 from where another run ended: what is taken over, what is not, and which runs are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sugar.cli.main import main
from sugar.config import parse_config
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.context import Context, prepare
from sugar.training.run import STAGES, choose_fusion, train_stage, write_run

MakeRun = Callable[..., Context]


def values(store: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": {"store": str(store), "protocol": "synthetic-cross-person", "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 16},
        "stages": ["alignment"],
        "alignment": {"loop": {"epochs": 1, "batch_size": 16}},
        "instruction": {"loop": {"epochs": 1, "batch_size": 16}},
    } | changes


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on other classes."""
    folder = tmp_path_factory.mktemp("first")
    names = ("clap", "squat", "kick")
    write_store(folder / "store", generate(12, 0, names), name="a", classes=names, layout=NTU25, source="test")
    (folder / "a.yaml").write_text(yaml.safe_dump(values(folder / "store")))
    assert main(["train", str(folder / "a.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def second(tmp_path: Path) -> MakeRun:
    names = ("bow", "jump")
    write_store(tmp_path / "store", generate(12, 1, names), name="b", classes=names, layout=NTU25, source="test")

    def make(**changes: Any) -> Context:
        config, _ = parse_config(RunConfig, values(tmp_path / "store", **changes), where="test")
        return prepare(config, tmp_path / "run")

    return make


def test_encoder_projections_and_motion_head_are_taken_over(first: Path, second: MakeRun) -> None:
    run, cold = second(pretrained=str(first)), second()
    for module, file in (
        (run.model.encoder, "encoder"),
        (run.model.alignment, "projection"),
        (run.model.motion, "motion"),
    ):
        assert module is not None
        theirs, ours = load_file(first / f"{file}.safetensors"), module.state_dict()
        for name, tensor in theirs.items():
            assert torch.equal(ours[name], tensor) is (name != "log_temperature"), name
    assert torch.equal(run.model.alignment.log_temperature, cold.model.alignment.log_temperature)
    assert not torch.equal(
        next(iter(cold.model.encoder.state_dict().values())), next(iter(run.model.encoder.state_dict().values()))
    )
    assert run.classes == ["bow", "jump"]
    baseline, from_cold = run.model.add_baseline(), cold.model.add_baseline()
    assert set(baseline.state_dict()) == set(from_cold.state_dict())


def test_the_run_says_where_it_began(first: Path, second: MakeRun, tmp_path: Path) -> None:
    run = second(pretrained=str(first))
    train_stage(run, STAGES["alignment"])
    choose_fusion(run)
    write_run(run)
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["pretrained"]
    assert record["run"] == str(first)
    assert record["classes"] == 3
    assert len(record["encoder_sha256"]) == 64


def test_a_stage_one_that_is_taken_over_whole_comes_first(second: MakeRun, tmp_path: Path) -> None:
    before = second()
    train_stage(before, STAGES["alignment"])
    choose_fusion(before)
    write_run(before)
    stage_one = (tmp_path / "run").rename(tmp_path / "stage-one")
    run = second(start_from=str(stage_one), pretrained=str(tmp_path / "nowhere"), seed=1)
    for name, tensor in before.model.encoder.state_dict().items():
        assert torch.equal(run.model.encoder.state_dict()[name], tensor), name
    assert "pretrained" not in run.record
    assert {"run": str(stage_one), "classes": 2}.items() <= run.record["start_from"].items()
    assert len(run.record["start_from"]["encoder_sha256"]) == 64


def test_a_motion_head_of_another_space_stays_as_it_is(first: Path, second: MakeRun) -> None:
    run = second(pretrained=str(first), model={"frames": 16, "motion": {"space": "claims"}})
    theirs = load_file(first / "motion.safetensors")
    assert run.model.motion is not None
    assert not torch.equal(run.model.motion.state_dict()["claims.weight"], theirs["claims.weight"])
    assert second(pretrained=str(first), model={"frames": 16, "motion": {"weight": 0}}).model.motion is None


def test_runs_that_do_not_fit_are_refused(first: Path, second: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its encoder is not this run's"):
        second(pretrained=str(first), model={"encoder": {"patchgcn": {"channels": 64}}})
    with pytest.raises(InputError, match="no finished run"):
        second(pretrained=str(tmp_path / "nowhere"))
    copy = shutil.copytree(first, tmp_path / "copy")
    about = json.loads((copy / "classes.json").read_text())
    (copy / "classes.json").write_text(json.dumps(about | {"classes": ["clap", "Bow", "kick"]}))
    protocol = tmp_path / "p.yaml"
    protocol.write_text("{column: subject, train: 1-8, unseen: [bow]}")
    data = {"store": str(tmp_path / "store"), "protocol": str(protocol), "validation": {"by": "none"}}
    with pytest.raises(InputError, match="the unseen class 'Bow' would be trained on; give a run"):
        second(pretrained=str(copy), data=data)
    (copy / "classes.json").write_text(json.dumps(about))
    shutil.copy(copy / "motion.safetensors", copy / "encoder.safetensors")
    with pytest.raises(InputError, match=r"encoder\.safetensors: damaged"):
        second(pretrained=str(copy))
    about["layout"]["name"] = "rig25"
    (copy / "classes.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="its joint layout is not"):
        second(pretrained=str(copy))
