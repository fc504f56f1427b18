"""SUGAR as one module: encoder, alignment and motion heads, projector, LLM and the linear baseline.

What the parts make of clips is scored in `models.scorers`; `inference.recognizer` is what users hold.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from sugar.knowledge.bank import TextBank
from sugar.knowledge.claim_space import ClaimEncoder
from sugar.knowledge.pack import KnowledgePack
from sugar.models.candidates import Candidates, open_vocabulary, subset
from sugar.models.config import ModelConfig
from sugar.models.encoders.build import build_encoder
from sugar.models.heads.alignment import KnowledgeAlignment
from sugar.models.heads.baseline import LinearBaseline
from sugar.models.heads.motion import MotionHead, MotionReference, UnseenMotion
from sugar.models.llm.fact_hints import verbalize_facts
from sugar.models.llm.model import LanguageModel
from sugar.models.llm.soft_label_tokens import LabelEmbeddings, SoftLabelTokens
from sugar.models.projectors.projectors import Projector
from sugar.models.scorers.fusion import Fusion
from sugar.skeleton.layout import JointLayout

_Head = TypeVar("_Head", bound=KnowledgeAlignment)


class Sugar(nn.Module):
    """Encoder, alignment, motion head, projector, LLM and linear baseline, as far as training has come.

    Args:
        classes: names of the training classes, in label order.
        bank: the knowledge texts of those classes, embedded.
        motion_bank: their motion sentences; None: no motion head.
    """

    def __init__(
        self,
        *,
        config: ModelConfig,
        layout: JointLayout,
        classes: Sequence[str],
        bank: TextBank,
        motion_bank: TextBank | None,
    ) -> None:
        super().__init__()
        self.config, self.layout, self.classes = config, layout, tuple(classes)
        self.trained = Candidates(bank, motion_bank)
        self.encoder = build_encoder(config.encoder, layout)
        self.alignment = self._head(KnowledgeAlignment, bank)
        self.motion = self._head(MotionHead, motion_bank) if motion_bank is not None else None
        self.reference: MotionReference | None = None
        self.baseline: LinearBaseline | None = None
        self.projector: Projector | None = None
        self.language: LanguageModel | None = None
        self.soft_label_tokens: SoftLabelTokens | None = None
        self.fusion: Fusion | None = None

    def _head(self, kind: type[_Head], bank: TextBank) -> _Head:
        return kind(
            in_channels=self.encoder.out_channels,
            text_channels=bank.embeddings.shape[1],
            num_classes=len(self.classes),
            config=self.config.alignment,
            num_branches=self.encoder.num_branches,
        )

    def add_baseline(self) -> LinearBaseline:
        """Give the model a fresh linear baseline."""
        self.baseline = LinearBaseline(
            encoder=build_encoder(self.config.encoder, self.layout), num_classes=len(self.classes)
        )
        return self.baseline

    def add_language(self) -> tuple[Projector, LanguageModel]:
        """Load the LLM that the config names and give the model a fresh projector to it."""
        self.language = LanguageModel.load(self.config.language)
        self.projector = self.config.projector.build(
            in_channels=self.encoder.out_channels, out_channels=self.language.width
        )
        if self.config.soft_label_tokens:
            self.soft_label_tokens = SoftLabelTokens(self.language.width)
        return self.projector, self.language

    @property
    def device(self) -> torch.device:
        return self.alignment.log_temperature.device

    def candidates(self, names: Sequence[str], pack: KnowledgePack | None = None) -> Candidates:
        """Names to choose from, with the texts about each.

        Args:
            names: training classes keep the texts of their training; a new name takes those of ``pack``, and where
                that has none, the name alone.

        Raises:
            InputError: no candidate, one twice, or an empty name.
        """
        if set(names) <= set(self.classes):
            return subset(self.trained, names).to(self.device)
        claims = ClaimEncoder(self.motion.rarity) if self.motion and self.config.motion.space == "claims" else None
        found = open_vocabulary(self.trained, names, pack, self.config.text_encoder, claims)
        if found.motion is None or self.reference is None:
            return found.to(self.device)
        unseen = UnseenMotion(found.motion, self.reference, self.is_trained(found), self.classes)
        return Candidates(found.texts, found.motion, unseen).to(self.device)

    def is_trained(self, candidates: Candidates) -> Tensor:
        """``[K]`` bool: which candidates are training classes."""
        return torch.tensor([name in self.classes for name in candidates.names])

    def trained_on(self, candidates: Candidates) -> bool:
        """Whether every candidate is a training class."""
        return set(candidates.names) <= set(self.classes)

    def action_tokens(
        self, tokens: Tensor, mask: Tensor, candidates: Candidates, probabilities: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, Q, H]`` that stand for clips in the LLM's prompt, and their mask ``[B, Q]``.

        Args:
            tokens, mask: the encoder's output.
            probabilities: ``[B, K]`` by the scorers that the soft label tokens follow; without these tokens not read.
        """
        if self.projector is None or self.language is None:
            raise ValueError("no projector, no LLM")
        action, action_mask = self.projector(tokens, mask), self.projector.output_mask(mask)
        if self.soft_label_tokens is None:
            return action, action_mask
        if probabilities is None:
            raise ValueError("soft label tokens need probabilities of the candidates")
        if not self.trained_on(candidates):
            # The projector was trained on other classes and would bias the LLM toward them.
            action_mask = torch.zeros_like(action_mask)
        labels = LabelEmbeddings.from_names(candidates.names, self.language)
        soft, soft_mask = self.soft_label_tokens(probabilities, labels)
        return torch.cat([action, soft], dim=1), torch.cat([action_mask, soft_mask], dim=1)

    def fact_hints(self, tokens: Tensor, mask: Tensor, persons: Tensor) -> Sequence[str] | None:
        """Fact hints for the prompt, a text a clip (`verbalize_facts`); None without a motion head."""
        if self.motion is None or self.reference is None or not self.config.language.fact_hints:
            return None
        return verbalize_facts(self.motion, self.reference, tokens, mask, persons)
