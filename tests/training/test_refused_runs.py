"""What stage 2 cannot work with is refused before stage 1, and nothing is left of the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sugar.config import parse_config
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.models.llm.weights import BUILT_IN_FOLDER
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.run import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    classes = ("bow", "clap")
    write_store(folder / "store", generate(12, 1, classes), name="s", classes=classes, layout=NTU25, source="test")
    shutil.copytree(BUILT_IN_FOLDER, folder / "other")
    config = folder / "other" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 7}))
    (folder / "file").write_text("no LLM")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"language": {"name": "FOLDER/typo"}}}, "no folder"),
        ({"model": {"language": {"name": "FOLDER/file"}}}, "is a file"),
        ({"model": {"language": {"name": "FOLDER/other"}}}, "config.json of another model"),
        ({"instruction": {"text_only": {"packs": ["nope"]}}}, "knowledge pack 'nope' is unknown"),
        ({"instruction": {"text_only": {"exclude": ["nope"]}}}, "knowledge pack 'nope' is unknown"),
        ({"stages": ["baseline", "instruction"]}, "instruction without alignment"),
        ({"stages": []}, "stages is empty"),
    ],
)
def test_nothing_is_trained_and_nothing_left(
    changes: dict[str, Any], message: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sugar.training.run.train_stage", lambda *_: pytest.fail("trained"))
    values = {
        "data": {"store": str(folder / "store"), "protocol": "synthetic-cross-person", "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "model": {"motion": {"weight": 0}},
    }
    changed = json.loads(json.dumps(changes).replace("FOLDER", str(folder)))
    config, _ = parse_config(RunConfig, values | changed, where="test")
    with pytest.raises(InputError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
