"""The LLM side: exact scoring against brute force, prompts, training, adapters, hashes."""

import json
import logging
import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tiny_llm import FAMILIES, NAMES, make_model, make_tokenizer
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
)

from sugar.errors import InputError
from sugar.models.llm.model import LanguageConfig, LanguageModel
from sugar.models.llm.prompts import CHOOSE, TOP_FIVE, read_label, read_labels
from sugar.models.llm.weights import BUILT_IN_FOLDER


@torch.no_grad()
def brute_force(model: LanguageModel, actions: Tensor, names: Sequence[str], keep: Tensor | None = None) -> Tensor:
    """Each sample and name by itself: plain forwards over prompt + answer, no cache, padding or trie."""
    tokenizer, embed = model.prompts.tokenizer, model.model.get_input_embeddings()

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    answers = [tuple(encode(f"{name}.")) for name in names]
    closed = [
        a + ((tokenizer.eos_token_id,) if any(b != a and b[: len(a)] == a for b in answers) else ()) for a in answers
    ]
    start = encode("a") != tokenizer("a")["input_ids"]
    before, after = CHOOSE.render(names)
    rows = []
    for sample, tokens in enumerate(actions):
        if keep is not None:
            tokens = tokens[keep[sample]]
        scaled = tokens / tokens.square().mean(-1, keepdim=True).add(1e-6).sqrt() * model.action_scale
        head = [*([tokenizer.bos_token_id] if start else []), *encode(before)]
        row = []
        for answer in closed:
            tail = [*encode(after), *answer]
            inputs = torch.cat([embed(torch.tensor(head)), scaled, embed(torch.tensor(tail))])[None]
            logits = model.model(inputs_embeds=inputs, use_cache=False).logits[0, -len(answer) - 1 : -1].double()
            total = 0.0
            for depth, token in enumerate(answer):
                allowed = sorted({b[depth] for b in closed if b[:depth] == answer[:depth] and len(b) > depth})
                total += logits[depth, allowed].log_softmax(0)[allowed.index(token)].item()
            row.append(total)
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_exact(family: str, attention: str):
    model = make_model(family, attention)
    actions = torch.randn(3, 5, model.width)
    scores = model.score(actions, NAMES, batch_size=2)
    expected = brute_force(model, actions, NAMES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)
    assert expected.std(0).max() > 0.01  # the action tokens matter: the comparison is not of constants


def test_scores_of_a_real_llm_are_exact(tinystories: Path):
    model = LanguageModel.load(LanguageConfig(name=str(tinystories), lora_rank=4)).eval()
    actions = torch.randn(2, 6, model.width)
    names = ["drink water", "drink", "sit down", "stand up", "throw", "throw up"]
    scores = model.score(actions, names)
    torch.testing.assert_close(scores, brute_force(model, actions, names), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))


def test_one_forward_for_each_branch_gives_the_same():
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    tree = model.score(actions, NAMES)
    model.config.tree_attention = False
    torch.testing.assert_close(model.score(actions, NAMES), tree, atol=1e-4, rtol=1e-4)


def test_alibi_model_scores_by_paths():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4))
    config = LanguageConfig(name="bloom", lora=False, tree_attention=False)
    language = LanguageModel(model=model, tokenizer=make_tokenizer(), config=config).eval()
    actions = torch.randn(1, 5, 32)
    torch.testing.assert_close(
        language.score(actions, NAMES), brute_force(language, actions, NAMES), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_masked_action_tokens_do_not_count(family: str):
    model = make_model(family)
    actions = torch.randn(2, 5, model.width)
    keep = torch.tensor([[True] * 5, [True, True, True, False, False]])
    scores = model.score(actions, NAMES, keep)
    torch.testing.assert_close(scores, brute_force(model, actions, NAMES, keep), atol=1e-4, rtol=1e-4)


def test_scores_under_autocast_are_a_distribution():
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model.score(actions, NAMES)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))
    torch.testing.assert_close(scores, model.score(actions, NAMES), atol=0.3, rtol=0.1)


def test_bfloat16_scores_are_a_distribution():
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(deepcopy(FAMILIES["llama"]), dtype=torch.bfloat16)
    model = LanguageModel(model=base, tokenizer=make_tokenizer(), config=LanguageConfig(name="x", lora_rank=4))
    scores = model.score(torch.randn(2, 5, 32), NAMES)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))


def test_single_candidate_and_bad_lists():
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    assert model.score(actions, ["walk"]).tolist() == [[0.0], [0.0]]
    assert model.score(actions[:0], NAMES).shape == (0, len(NAMES))
    assert model.score(actions, ["a", "b"]).exp().sum(1).tolist() == pytest.approx([1, 1])
    with pytest.raises(InputError, match="'walk' is given twice"):
        model.score(actions, ["walk", "run", "walk"])
    with pytest.raises(InputError, match="list is empty"):
        model.score(actions, [])
    with pytest.raises(InputError, match="name is empty"):
        model.generate(actions, ["walk", " "])
    long = [f"a long name of an action, number {i}" for i in range(60)]
    with pytest.raises(InputError, match="exceed the LLM's 600 positions"):
        make_model("gpt2").score(torch.randn(1, 5, 32), long)


def test_scoring_is_deterministic_and_keeps_the_mode():
    model = make_model("gpt2").train()  # GPT-2 has dropout
    actions = torch.randn(2, 5, model.width)
    assert torch.equal(model.score(actions, NAMES), model.score(actions, NAMES))
    assert model.training


@torch.no_grad()
def test_loss_is_of_the_answer_only():
    """Against one sample at a time, unpadded, with the cross-entropy written out."""
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    lists = [["walk", "sit"], ["stand up", "walk", "pick up with one hand"]]
    labels, texts = ["sit", "pick up with one hand"], ["", "Arm lifts."]
    tokenizer, embed = model.prompts.tokenizer, model.model.get_input_embeddings()
    of_label, of_rest = [], []
    for tokens, names, label, text in zip(actions, lists, labels, texts, strict=True):
        before, after = CHOOSE.render(names)
        head, tail = (torch.tensor(tokenizer(part)["input_ids"]) for part in (before, after))
        answer = torch.tensor([*tokenizer(f"{label}. {text}".strip())["input_ids"], 0])
        scaled = tokens / tokens.square().mean(-1, keepdim=True).sqrt() * model.action_scale
        inputs = torch.cat([embed(head), scaled, embed(tail), embed(answer)])[None]
        log_probs = model.model(inputs_embeds=inputs).logits[0, -len(answer) - 1 : -1].log_softmax(-1)
        losses = -log_probs[torch.arange(len(answer)), answer]
        named = len(tokenizer(f"{label}.")["input_ids"])
        of_label += losses[:named].tolist()
        of_rest += losses[named:].tolist()
    for share in (0.5, 0.2):
        model.config.label_loss_weight = share
        expected = share * sum(of_label) / len(of_label) + (1 - share) * sum(of_rest) / len(of_rest)
        assert model.loss(actions, lists, labels, texts).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_moves_adapters_and_actions_but_not_the_base(family: str, checkpointing: bool, tmp_path: Path):
    model = make_model(family, gradient_checkpointing=checkpointing).train()
    before = model.base_hash()
    actions = torch.nn.Parameter(torch.randn(2, 5, model.width))
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(".lora_" in n for n, p in model.named_parameters() if p.requires_grad)
    assert not any("lm_head" in n for n, p in model.named_parameters() if p.requires_grad)
    optimizer = torch.optim.Adam([actions, *trained], lr=1e-2)
    lists, labels, texts = [NAMES, NAMES[:4]], ["walk", "sit"], ["Legs move.", "Hips go down."]
    losses = []
    for _ in range(25):
        loss = model.loss(actions, lists, labels, texts)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in [actions, *trained])
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert model.base_hash() == before
    model.verify(before)

    model.save_adapter(tmp_path / "adapter")
    assert {file.name for file in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    again = make_model(family)
    assert not torch.equal(again.score(actions, NAMES), model.score(actions, NAMES))
    again.load_adapter(tmp_path / "adapter")
    assert torch.equal(again.score(actions, NAMES), model.score(actions, NAMES))


def test_hash_does_not_know_lora_but_knows_every_weight():
    plain, wrapped = make_model(lora=False), make_model()
    assert plain.base_hash() == wrapped.base_hash()
    next(iter(plain.parameters())).data[0, 0] += 1e-3
    assert plain.base_hash() != wrapped.base_hash()
    with pytest.raises(InputError, match="are not those of the run"):
        plain.verify(wrapped.base_hash())


def test_without_lora_nothing_is_trainable():
    model = make_model(lora=False).train()
    assert not any(p.requires_grad for p in model.parameters())
    actions = torch.randn(1, 5, model.width, requires_grad=True)
    model.loss(actions, [NAMES], ["walk"], [""]).backward()
    assert actions.grad is not None
    assert actions.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="LoRA is off"):
        model.save_adapter(Path("nowhere"))


def test_adapter_of_another_kind_is_refused(tmp_path: Path):
    make_model().save_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="rank 4 and alpha 16, but the config says 8"):
        make_model(lora_rank=8).load_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="another LLM than gpt2"):
        make_model("gpt2").load_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="not a LoRA adapter"):
        make_model().load_adapter(tmp_path)


@pytest.mark.parametrize("content", ["null", "[]", "3", "{", '{"peft_type": 3}', '{"peft_type": "IA3"}'])
def test_a_damaged_adapter_config_is_one_clear_line(content: str, tmp_path: Path):
    model = make_model()
    model.save_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_config.json").write_text(content)
    with pytest.raises(InputError, match=r"^.*adapter: not a LoRA adapter: .+$"):
        model.load_adapter(tmp_path / "adapter")


def test_action_tokens_take_the_scale_of_embeddings():
    """The projector's own scale does not reach the LLM, its direction does."""
    model = make_model()
    actions = torch.randn(1, 5, model.width)
    torch.testing.assert_close(model.score(1000 * actions, NAMES), model.score(actions, NAMES))
    embedding = model.model.get_input_embeddings().weight
    rms = embedding.square().mean(-1).sqrt().mean()
    torch.testing.assert_close(model.action_scale, rms)


@torch.no_grad()
def test_description_goes_on_after_the_label():
    """Greedy, left-padded labels of different length, each as if alone; free text starts from the prompt."""
    model = make_model()
    actions = torch.randn(2, 5, model.width)
    labels = ["walk", "pick up with two hands"]
    together = model.describe(actions, NAMES, labels, max_new_tokens=8)
    for row, label in enumerate(labels):
        assert model.describe(actions[row : row + 1], NAMES, [label], max_new_tokens=8) == [together[row]]
    free = model.generate(actions, NAMES, max_new_tokens=8)
    assert len(free) == 2
    assert all(isinstance(text, str) for text in free)


def test_trained_llm_says_label_and_description(tinystories: Path):
    """Two inputs, two answers: a real LLM learns to tell them apart, by score, freely and after the label."""
    torch.manual_seed(0)
    model = LanguageModel.load(LanguageConfig(name=str(tinystories), lora_rank=8, lora_dropout=0.0)).train()
    names = ["sit down", "stand up"]
    texts = ["The hips go down.", "The hips go up."]
    actions = torch.randn(2, 2, model.width)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(40):
        order = names if step % 2 else names[::-1]
        loss = model.loss(actions, [order, order], names, texts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.score(actions, names).argmax(1).tolist() == [0, 1]
    assert model.describe(actions, names, names, max_new_tokens=16) == texts
    free = model.generate(actions, names, max_new_tokens=24)
    assert [read_label(text, names) for text in free] == names
    assert free == [f"{name}. {text}" for name, text in zip(names, texts, strict=True)]


def test_prompt_is_the_papers():
    before, after = CHOOSE.render(["a", "b <action>"])
    assert before == "Given a sequence of action tokens \n"
    instruction = ", please choose the most compatible action from: [a, b <action>], and describe the action.\n"
    assert after == instruction
    assert "five" in TOP_FIVE.render(["a"])[1]


def test_labels_are_read_from_free_text():
    assert read_label(" Sit down. The hips ...", ["sit", "sit down"]) == "sit down"
    assert read_label("sitting", ["sit"]) is None
    assert read_labels("stand up, Sit Down, walk", ["sit", "walk", "sit down", "stand up"]) == [
        "stand up",
        "sit down",
        "walk",
    ]


def test_broken_folders_are_one_clear_line(tinystories: Path, tmp_path: Path):
    for missing, message in {
        "config.json": "has no config.json",
        "model.safetensors": r"has no weights \(\*.safetensors\)",
        "tokenizer.json": "has no tokenizer",
    }.items():
        folder = tmp_path / missing
        shutil.copytree(tinystories, folder)
        (folder / missing).unlink()
        with pytest.raises(InputError, match=message) as caught:
            LanguageModel.load(LanguageConfig(name=str(folder)))
        assert "\n" not in str(caught.value)
    folder = tmp_path / "cut"
    shutil.copytree(tinystories, folder)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot load"):
        LanguageModel.load(LanguageConfig(name=str(folder)))
    for name in ("", "/no/such/folder", "./none"):
        with pytest.raises(InputError, match=r"language\.name"):
            LanguageModel.load(LanguageConfig(name=name))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "null", "cannot load"),
        ("config.json", "[]", "cannot load"),
        ("config.json", {"vocab_size": 7}, r"embed_tokens\.weight is \[4096, 256\] in its weights and \[7, 256\] by"),
        ("config.json", {"num_hidden_layers": 5}, "lacks 9 weights"),
        ("tokenizer.json", "{}", "cannot load"),
        ("tokenizer_config.json", "[]", "cannot load"),
    ],
)
def test_a_damaged_llm_is_one_clear_line(file: str, content: str | dict, message: str, tmp_path: Path, capfd):
    shutil.copytree(BUILT_IN_FOLDER, tmp_path / "llm")
    path = tmp_path / "llm" / file
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    with pytest.raises(InputError, match=rf"^language\.name: .*{message}.*$"):
        LanguageModel.load(LanguageConfig(name=str(tmp_path / "llm")))
    assert capfd.readouterr().err == ""


def test_what_cannot_be_an_id_of_the_hub_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file.json").write_text("{}")
    monkeypatch.setattr("sugar.models.llm.weights.AutoConfig", None)
    for name in (str(tmp_path / "file.json"), str(tmp_path / "none"), "llm/of/mine", "./none", "my llm", "llm/"):
        with pytest.raises(InputError, match=r"^language\.name: (\S+ is a file|no folder .+); name"):
            LanguageModel.load(LanguageConfig(name=name))


def test_an_llm_that_the_hub_does_not_give_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    logger, heard = logging.getLogger("huggingface_hub.utils._http"), []

    def ask(*_: object, **__: object) -> None:
        heard.append(logger.isEnabledFor(logging.WARNING))
        raise OSError("No network.\nSee elsewhere")

    monkeypatch.setattr("sugar.models.llm.weights.AutoConfig.from_pretrained", ask)
    with pytest.raises(InputError, match="cannot load some/one, which is no folder here, from the hub: No network; "):
        LanguageModel.load(LanguageConfig(name="some/one"))
    assert heard == [False]
    assert logger.isEnabledFor(logging.WARNING)
