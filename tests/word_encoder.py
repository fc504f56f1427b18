"""A text encoder for tests: a text is the mean of its words, each a fixed random vector. Loads no model."""

import hashlib
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sugar.knowledge.quality.checks import split_words


class WordEncoder:
    """Texts that share words lie close; the order of words does not count."""

    name = "words"
    fingerprint = "words"

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``[N, 64]`` of unit norm."""
        return normalize(torch.stack([sum(map(_vector, split_words(text) or [""]), torch.zeros(64)) for text in texts]))


@cache
def _vector(word: str) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:6])
    return torch.randn(64, generator=torch.Generator().manual_seed(seed))
