from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sugar.config import parse_config
from sugar.datasets.protocols.protocols import split
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.knowledge.pack import load_pack
from sugar.models.heads.motion import MotionConfig
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.context import prepare
from sugar.training.engine.config import LoopConfig
from sugar.training.guard import UnseenGuard, UnseenLeak
from sugar.training.run import STAGES, train_stage

PACK = load_pack("nw_ucla")
UNSEEN = ("throw", "carry")
SEEN = tuple(name for name in PACK.names if name not in UNSEEN)
GUARD = UnseenGuard.from_pack(UNSEEN, SEEN, PACK)


@pytest.mark.parametrize("name", ["throw", "Throw", " carry "])
def test_an_unseen_name_is_caught_in_any_spelling(name) -> None:
    with pytest.raises(UnseenLeak, match="training clips"):
        GUARD.check_names("training clips", [*SEEN, name])


@pytest.mark.parametrize("kind", ["motion", "visual", "descriptions", "motion_sentences"])
def test_every_text_of_an_unseen_class_is_caught(kind) -> None:
    for name in UNSEEN:
        for text in getattr(PACK[name], kind):
            with pytest.raises(UnseenLeak):
                GUARD.check_texts("texts", [text.upper()])


def test_the_bare_name_and_an_opening_with_it_are_texts_too() -> None:
    for text in ("throw", "An action of throw", "An action of {carry}: hand grips"):
        with pytest.raises(UnseenLeak):
            GUARD.check_texts("texts", [text])


def test_what_is_of_seen_classes_passes() -> None:
    GUARD.check_names("training clips", SEEN)
    for name in SEEN:
        entry = PACK[name]
        GUARD.check_texts("texts", [*entry.motion, *entry.visual, *entry.descriptions, *entry.motion_sentences])


def test_a_sentence_that_a_seen_class_shares_is_no_leak() -> None:
    shared = PACK["throw"].motion_sentences[0]
    classes = tuple(replace(e, motion_sentences=(shared,)) if e.name == "sit down" else e for e in PACK.classes)
    UnseenGuard.from_pack(UNSEEN, SEEN, replace(PACK, classes=classes)).check_texts("texts", [shared])


def test_without_unseen_classes_there_is_nothing_to_guard() -> None:
    guard = UnseenGuard.from_pack((), PACK.names, PACK)
    guard.check_names("training clips", PACK.names)
    guard.check_texts("texts", PACK["throw"].visual)


# The ways in which an unseen class could reach a run


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("guard")
    classes = ("clap", "squat", "kick")
    write_store(folder / "store", generate(12, 0, classes), name="s", classes=classes, layout=NTU25, source="test")
    (folder / "zsl.yaml").write_text("base: synthetic-cross-person\nunseen: [kick]\n")
    values = {
        "data": {"store": str(folder / "store"), "protocol": str(folder / "zsl.yaml"), "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "stages": ["alignment", "baseline"],
    }
    return parse_config(RunConfig, values, where="test")[0]


def test_a_sound_run_passes(config: RunConfig, tmp_path: Path) -> None:
    assert prepare(config, tmp_path).classes == ["clap", "squat"]


@pytest.mark.parametrize("side", ["train", "validation"])
def test_an_unseen_clip_on_either_side_is_caught(config, side, tmp_path, monkeypatch) -> None:
    def leaking(store, protocol, validation):
        sides = split(store, protocol, validation)
        one = np.flatnonzero(store.labels == store.classes.index("kick"))[:1]
        return replace(sides, **{side: np.union1d(getattr(sides, side), one)})

    monkeypatch.setattr("sugar.training.prepare_split.split", leaking)
    with pytest.raises(UnseenLeak, match=f"{'training' if side == 'train' else side} clips.*'kick'"):
        prepare(config, tmp_path)


def test_an_unseen_text_among_those_of_a_seen_class_is_caught(config, tmp_path, monkeypatch) -> None:
    pack = load_pack("synthetic")
    mixed = replace(pack["clap"], visual=(*pack["clap"].visual, pack["kick"].visual[0]))
    classes = tuple(mixed if entry.name == "clap" else entry for entry in pack.classes)
    monkeypatch.setattr("sugar.training.context.load_pack", lambda _: replace(pack, classes=classes))
    with pytest.raises(UnseenLeak, match="knowledge texts"):
        prepare(config, tmp_path)


def test_an_unseen_name_in_a_prompt_is_caught(config: RunConfig, tmp_path: Path, monkeypatch) -> None:
    run = prepare(
        replace(
            config,
            stages=("instruction",),
            model=replace(config.model, motion=MotionConfig(weight=0)),
            instruction=replace(config.instruction, loop=LoopConfig(epochs=1, batch_size=8), fact_captions=False),
        ),
        tmp_path / "run",
        resume=False,
    )
    monkeypatch.setattr("sugar.training.stages.instruction.draw_candidates", lambda names, *_: [*names, "kick"])
    with pytest.raises(UnseenLeak, match="prompt"):
        train_stage(run, STAGES["instruction"])


def test_a_description_of_an_unseen_class_is_caught() -> None:
    pack = load_pack("synthetic")
    guard = UnseenGuard.from_pack(("kick",), ("clap", "squat"), pack)
    with pytest.raises(UnseenLeak, match="descriptions"):
        guard.check_texts("descriptions", pack["kick"].descriptions)
