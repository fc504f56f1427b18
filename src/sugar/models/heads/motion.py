"""The motion head: clips meet motion sentences, those of their class and those that their own joints bear out.

It is a second projection beside the one for the knowledge texts, so that name and scene on one side and bare
motion on the other do not compete for one space. Its score of classes that were never trained adds what the joints
bear out of their sentences, claim by claim (`claim_matching`), to what the head has learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.config import above, at_least, between
from sugar.facts.grammar import all_claims
from sugar.knowledge.bank import TextBank
from sugar.knowledge.claim_space import claim_space, stated
from sugar.models.heads.alignment import (
    AlignmentConfig,
    KnowledgeAlignment,
    class_log_probabilities,
    cosines,
    masked_mean,
)
from sugar.models.heads.claim_matching import ClaimMatcher, ClaimReference, scaled, spread_of
from sugar.models.heads.gather import gather_with_gradient
from sugar.models.scorers.calibrated_stacking import constant_of, joined, lead, side_log_probabilities

REFERENCE_CLIPS = 1024
HEAD = 0.5
"""Weight of the motion head beside the claims, for classes that were never trained; chosen on pseudo-unseen classes of
UTD-MHAD's training side."""
TOLERANCE = 0.9
"""`MotionReference.tolerance` where there are no classes to learn it from; that of UTD-MHAD's training sides."""


@dataclass
class MotionConfig:
    """The grounded motion language in stage 1."""

    weight: float = 1.0
    """Weight of the motion head's loss beside the contrast with the knowledge texts; 0: no motion head (paper)."""
    fact_captions: float = 0.5
    """Weight, within the motion head, of the contrast with each clip's fact captions."""
    own_temperature: float = 0.05
    """How alike two clips' fact captions must be to count as the same: temperature of the graded targets."""
    claims: float = 1.0
    """Weight of a classifier of all that can be claimed of a clip; a text encoder hardly tells left from right."""
    phrasings: int = 2
    """Ways in which each clip's facts are said."""
    space: Literal["text", "claims"] = "text"
    """What the head's sentences become: vectors of the text encoder, or of what they claim, in which left and right,
    heights and counts lie apart; the latter is better for actions that were never trained."""

    def __post_init__(self) -> None:
        at_least(0, "motion", self, "weight", "claims")
        between(0, 1, "motion", self, "fact_captions")
        above(0, "motion", self, "own_temperature")
        at_least(1, "motion", self, "phrasings")


class MotionHead(KnowledgeAlignment):
    """`KnowledgeAlignment` with motion sentences of the classes as texts, and two losses on what the joints show."""

    rarity: Tensor

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
        self.register_buffer("rarity", torch.ones(len(claim_space().claims)))  # of `ClaimEncoder`

    def claim_probabilities(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """How sure the head is of each of `grammar.all_claims`: ``[B, L, d]`` -> ``[B, C]``."""
        return self.claims(masked_mean(tokens, mask)).float().sigmoid()

    def claim_loss(self, tokens: Tensor, mask: Tensor, truth: Tensor) -> Tensor:
        """Binary cross-entropy of every claim that can be told; ``truth`` ``[B, C]`` of `FactCaptions.claims`."""
        logits = self.claims(masked_mean(tokens, mask)).float()
        told = truth >= 0
        return F.binary_cross_entropy_with_logits(logits[told], truth[told].float())

    def own_contrast(self, tokens: Tensor, mask: Tensor, own: Tensor, own_temperature: float) -> Tensor:
        """Each clip against the fact captions of the (global) batch, with graded targets.

        Facts repeat: two clips may have the same sentence. The target of clip i is therefore not clip i alone but
        the softmax of the similarity of the fact captions themselves.

        Args:
            tokens, mask: the encoder's output ``[B, L, d]``, ``[B, L]``.
            own: ``[B, e]`` unit embeddings of the clips' fact captions.
        """
        everyone = gather_with_gradient(own)
        target = (cosines(own, everyone) / own_temperature).softmax(dim=1)
        logits = cosines(self.branch_embeddings(masked_mean(tokens, mask)), everyone) / self.temperature
        return -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


@dataclass(frozen=True, eq=False)
class MotionReference:
    """Some training clips as the motion head shows them, and what they teach of claims.

    Args:
        head: ``[R, e]`` unit vectors of R clips.
        rates: ``[C]`` share of all training clips for which each of `grammar.all_claims` is true.
        claims: of R clips.
        tolerance: how many deviations below training clips a clip of a trained class may be (`generalized`).
        labels: ``[R]`` which trained class the R clips are of.
    """

    head: Tensor
    rates: Tensor
    claims: ClaimReference
    tolerance: Tensor
    labels: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name."""
        own = {"head": self.head, "rates": self.rates, "tolerance": self.tolerance, "labels": self.labels}
        return own | {f"claims.{k}": v for k, v in vars(self.claims).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "MotionReference":
        """From `tensors`.

        Raises:
            KeyError: one is missing.
        """
        claims = {field.name: tensors[f"claims.{field.name}"] for field in fields(ClaimReference)}
        head, rates, tolerance, labels = (tensors[name] for name in ("head", "rates", "tolerance", "labels"))
        return cls(head, rates, ClaimReference(**claims), tolerance, labels)


class UnseenMotion:
    """The `motion` score of candidates some of which, or all, were never trained.

    Args:
        bank: their motion sentences.
        reference: on the CPU.
        trained: ``[K]`` bool, which of them were.
        classes: names of all trained classes, by the labels of the reference; clips of those that are no candidates
            do not count for the constant between the sides.
    """

    def __init__(self, bank: TextBank, reference: MotionReference, trained: Tensor, classes: Sequence[str]) -> None:
        self.bank, self.trained = bank, trained
        self.embeddings, self.classes = bank.embeddings.cpu(), bank.classes.cpu()
        rows = [[bank.texts[i] for i in (self.classes == k).nonzero().flatten()] for k in range(len(bank.names))]
        profiles = torch.stack([stated(texts) for texts in rows])
        self.of_new = ClaimMatcher(reference.claims, profiles[~trained])
        self.of_all, self.constant = None, torch.tensor(0.0)
        if trained.any():
            self.of_all = ClaimMatcher(reference.claims, profiles)
            leads = lead(self.of_all.known, trained)
            listed = torch.tensor([name in bank.names for name in classes])[reference.labels]
            # A class may have none of the clips that are kept.
            self.constant = constant_of(leads[listed] if listed.any() else leads, reference.tolerance)
        known = self._similarity(reference.head)
        self.mean, self.deviation = known.mean(dim=0), known.std(dim=0).clamp(min=1e-3)
        self.spread = spread_of((known - self.mean) / self.deviation)

    def log_probabilities(self, head: Tensor, measured: Tensor, temperature: Tensor) -> Tensor:
        """``[B, K]``, on the CPU: of the new ones by claims and head, of trained ones by the head's posterior, and
        how the two sides share, by claims alone.

        Args:
            head: ``[B, e]`` clips as the motion head shows them.
            measured: ``[B, 2, C]`` `claim_degrees.measured_claims`.
            temperature: the head's.
        """
        head, measured = head.cpu(), measured.cpu()
        seen = scaled((self._similarity(head) - self.mean) / self.deviation, self.spread)
        of_new = self.of_new.scores(measured) + HEAD * seen
        if self.of_all is None:
            return of_new.log_softmax(dim=1)
        sides = side_log_probabilities(self.of_all.scores(measured), self.trained, self.constant)
        similarity = cosines(head, self.embeddings)
        posterior = class_log_probabilities(similarity, self.classes, len(self.trained), temperature.cpu())
        return joined(sides, posterior[:, self.trained], of_new, self.trained)

    def _similarity(self, clips: Tensor) -> Tensor:
        """Mean cosine ``[B, new ones]`` of clips and the sentences of each class; z-scored, none is near to all."""
        similarity = cosines(clips, self.embeddings)
        new = (~self.trained).nonzero().flatten().tolist()
        return torch.stack([similarity[:, self.classes == k].mean(dim=1) for k in new], dim=1)
