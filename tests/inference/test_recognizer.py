"""The recognizer: what it computes, what it keeps, what it refuses; and the scorers below it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import values

from sugar import InputError, Recognizer, SkeletonClip
from sugar.config import parse_config
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.inference import recognizer as module
from sugar.models.llm.model import LanguageModel
from sugar.models.scorers.encoded import Encoded
from sugar.models.scorers.scorers import FUSED_NAMES, NAMES, SCORERS, score
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.run import train
from sugar.transforms.batches import batch_clips

CLASSES = ("clap", "squat", "kick")


@pytest.fixture(scope="module")
def clips() -> list[SkeletonClip]:
    return list(generate(12, 0, CLASSES))


@pytest.fixture(scope="module")
def run(clips: list[SkeletonClip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages, soft label tokens, three views."""
    folder = tmp_path_factory.mktemp("recognizer")
    write_store(folder / "store", clips, name="s", classes=CLASSES, layout=NTU25, source="test")
    model = {"frames": 16, "encoder": {"branches": []}, "motion": {"phrasings": 1}, "soft_label_tokens": True}
    loop = {"loop": {"epochs": 1, "batch_size": 16, "tensorboard": "off", "precision": "float32"}}
    config = values(
        folder,
        model=model | {"views": [{"start": 0, "stop": 1}, {"stop": 0.8}, {"mirror": True}]},
        stages=["alignment", "baseline", "instruction"],
        alignment=loop,
        baseline=loop,
        instruction=loop,
    )
    train(parse_config(RunConfig, config, where="test")[0], folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def recognizer(run: Path) -> Recognizer:
    return Recognizer.load(run, device="cpu", batch_size=4)


def test_every_scorer_gives_a_distribution(recognizer: Recognizer, clips: list[SkeletonClip]) -> None:
    found = recognizer.recognize(clips[0])
    assert list(found.scores) == [*NAMES, "fused"]
    for table in found.scores.values():
        assert sum(table.values()) == pytest.approx(1, abs=1e-5)
    assert found.probabilities == found.scores["fused"]
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert found.label == next(iter(found.probabilities))
    assert found.facts.endswith(".")


def test_batches_give_what_single_clips_give(recognizer: Recognizer, clips: list[SkeletonClip]) -> None:
    together = recognizer.recognize_all(clips[:6], ["kick", "clap"], describe=False)
    assert [found.clip_id for found in together] == [clip.clip_id for clip in clips[:6]]
    for clip, found in zip(clips[:6], together, strict=True):
        assert recognizer.recognize(clip, ["kick", "clap"], describe=False).probabilities == pytest.approx(
            found.probabilities, abs=1e-4
        )


def test_the_llm_runs_once_a_clip(
    recognizer: Recognizer, clips: list[SkeletonClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    exact = LanguageModel.score

    def counted(self: LanguageModel, actions: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        asked.append(len(actions))
        return exact(self, actions, *args, **kwargs)

    monkeypatch.setattr(LanguageModel, "score", counted)
    recognizer.recognize_all(clips[:6], describe=False)
    assert sum(asked) == 6  # for three views


def test_only_what_is_asked_for_is_computed(
    recognizer: Recognizer, clips: list[SkeletonClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LanguageModel, "score", None)
    monkeypatch.setattr(LanguageModel, "describe", None)
    found = recognizer.recognize(clips[0], describe=False, scorers=["text", "motion"])
    assert list(found.scores) == ["text", "motion", "fused"]
    assert found.description == ""
    alone = recognizer.recognize(clips[0], describe=False, scorers=["fc"])
    assert list(alone.scores) == ["fc"]
    assert alone.probabilities == alone.scores["fc"]
    for wrong in (["tekst"], []):
        with pytest.raises(InputError, match="give some of fc, text, motion, llm"):
            recognizer.recognize(clips[0], scorers=wrong)


def test_the_cache_of_candidates_is_bounded(recognizer: Recognizer, clips: list[SkeletonClip]) -> None:
    for number in range(module.CACHED_LISTS + 5):
        recognizer.recognize(clips[0], ["clap", f"name {number}"], describe=False, scorers=["text"])
    assert len(recognizer._candidates) == module.CACHED_LISTS
    assert (("clap", "name 0"), None) not in recognizer._candidates


def test_endless_clips_are_recognized_as_they_come(recognizer: Recognizer, clips: list[SkeletonClip]) -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield clips[0]

    found = recognizer.recognize_each(endless(), describe=False, scorers=["text"])
    for _ in range(5):
        next(found)
    assert len(taken) == 8  # two batches of four


@pytest.mark.parametrize("wrong", [3, "clip.json"])
def test_what_is_no_clip_is_refused(recognizer: Recognizer, wrong: Any) -> None:
    with pytest.raises(InputError, match="give a SkeletonClip"):
        recognizer.recognize(wrong)
    with pytest.raises(InputError, match="clips: give a SkeletonClip, not"):
        recognizer.recognize_all([wrong])


def test_the_table_of_scorers(recognizer: Recognizer, clips: list[SkeletonClip]) -> None:
    assert NAMES == ("fc", "text", "motion", "llm")
    assert FUSED_NAMES == ("text", "motion", "llm")
    assert all(scorer.description for scorer in SCORERS)
    model = recognizer.model
    candidates = model.candidates(model.classes)
    encoded = Encoded(model, batch_clips(clips[:2], model.config.preprocess, model.layout))
    first = score(encoded, candidates, ["text"])["text"]
    assert score(encoded, candidates, ["llm", "text"])["text"] is first  # computed once
