"""Names that mean nothing: the LLM learns to say the most probable name of any list, not the names that it knows.

Taught by real names alone it gets by with less than reading: it tells names by one of their words, and of two that
differ in the other ("swipe left", "swipe right") it says the same one however sure the soft label tokens are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sugar.datasets.protocols.class_overlap import overlapping
from sugar.knowledge.pack import KnowledgePack
from sugar.knowledge.quality.checks import split_words
from sugar.training.config import TextOnlyConfig
from sugar.training.engine.randomness import below, pick
from sugar.training.stages.text_only import TextSamples, excluded_names

_SHORTEST_WORD, _MOST_WORDS = 3, 3
_COUNT = 600
_FAMILY = 3
"""So many names differ in one word, at the same place."""
_SHARPNESS = (0.5, 8.0)
"""Range of the factor on normally distributed scores: from near ties to certainty."""


class NonsenseLabels:
    """Draws lists of nonsense labels, how probable each is, and as the truth the most probable.

    Args:
        names: in families of `_FAMILY`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    @classmethod
    def of(cls, words: Sequence[str], count: int, *, apart: Sequence[str], seed: int) -> "NonsenseLabels":
        """At least ``count`` names of one to three of ``words``; none means an action of ``apart``."""
        generator = torch.Generator().manual_seed(seed)
        names: dict[str, None] = {}
        while len(names) < count:
            length = int(torch.randint(1, _MOST_WORDS + 1, (1,), generator=generator))
            place = below(length, generator)
            common = [pick(words, generator) for _ in range(length)]
            family = {" ".join([*common[:place], pick(words, generator), *common[place + 1 :]]) for _ in range(_FAMILY)}
            if len(family) == _FAMILY and not family & names.keys() and not overlapping(list(family), apart):
                names |= dict.fromkeys(sorted(family))
        return cls(list(names))

    def draw(self, count: int, size: int, generator: torch.Generator) -> TextSamples:
        """``count`` samples with lists of ``size`` names, whole families as far as they go; nothing is described."""
        lists, labels = [], []
        class_probabilities = torch.zeros(count, len(self.names))
        for row in range(count):
            chosen = self._families(size, generator)
            low, high = _SHARPNESS
            sharpness = low * (high / low) ** torch.rand((), generator=generator)
            class_probabilities[row, chosen] = (sharpness * torch.randn(len(chosen), generator=generator)).softmax(
                dim=0
            )
            lists.append([self.names[int(k)] for k in chosen])
            labels.append(self.names[int(class_probabilities[row].argmax())])
        return TextSamples(lists, labels, [None] * count, class_probabilities)

    def _families(self, size: int, generator: torch.Generator) -> Tensor:
        """Positions of ``size`` names in random order."""
        first = torch.randperm(len(self.names) // _FAMILY, generator=generator)[: -(-size // _FAMILY)]
        chosen = (first[:, None] * _FAMILY + torch.arange(_FAMILY)).flatten()[:size]
        return chosen[torch.randperm(len(chosen), generator=generator)]


def make_nonsense_labels(
    config: TextOnlyConfig, *, pack: KnowledgePack, classes: Sequence[str], unseen: Sequence[str], seed: int
) -> NonsenseLabels:
    """Names made of the words in the knowledge texts of the training ``classes``."""
    words = words_of([text for name in classes for text in (*pack[name].motion, *pack[name].visual)])
    return NonsenseLabels.of(words, _COUNT, apart=excluded_names(config, unseen), seed=seed)


def words_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The words of texts, each once, without the shortest."""
    found = {word for text in texts for word in split_words(text)}
    return tuple(sorted(word for word in found if len(word) >= _SHORTEST_WORD))
