"""Stage 2: the LLM learns to read action tokens, choose from a list and describe (SUGAR, step 3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sugar.config import at_least
from sugar.facts.claim_selection import verbalize_all
from sugar.facts.grammar import all_claims, parse, say
from sugar.knowledge.fact_captions import FactCaptions
from sugar.models.encoders import Encoder
from sugar.models.llm.model import LanguageModel
from sugar.models.projectors.projectors import Projector
from sugar.skeleton.layout import JointLayout
from sugar.training.engine import Objective
from sugar.training.guard import UnseenGuard
from sugar.training.randomness import pick
from sugar.training.stages.soft_label_task import SoftLabelTask
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch

_ROW_OF = {claim: row for row, claim in enumerate(all_claims())}


@dataclass
class ListConfig:
    """How the list of candidate names is drawn for each training clip (docs/design.md, D11)."""

    shuffle: bool = True
    """A new order for every clip, so that the LLM reads the list instead of its positions."""
    sublists: bool = True
    """Random sub-lists that keep the truth, from `shortest` names up to all."""
    shortest: int = 2
    """Fewest names in a sub-list."""

    def __post_init__(self) -> None:
        at_least(1, "lists", self, "shortest")


def draw_size(count: int, config: ListConfig, generator: torch.Generator) -> int:
    """How many of ``count`` names a list has; one draw for a batch, so that its prompts are of like length."""
    if not config.sublists or count <= config.shortest:
        return count
    return int(torch.randint(config.shortest, count + 1, (1,), generator=generator))


def draw_candidates(
    names: Sequence[str], truth: int, size: int, config: ListConfig, generator: torch.Generator
) -> list[str]:
    """A list of ``size`` names that holds ``names[truth]``."""
    others = [i for i in range(len(names)) if i != truth]
    if size < len(names):
        kept = torch.randperm(len(others), generator=generator)[: size - 1]
        others = [others[int(i)] for i in kept]
    chosen = sorted([*others, truth])
    if config.shuffle:
        chosen = [chosen[int(i)] for i in torch.randperm(len(chosen), generator=generator)]
    return [names[i] for i in chosen]


class InstructionObjective(Objective):
    """Frozen encoder -> projector -> LLM; the loss is on the answer ``{label}. {description}``.

    Args:
        descriptions: per class, the sentences that the LLM learns to say; one is drawn per clip and step.
        of_clips: by position in the store, the description of a clip itself, said of it unless it is mirrored.
        own: fact captions of the training clips, said after the description of the class; None: that one alone.
        tell: what the prompt says of encoded clips beside their action tokens (`Sugar.tell`).
        guard: what must not reach the LLM.
        soft: soft label tokens of the candidates beside the projector's tokens; None: there are none.
        class_groups: ``[K, K]`` bool, which classes may stand on a list with each (`group_classes`); None: all.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        projector: Projector,
        language: LanguageModel,
        names: Sequence[str],
        descriptions: Sequence[Sequence[str]],
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        lists: ListConfig,
        own: FactCaptions | None = None,
        tell: Callable[[Tensor, Tensor, Tensor], Sequence[str] | None] = lambda tokens, mask, persons: None,
        guard: UnseenGuard | None = None,
        of_clips: Mapping[int, str] | None = None,
        soft: SoftLabelTask | None = None,
        class_groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.guard = guard or UnseenGuard()
        self.of_clips = dict(of_clips or {})
        for texts in (*descriptions, self.of_clips.values()):
            self.guard.check_texts("descriptions", texts)
        self.encoder, self.projector, self.language = encoder.requires_grad_(False), projector, language
        self.names, self.descriptions = list(names), [list(d) for d in descriptions]
        together = torch.ones(len(names), len(names)) if class_groups is None else class_groups
        self.class_groups = [row.nonzero().flatten().tolist() for row in together]
        self.layout, self.augmentation, self.frames, self.lists = layout, augmentation, frames, lists
        self.own, self.tell, self.soft = own, tell, soft
        self.rates = np.zeros(0) if own is None else own.rates().numpy()

    def train(self, mode: bool = True) -> "InstructionObjective":
        super().train(mode)
        self.encoder.eval()  # frozen: no dropout, no running statistics
        return self

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            joints, frames, mirrored = augment(batch, self.layout, self.augmentation, self.frames, generator)
            tokens, mask = self.encoder(joints, batch.persons, frames)
        candidates, descriptions = [], []
        size = draw_size(max(len(self.class_groups[label]) for label in batch.labels.tolist()), self.lists, generator)
        for label in batch.labels.tolist():
            own = self.class_groups[label]
            names = draw_candidates([self.names[i] for i in own], own.index(label), size, self.lists, generator)
            candidates.append(names)
            self.guard.check_names("a prompt's list", candidates[-1])
            descriptions.append(pick(self.descriptions[label], generator))
        for row, (index, swapped) in enumerate(zip(batch.indices.tolist(), mirrored.tolist(), strict=True)):
            if index in self.of_clips and not swapped:
                descriptions[row] = self.of_clips[index]
        fact_hints = self.tell(tokens, mask, batch.persons)
        if self.own is not None:
            facts = self._true_facts(self.own.claims(batch.indices, mirrored).numpy(), fact_hints)
            descriptions = [f"{text} {fact}".strip() for text, fact in zip(descriptions, facts, strict=True)]
        labels = [self.names[label] for label in batch.labels.tolist()]
        action, action_mask = self.projector(tokens, mask), self.projector.output_mask(mask)
        if self.soft is not None:
            class_probabilities = self.soft.of_clips(tokens, mask, candidates, generator)
            texts = self.soft.of_texts(len(labels), size, generator)
            action, action_mask = self.soft.join(
                action, action_mask, torch.cat([class_probabilities, texts.class_probabilities.to(class_probabilities)])
            )
            candidates, labels = [*candidates, *texts.candidates], [*labels, *texts.labels]
            descriptions = [*descriptions, *texts.descriptions]
            fact_hints = None if fact_hints is None else [*fact_hints, *[""] * len(texts.labels)]
        return self.language.loss(action, candidates, labels, descriptions, action_mask, fact_hints), {}

    def _true_facts(self, truth: NDArray[np.int8], fact_hints: Sequence[str] | None) -> Sequence[str]:
        """What the LLM learns to say of each clip: the true ones of its fact hints; without hints, the rarest facts."""
        if fact_hints is None:
            return verbalize_all(truth, self.rates)
        return [
            " ".join(say([claim for claim in parse(text) if row[_ROW_OF[claim]] == 1]))
            for text, row in zip(fact_hints, truth, strict=True)
        ]
