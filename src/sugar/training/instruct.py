"""Stage 2: the LLM learns to read action tokens, choose from a list and describe (SUGAR, step 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sugar.datasets.augment import AugmentConfig, augment
from sugar.datasets.batches import ClipBatch
from sugar.models.bridges import Bridge
from sugar.models.encoders import Encoder
from sugar.models.language import LanguageModel
from sugar.skeleton.layout import JointLayout
from sugar.training.engine import Objective


@dataclass
class ListConfig:
    """How the list of candidate names is drawn for each training clip (DESIGN D11)."""

    shuffle: bool = True
    """A new order for every clip, so that the LLM reads the list instead of its positions."""
    sublists: bool = True
    """Random sub-lists that keep the truth, from `shortest` names up to all."""
    shortest: int = 2
    """Fewest names in a sub-list."""


def draw_candidates(names: Sequence[str], truth: int, config: ListConfig, generator: torch.Generator) -> list[str]:
    """A list of names that holds ``names[truth]``, by ``config``."""
    chosen = [i for i in range(len(names)) if i != truth]
    size = len(names)
    if config.sublists and size > config.shortest:
        size = int(torch.randint(config.shortest, size + 1, (1,), generator=generator))
        kept = torch.randperm(len(chosen), generator=generator)[: size - 1]
        chosen = sorted(chosen[int(i)] for i in kept)
    chosen = sorted([*chosen, truth])
    if config.shuffle:
        chosen = [chosen[int(i)] for i in torch.randperm(len(chosen), generator=generator)]
    return [names[i] for i in chosen]


class InstructObjective(Objective):
    """Frozen encoder -> bridge -> LLM; the loss is on the answer ``{label}. {description}``.

    Args:
        descriptions: per class, the sentences that the LLM learns to say; one is drawn per clip and step.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        bridge: Bridge,
        language: LanguageModel,
        names: Sequence[str],
        descriptions: Sequence[Sequence[str]],
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        lists: ListConfig,
    ) -> None:
        super().__init__()
        self.encoder, self.bridge, self.language = encoder.requires_grad_(False), bridge, language
        self.names, self.descriptions = list(names), [list(d) for d in descriptions]
        self.layout, self.augmentation, self.frames, self.lists = layout, augmentation, frames, lists

    def train(self, mode: bool = True) -> "InstructObjective":
        super().train(mode)
        self.encoder.eval()  # frozen: no dropout, no running statistics
        return self

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            joints, frames = augment(batch, self.layout, self.augmentation, self.frames, generator)
            tokens, mask = self.encoder(joints, batch.persons, frames)
        candidates, descriptions = [], []
        for label in batch.labels.tolist():
            candidates.append(draw_candidates(self.names, label, self.lists, generator))
            choices = self.descriptions[label]
            descriptions.append(choices[int(torch.randint(len(choices), (1,), generator=generator))])
        labels = [self.names[label] for label in batch.labels.tolist()]
        action, action_mask = self.bridge(tokens, mask), self.bridge.output_mask(mask)
        return self.language.loss(action, candidates, labels, descriptions, action_mask), {}
