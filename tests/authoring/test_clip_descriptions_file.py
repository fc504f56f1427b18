import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sugar.config import parse_config
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.models.heads.motion import MotionConfig
from sugar.models.llm.model import LanguageModel
from sugar.skeleton.layouts import NTU25
from sugar.training.config import KnowledgeConfig, RunConfig
from sugar.training.context import prepare
from sugar.training.run import STAGES, train_stage
from sugar.training.texts import read_clip_descriptions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "s"
    return write_store(path, generate(2, 0, ("clap",)), name="s", classes=("clap",), layout=NTU25, source="test")


def read(path: Path, store: Store, *lines: str) -> dict[int, str]:
    path.write_text("".join(f"{line}\n" for line in lines))
    return read_clip_descriptions(replace(KnowledgeConfig(), clip_descriptions=str(path)), store)


def test_clips_are_found_by_their_ids(store: Store, tmp_path: Path) -> None:
    row = json.dumps({"clip_id": store.clip_ids[1], "text": " Both hands meet. ", "model": {}})
    other = json.dumps({"clip_id": "elsewhere", "text": "Nothing."})
    assert read(tmp_path / "c.jsonl", store, row, other) == {1: "Both hands meet."}
    assert read_clip_descriptions(KnowledgeConfig(), store) == {}


@pytest.mark.parametrize("line", ["{", "[]", '{"clip_id": "a"}', '{"clip_id": "elsewhere", "text": "x"}', ""])
def test_other_files_are_refused(line: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.jsonl"):
        read(tmp_path / "c.jsonl", store, line)
    with pytest.raises(InputError, match="cannot be read"):
        read_clip_descriptions(replace(KnowledgeConfig(), clip_descriptions=str(tmp_path)), store)


def test_the_llm_learns_what_is_said_of_each_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = ("clap", "squat")
    store = write_store(tmp_path / "s", generate(6, 0, classes), name="s", classes=classes, layout=NTU25, source="test")
    rows = [{"clip_id": clip_id, "text": f"Clip {clip_id} is told."} for clip_id in store.clip_ids[::2]]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loop = {"epochs": 1, "batch_size": 4}
    values = {
        "data": {
            "store": str(store.path),
            "protocol": "synthetic-cross-person",
            "validation": {"by": "none"},
        },
        "knowledge": {"pack": "synthetic", "clip_descriptions": str(tmp_path / "c.jsonl")},
        "stages": ["instruction"],
        "instruction": {"loop": loop, "fact_captions": False, "augment": {"mirror": 0}},
    }
    config = parse_config(RunConfig, values, where="test")[0]
    run = prepare(
        replace(config, model=replace(config.model, motion=MotionConfig(weight=0))), tmp_path / "run", resume=False
    )
    heard: list[str] = []

    def loss(
        self: LanguageModel, action: torch.Tensor, candidates: object, labels: object, said: Sequence[str], *_: object
    ) -> torch.Tensor:
        heard.extend(said)
        return action.mean()

    monkeypatch.setattr(LanguageModel, "loss", loss)
    train_stage(run, STAGES["instruction"])
    trained = {store.clip_ids[i] for i in run.split.train}
    told = {f"Clip {clip_id} is told." for clip_id in trained if clip_id in {row["clip_id"] for row in rows}}
    assert told
    assert told == {text for text in heard if text.endswith("is told.")}
    assert len(heard) == len(trained) > len(told)
