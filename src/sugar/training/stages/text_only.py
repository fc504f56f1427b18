"""Text-only training: a knowledge text takes the place of a clip, so that the LLM learns names of which it saw none.

The text is compared with the other texts of the candidates; how alike they are stands for what the other scorers would
make of a clip (`SoftLabelTokens`). Names and texts of unseen classes stay out unless the config asks for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sugar.datasets.protocols.class_overlap import overlapping
from sugar.knowledge.bank import TextBank, build_bank
from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.training.config import TextOnlyConfig
from sugar.training.engine.randomness import below, pick
from sugar.training.guard import UnseenGuard
from sugar.training.texts import training_descriptions

_SHARPNESS = (2.0, 8.0)
"""Range of the factor on standardized similarities: from doubtful to nearly certain."""


@dataclass(frozen=True)
class TextSamples:
    """Samples without clips: lists, true names, descriptions (None: any), ``class_probabilities`` ``[B, names]``."""

    candidates: list[list[str]]
    labels: list[str]
    descriptions: Sequence[str | None]
    class_probabilities: Tensor


class TextOnly:
    """Draws samples of the actions of a bank.

    Args:
        bank: knowledge texts of the actions, at least two each.
        descriptions: of each action, what the LLM learns to say.
    """

    def __init__(self, bank: TextBank, descriptions: Sequence[Sequence[str]]) -> None:
        self.names, self.descriptions = bank.names, [list(texts) for texts in descriptions]
        self.rows = [(bank.classes == k).nonzero().flatten() for k in range(len(bank.names))]
        self.embeddings = bank.embeddings.cpu()
        self.sums = torch.stack([self.embeddings[rows].sum(dim=0) for rows in self.rows])

    def draw(self, count: int, size: int, generator: torch.Generator) -> TextSamples:
        """``count`` samples with lists of ``size`` names."""
        lists, labels, said = [], [], []
        class_probabilities = torch.zeros(count, len(self.names))
        for row in range(count):
            chosen = torch.randperm(len(self.names), generator=generator)[:size]
            truth = int(chosen[0])
            class_probabilities[row, chosen] = self._class_probabilities(truth, chosen, generator)
            order = torch.randperm(len(chosen), generator=generator)
            lists.append([self.names[int(k)] for k in chosen[order]])
            labels.append(self.names[truth])
            said.append(pick(self.descriptions[truth] or [""], generator))
        return TextSamples(lists, labels, said, class_probabilities)

    def _class_probabilities(self, truth: int, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """How probable one text of ``truth`` makes each of ``chosen``; the text itself does not count for its own."""
        rows = self.rows[truth]
        text = self.embeddings[rows[below(len(rows), generator)]]
        others = self.sums[chosen].clone()
        others[0] -= text
        similarity = torch.cosine_similarity(others, text[None])  # no matrix product: mixed precision would round it
        low, high = _SHARPNESS
        sharpness = low + (high - low) * torch.rand((), generator=generator)
        spread = similarity.std(correction=0).clamp(min=1e-3)
        return (sharpness * (similarity - similarity.mean()) / spread).softmax(dim=0)


def build_text_only(
    config: TextOnlyConfig,
    *,
    pack: KnowledgePack,
    classes: Sequence[str],
    unseen: Sequence[str],
    held_out: int,
    encoder: TextEncoderConfig,
    guard: UnseenGuard,
) -> TextOnly:
    """The actions that a run learns by texts alone.

    Args:
        pack: of the data set; all ``classes`` are trained, those ``unseen`` are not.
        held_out: so many descriptions of each trained class are kept for evaluation; of an unseen class all.
        guard: what must not be among them; with ``config.unseen`` names and texts may be.

    Raises:
        InputError: a pack is not there or damaged.
        UnseenLeak: an error of ours.
    """
    entries = {name: pack[name] for name in classes}
    if config.unseen:
        entries |= {name: pack[name] for name in unseen if name in pack}
    apart = excluded_names(config, unseen)
    for entry in (entry for other in config.packs for entry in load_pack(other).classes):
        if not overlapping([entry.name], [*entries, *apart]):
            entries[entry.name] = entry
    if not config.unseen:
        guard.check_names("text-only training", entries)
    together = replace(pack, classes=tuple(entries.values()))
    bank = build_bank(together, together.names, load_text_encoder(encoder), ("motion", "visual"), EmbeddingCache())
    descriptions = [training_descriptions(entry, held_out) for entry in entries.values()]
    if not config.unseen:
        for texts in (bank.texts, *descriptions):
            guard.check_texts("text-only training", texts)
    return TextOnly(bank, descriptions)


def check_packs(config: TextOnlyConfig) -> None:
    """Read the packs that stage 2 will ask for.

    Raises:
        InputError: one is not there or damaged.
    """
    for name in (*config.packs, *config.exclude):
        load_pack(name)


def excluded_names(config: TextOnlyConfig, unseen: Sequence[str]) -> tuple[str, ...]:
    """The names of actions that no text may be of."""
    return (*unseen, *(name for other in config.exclude for name in load_pack(other).names))
