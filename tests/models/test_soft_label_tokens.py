"""Soft label tokens: what the LLM hears of the candidates, and how it learns to read them from texts alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_llm import NAMES, make_model
from word_encoder import WordEncoder

import sugar.training.stages.text_only
from sugar.config import parse_config
from sugar.datasets.protocols.class_overlap import overlapping
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import generate
from sugar.errors import InputError
from sugar.inference.recognizer import Recognizer
from sugar.knowledge.bank import build_bank
from sugar.knowledge.embed import TextEncoderConfig
from sugar.knowledge.pack import load_pack
from sugar.models.llm.soft_label_tokens import LabelEmbeddings, SoftLabelTokens
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig, TextOnlyConfig
from sugar.training.guard import UnseenGuard, UnseenLeak
from sugar.training.run import train
from sugar.training.stages.nonsense_labels import NonsenseLabels, make_nonsense_labels, words_of
from sugar.training.stages.soft_label_task import SoftLabelTask, TextSource
from sugar.training.stages.text_only import TextOnly, build_text_only

PACK = load_pack("nw_ucla")
UNSEEN = ("throw", "carry")
SEEN = tuple(name for name in PACK.names if name not in UNSEEN)


def test_a_certain_name_is_said_in_the_words_of_the_llm() -> None:
    language = make_model()
    names = LabelEmbeddings.from_names(("sit", "stand up"), language)
    tokens, mask = SoftLabelTokens(language.width)(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), names)
    for row, name in enumerate(("sit", "stand up")):
        ids = torch.tensor(language.prompts.label(name))
        expected = language.model.get_input_embeddings()(ids)
        torch.testing.assert_close(tokens[row, mask[row]], expected)
    assert not mask[2].any()  # nothing believed, nothing said


def test_doubt_blends_the_words_and_goes_as_far_as_the_longest_name() -> None:
    language = make_model()
    names = LabelEmbeddings.from_names(("sit", "stand up"), language)
    tokens, mask = SoftLabelTokens(language.width)(torch.tensor([[0.25, 0.75]]), names)
    assert mask.sum() == len(language.prompts.label("stand up"))
    sure = 0.75**4 / (0.75**4 + 0.25**4)  # the likelier stands out
    torch.testing.assert_close(tokens[0], (1 - sure) * names.embeddings[0] + sure * names.embeddings[1])


def make_task(sources: Sequence[tuple[TextSource, float]] = ()) -> SoftLabelTask:
    torch.manual_seed(0)
    language = make_model()
    return SoftLabelTask(
        SoftLabelTokens(language.width),
        language,
        classes=NAMES[:4],
        class_probabilities=lambda tokens, mask: torch.tensor([0.1, 0.2, 0.3, 0.4]).expand(len(tokens), -1),
        sources=sources,
    )


def test_clips_are_believed_over_their_own_lists() -> None:
    lists = [[NAMES[1], NAMES[3]], [NAMES[0], NAMES[2], NAMES[1]]] * 50
    generator = torch.Generator().manual_seed(0)
    class_probabilities = make_task().of_clips(
        torch.zeros(100, 1, 2), torch.ones(100, 1, dtype=torch.bool), lists, generator
    )
    heard = class_probabilities.sum(dim=1) > 0
    assert 30 < heard.sum() < 70  # of the others the LLM hears nothing: it must read the projector
    torch.testing.assert_close(class_probabilities[::2][heard[::2]][0], torch.tensor([0, 1 / 3, 0, 2 / 3]))
    torch.testing.assert_close(class_probabilities[1::2][heard[1::2]][0], torch.tensor([1 / 6, 1 / 3, 1 / 2, 0]))


def make_texts() -> TextOnly:
    bank = build_bank(PACK, PACK.names, WordEncoder())
    return TextOnly(bank, [entry.descriptions for entry in PACK.classes])


def test_a_text_stands_for_a_clip_of_its_class() -> None:
    samples = make_texts().draw(60, 5, torch.Generator().manual_seed(0))
    assert all(len(set(names)) == 5 for names in samples.candidates)
    torch.testing.assert_close(samples.class_probabilities.sum(dim=1), torch.ones(60))
    right = 0
    for names, label, said, class_probabilities in zip(*vars(samples).values(), strict=True):
        assert {PACK.names[int(k)] for k in class_probabilities.nonzero()} <= set(names)
        assert said in PACK[label].descriptions
        right += PACK.names[int(class_probabilities.argmax())] == label
    assert 40 < right < 60  # mostly right, as scorers are, and not by the text's likeness to itself


def test_the_order_of_a_list_does_not_give_its_truth_away() -> None:
    samples = make_texts().draw(200, 4, torch.Generator().manual_seed(0))
    places = [names.index(label) for names, label in zip(samples.candidates, samples.labels, strict=True)]
    assert all(places.count(place) > 25 for place in range(4))


def test_texts_come_without_tokens_of_the_projector() -> None:
    task = make_task()
    class_probabilities = torch.eye(4)[:3]
    action, mask = task.join(torch.ones(2, 3, 32), torch.ones(2, 3, dtype=torch.bool), class_probabilities)
    assert action.shape[:2] == mask.shape == (3, 3 + task.names.embeddings.shape[1])
    assert mask[:2, :3].all()
    assert not mask[2, :3].any()
    assert mask[2].sum() == len(NAMES[2]) + 1  # bytes, and the full stop


def test_made_up_names_come_in_families_that_differ_in_a_word_and_mean_no_unseen_action() -> None:
    names = make_nonsense_labels(TextOnlyConfig(), pack=PACK, classes=SEEN, unseen=UNSEEN, seed=0).names
    assert len(set(names)) == len(names) >= 600
    for start in range(0, len(names), 3):
        split = [name.split() for name in names[start : start + 3]]
        assert len({len(words) for words in split}) == 1
        assert sum(len(set(words)) > 1 for words in zip(*split, strict=True)) == 1
    assert not overlapping(names, UNSEEN)
    words = set(words_of([text for name in SEEN for text in (*PACK[name].motion, *PACK[name].visual)]))
    assert {word for name in names for word in name.split()} <= words


def test_of_made_up_names_the_likeliest_is_true() -> None:
    names = NonsenseLabels([f"{first} {second}" for first in "abcd" for second in "xyz"])
    samples = names.draw(100, 5, torch.Generator().manual_seed(0))
    places = [listed.index(label) for listed, label in zip(samples.candidates, samples.labels, strict=True)]
    assert all(places.count(place) > 5 for place in range(5))
    for listed, label, class_probabilities in zip(
        samples.candidates, samples.labels, samples.class_probabilities, strict=True
    ):
        assert {names.names[int(k)] for k in class_probabilities.nonzero()} == set(listed)
        assert label == names.names[int(class_probabilities.argmax())]
        assert len({name[0] for name in listed}) == 2  # a whole family, and two of another
    assert samples.class_probabilities.amax(dim=1).min() < 0.4  # near ties
    assert samples.class_probabilities.amax(dim=1).max() > 0.95  # and certainty


def test_samples_of_all_sources_share_one_table_of_names() -> None:
    nonsense = NonsenseLabels(["u v", "u w", "u x"])
    bank = build_bank(PACK, PACK.names, WordEncoder())
    task = make_task([(TextOnly(bank, [[]] * len(PACK.names)), 0.5), (nonsense, 1.0)])
    names = list(task.position)
    assert names == [*dict.fromkeys((*NAMES[:4], *PACK.names)), *nonsense.names]
    samples = task.of_texts(4, 3, torch.Generator().manual_seed(0))
    assert samples.descriptions == [""] * 2 + [None] * 4
    for listed, class_probabilities in zip(samples.candidates, samples.class_probabilities, strict=True):
        assert {names[int(k)] for k in class_probabilities.nonzero()} <= set(listed)


def test_a_clip_alone_meets_half_a_text_on_average() -> None:
    task = make_task([(NonsenseLabels(["u v", "u w", "u x"]), 1.5)])
    drawn = [len(task.of_texts(1, 3, torch.Generator().manual_seed(seed)).labels) for seed in range(200)]
    assert set(drawn) == {1, 2}
    assert 70 < drawn.count(2) < 130


def test_after_a_made_up_name_nothing_is_learned() -> None:
    language = make_model().eval()
    action, lists, names = torch.zeros(2, 1, 32), [list(NAMES[:2])] * 2, list(NAMES[:2])

    @torch.no_grad()
    def loss(rows: slice, *said: str | None) -> float:
        return float(language.loss(action[rows], lists[rows], names[rows], said))

    first, second, both = slice(0, 1), slice(1, 2), slice(0, 2)
    length = [len(language.prompts.label(name)) for name in names]
    labels = (length[0] * loss(first, None) + length[1] * loss(second, None)) / sum(length)
    assert loss(both, "it moves", None) == pytest.approx(labels + loss(first, "it moves") - loss(first, None), rel=1e-5)


def pool(config: TextOnlyConfig, guard: UnseenGuard | None = None) -> TextOnly:
    return build_text_only(
        config,
        pack=PACK,
        classes=SEEN,
        unseen=UNSEEN,
        held_out=1,
        encoder=TextEncoderConfig(),
        guard=guard or UnseenGuard.from_pack(UNSEEN, SEEN, PACK),
    )


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sugar.training.stages.text_only, "load_text_encoder", lambda config: WordEncoder())


def test_unseen_actions_stay_out_of_the_texts(words: None) -> None:
    names = pool(TextOnlyConfig(packs=("msr_action3d", "utd_mhad"))).names
    assert names[: len(SEEN)] == SEEN
    assert "jogging" in names
    assert not [name for name in names if "throw" in name or "carry" in name]
    assert "sit to stand" not in names  # means what a training class means


def test_names_of_data_sets_to_be_tried_stay_out_too(words: None) -> None:
    names = pool(TextOnlyConfig(packs=("utd_mhad",), exclude=("msr_action3d",))).names
    assert "squat" in names
    assert not [name for name in names if name in ("jog", "clap", "boxing")]


def test_names_and_texts_of_unseen_actions_join_when_asked(words: None) -> None:
    texts = pool(TextOnlyConfig(unseen=True))
    assert texts.names == (*SEEN, *UNSEEN)
    assert texts.descriptions[-1] == list(PACK["carry"].descriptions[:-1])  # one is kept to judge by


def test_a_leak_into_the_texts_is_caught(words: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sugar.training.stages.text_only, "overlapping", lambda names, known: {})
    with pytest.raises(UnseenLeak, match="'throw'"):
        pool(TextOnlyConfig(packs=("nw_ucla",)))
    other = replace(PACK, classes=(replace(PACK["throw"], name="hurl"),))
    monkeypatch.setattr(sugar.training.stages.text_only, "load_pack", lambda name: other)
    with pytest.raises(UnseenLeak, match="text-only training: a text"):
        pool(TextOnlyConfig(packs=("other",)))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    folder = tmp_path_factory.mktemp("soft")
    classes = ("clap", "squat", "kick")
    write_store(folder / "store", generate(12, 0, classes), name="s", classes=classes, layout=NTU25, source="test")
    (folder / "zsl.yaml").write_text("base: synthetic-cross-person\nunseen: [kick]\n")
    loop = {"epochs": 1, "batch_size": 8}
    values = {
        "data": {"store": str(folder / "store"), "protocol": str(folder / "zsl.yaml"), "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "model": {"frames": 16, "soft_label_tokens": True, "motion": {"space": "claims"}},
        "stages": ["alignment", "instruction"],
        "alignment": {"loop": loop},
        "instruction": {"loop": loop, "text_only": {"share": 0.5, "nonsense": 0.5}},
    }
    return parse_config(RunConfig, values, where="test")[0]


def test_a_run_with_soft_label_tokens_is_kept_and_hears_of_new_names(config: RunConfig, tmp_path: Path) -> None:
    trained = train(config, tmp_path / "run")
    assert (tokens := trained.soft_label_tokens) is not None
    assert not torch.equal(tokens.projection.weight, torch.eye(tokens.projection.in_features))
    loaded, clip = Recognizer.load(tmp_path / "run"), next(iter(generate(1, 1, ("kick",))))
    pack = load_pack("synthetic")
    found = loaded.recognize(clip, ["kick", "clap"], pack)
    assert found.scores["llm"] == Recognizer(trained).recognize(clip, ["kick", "clap"], pack).scores["llm"]
    torch.nn.init.zeros_(loaded.model.projector.out.weight)  # of new actions the projector says nothing
    assert found.scores["llm"] == loaded.recognize(clip, ["kick", "clap"], pack).scores["llm"]
    torch.nn.init.zeros_(loaded.model.soft_label_tokens.projection.weight)
    assert found.scores["llm"] != loaded.recognize(clip, ["kick", "clap"], pack).scores["llm"]


def test_texts_alone_need_soft_label_tokens(config: RunConfig, tmp_path: Path) -> None:
    deaf = replace(config, model=replace(config.model, soft_label_tokens=False))
    with pytest.raises(InputError, match=r"instruction\.text_only.*model\.soft_label_tokens"):
        train(deaf, tmp_path / "run")
