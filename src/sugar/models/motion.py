"""The motion head: clips meet motion sentences, those of their class and those that their own joints bear out.

It is a second projection beside the one for the knowledge texts, so that name and scene on one side and bare
motion on the other do not compete for one space. Its score compares a clip with the candidates' motion sentences
in two ways: by what the head has learned and by what was measured and said of the clip, without any learning.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.knowledge.bank import TextBank
from sugar.knowledge.grammar import all_claims
from sugar.models.alignment import AlignmentConfig, KnowledgeAlignment, class_log_probabilities, masked_mean

REFERENCE_CLIPS = 1024


@dataclass
class MotionConfig:
    """The grounded motion language in stage 1."""

    weight: float = 1.0
    """Weight of the motion head's loss beside the contrast with the knowledge texts; 0: no motion head (paper)."""
    own_sentences: float = 0.5
    """Weight, within the motion head, of the contrast with each clip's own sentences."""
    own_temperature: float = 0.05
    """How alike two clips' own sentences must be to count as the same: temperature of the graded targets."""
    claims: float = 1.0
    """Weight of a classifier of all that can be claimed of a clip; a text encoder hardly tells left from right."""
    phrasings: int = 2
    """Ways in which each clip's facts are said."""


class MotionHead(KnowledgeAlignment):
    """`KnowledgeAlignment` with motion sentences of the classes as texts, and two losses on what the joints show."""

    def __init__(
        self,
        *,
        in_channels: int,
        text_channels: int,
        num_classes: int,
        config: AlignmentConfig,
        num_branches: int = 1,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            text_channels=text_channels,
            num_classes=num_classes,
            config=config,
            num_branches=num_branches,
        )
        self.claims = nn.Linear(in_channels, len(all_claims()))

    def claim_probabilities(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """How sure the head is of each of `grammar.all_claims`: ``[B, L, d]`` -> ``[B, C]``."""
        return self.claims(masked_mean(tokens, mask)).float().sigmoid()

    def claim_loss(self, tokens: Tensor, mask: Tensor, truth: Tensor) -> Tensor:
        """Binary cross-entropy of every claim that can be told; ``truth`` ``[B, C]`` of `OwnSentences.claims`."""
        logits = self.claims(masked_mean(tokens, mask)).float()
        told = truth >= 0
        return F.binary_cross_entropy_with_logits(logits[told], truth[told].float())

    def own_contrast(self, tokens: Tensor, mask: Tensor, own: Tensor, own_temperature: float) -> Tensor:
        """Each clip against the own sentences of the batch, with graded targets.

        Facts repeat: two clips may have the same sentence. The target of clip i is therefore not clip i alone but
        the softmax of the similarity of the own sentences themselves.

        Args:
            tokens, mask: the encoder's output ``[B, L, d]``, ``[B, L]``.
            own: ``[B, e]`` unit embeddings of the clips' own sentences.
        """
        target = (own @ own.T / own_temperature).softmax(dim=1)
        logits = self.branch_embeddings(masked_mean(tokens, mask)) @ own.T / self.temperature
        return -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


@dataclass(frozen=True, eq=False)
class MotionReference:
    """Some training clips as the motion head and their own sentences show them: the scale of both similarities.

    Args:
        head, own: ``[R, e]`` unit vectors of the same R clips.
        rates: ``[C]`` share of them for which each of `grammar.all_claims` is true.
    """

    head: Tensor
    own: Tensor
    rates: Tensor

    def to(self, device: torch.device) -> "MotionReference":
        return MotionReference(self.head.to(device), self.own.to(device), self.rates.to(device))


def class_similarity(clips: Tensor, sentences: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """``[B, K]``: cosine of each clip and the nearest sentence of each class; a sentence for each hand is common."""
    similarity = clips @ sentences.T
    return torch.stack([similarity[:, classes == k].amax(dim=1) for k in range(num_classes)], dim=1)


def standardised(clips: Tensor, known: Tensor, sentences: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """`class_similarity` z-scored class by class over the ``known`` clips ``[R, e]``.

    A class whose sentence is near to everything gains nothing by it, and new classes need no training.
    """
    base = class_similarity(known, sentences, classes, num_classes)
    found = class_similarity(clips, sentences, classes, num_classes)
    return (found - base.mean(dim=0)) / base.std(dim=0).clamp(min=1e-3)


def motion_log_probabilities(
    head: Tensor, own: Tensor | None, bank: TextBank, reference: MotionReference, temperature: Tensor | None
) -> Tensor:
    """The `motion` score ``[B, K]``: what the head sees and, of new classes, what the joints say as well.

    For training classes the head's posterior counts alone: it has learned from the own sentences what they can
    tell. For others both similarities are standardised over the reference clips and summed.

    Args:
        head, own: ``[B, e]`` unit vectors of the clips; without ``own`` the head decides alone.
        bank: motion sentences of the K candidates.
        temperature: the head's, where every candidate is a training class; None otherwise.
    """
    sentences, classes, num_classes = bank.embeddings, bank.classes, len(bank.names)
    if temperature is not None:
        return class_log_probabilities(head @ sentences.T, classes, num_classes, temperature)
    total = standardised(head, reference.head, sentences, classes, num_classes)
    if own is not None:
        total = total + standardised(own, reference.own, sentences, classes, num_classes)
    return total.log_softmax(dim=1)
