"""The fusion's weights from models that were not shown the clips they judge."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sugar.cli.main import main
from sugar.config import parse_config
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.models.scorers.fusion import Fusion
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.context import prepare
from sugar.training.run import choose_fusion, write_run
from sugar.workflows import fit_fusion
from sugar.workflows.cross_validation import Parts

CLASSES = ("sit down", "stand up", "clap")
QUICK = {"loop": {"epochs": 2, "batch_size": 16}, "optimization": {"learning_rate": 3e-3}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A quick run of both stages on people 1 to 8 before two cameras; two clips left out."""
    write_store(tmp_path / "store", generate(24, 0, CLASSES), name="s", classes=CLASSES, layout=NTU25, source="test")
    (tmp_path / "excluded").write_text("clap-p01-c1-t01\nclap-p02-c2-t01\n")
    values: dict[str, Any] = {
        "data": {
            "store": str(tmp_path / "store"),
            "protocol": "synthetic-cross-person",
            "validation": {"by": "none"},
            "exclude": str(tmp_path / "excluded"),
        },
        "knowledge": {"pack": "synthetic"},
        "model": {
            "frames": 16,
            "encoder": {"branches": []},
            "motion": {"phrasings": 1},
            "projector": {"num_queries": 2},
        },
        "alignment": QUICK,
        "instruction": QUICK,
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "c.yaml"


def test_weights_come_from_held_out_answers_and_go_into_a_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lab", "fit-fusion", str(config), "--by", "camera", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "fused: top-1" in said
    assert "of 46 clips" in said
    fusion = Fusion.read(tmp_path / "out/fusion.json")
    assert set(fusion.weights) == {"text", "motion", "llm"}
    assert sum(fusion.weights.values()) == pytest.approx(1)

    # Each camera's clips are asked of the model that was trained on the other's, without those left out.
    cameras = Store.open(tmp_path / "store").column("camera")
    for asked, trained in ((1, 2), (2, 1)):
        part = yaml.safe_load((tmp_path / f"out/camera-{asked}.yaml").read_text())
        for clips, camera in ((part["test_clips"], asked), (part["train_clips"], trained)):
            assert len(clips) == 23
            rows = [Store.open(tmp_path / "store").index(clip) for clip in clips]
            assert set(cameras[rows].tolist()) == {camera}
        assert not (tmp_path / f"out/camera-{asked}/fusion.json").exists()
        assert not (tmp_path / f"out/camera-{asked}/baseline.safetensors").exists()

    before = (tmp_path / "out/camera-1/metrics.jsonl").read_text()
    (tmp_path / "out/fusion.json").unlink()
    assert main(command) == 0  # what is trained is not trained again
    assert Fusion.read(tmp_path / "out/fusion.json") == fusion
    assert (tmp_path / "out/camera-1/metrics.jsonl").read_text() == before

    values = yaml.safe_load(config.read_text()) | {"fusion": str(tmp_path / "out/fusion.json")}
    parsed, _ = parse_config(RunConfig, values, where="test")
    run = prepare(parsed, tmp_path / "run")
    choose_fusion(run)
    write_run(run)
    assert run.model.fusion == fusion
    parsed.model.motion.weight = 0
    with pytest.raises(InputError, match=r"fusion\.json weighs \['llm', 'motion', 'text'\], but this run has"):
        prepare(parsed, tmp_path / "other")
    assert json.loads((tmp_path / "run/fusion.json").read_text())["weights"] == dict(fusion.weights)


def test_a_scorer_that_knows_nothing_weighs_less(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    parts = Parts.of(_parsed(config), "camera")
    monkeypatch.setattr(Parts, "train_without", lambda *args, **more: _Model())

    def scores(_model: object, _store: object, clips: np.ndarray, _candidates: object, scorers: tuple[str, ...]):
        truth = parts.labels[np.searchsorted(parts.clips, clips)]
        knows = np.where(np.arange(3) == truth[:, None], -0.1, -3.0)
        rng = np.random.default_rng(0)
        return {name: knows if name == "llm" else rng.normal(size=knows.shape) for name in scorers if name != "motion"}

    monkeypatch.setattr(fit_fusion, "score_clips", scores)
    found = fit_fusion.cross_fit_fusion(_parsed(config), config.parent / "out", by="camera")
    assert set(found.weights) == {"text", "llm"}
    assert found.weights["llm"] > 0.6


class _Model:
    motion = None

    def candidates(self, names: object) -> object:
        return names


def _parsed(config: Path) -> RunConfig:
    return parse_config(RunConfig, yaml.safe_load(config.read_text()), where="test")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "height"], "--by height: give a column"),
        (["--by", "setup"], "the training clips need a setup each"),
        (["--stages", '["alignment"]'], "stages: the fusion needs stages 1 and 2"),
    ],
)
def test_what_cannot_be_fitted_in_parts_is_one_line(
    arguments: list[str], said: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "fit-fusion", str(config), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", [None, "{", '{"weights": {"text": 2.0}, "temperatures": {"text": 1.0}, "temperature": 1}']
)
def test_a_file_of_weights_that_is_none_is_one_line(text: str | None, config: Path, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "w.json").write_text(text)
    parsed = _parsed(config)
    parsed.fusion = str(tmp_path / "w.json")
    with pytest.raises(InputError, match=r"w\.json: .*(cannot be read|sum to 1)"):
        prepare(parsed, tmp_path / "run")
