"""Stage 1: the skeleton encoder learns from knowledge texts (SUGAR, step 2).

Its objective is a list of weighted losses on the same encoded batch, `LOSSES`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sugar.evaluation.score_clips import motion_embeddings
from sugar.knowledge.bank import TextBank
from sugar.knowledge.claim_space import stated
from sugar.knowledge.fact_captions import FactCaptions
from sugar.models.encoders import Encoder
from sugar.models.heads.alignment import KnowledgeAlignment
from sugar.models.heads.claim_matching import fit_claims
from sugar.models.heads.motion import REFERENCE_CLIPS, MotionConfig, MotionHead, MotionReference
from sugar.skeleton.layout import JointLayout
from sugar.training.context import Context
from sugar.training.engine.fit import Objective
from sugar.training.engine.randomness import stable_seed
from sugar.training.stages.reference import fit_tolerance
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch


class AlignmentLoss(Protocol):
    """A loss on encoded clips."""

    def __call__(
        self,
        tokens: Tensor,
        mask: Tensor,
        batch: ClipBatch,
        mirrored: Tensor,
        generator: torch.Generator,
        class_groups: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and further scalars to log.

        Args:
            tokens, mask: the encoder's output, ``[B, L, d]`` and ``[B, L]``.
            mirrored: ``[B]`` bool, clips whose left and right were swapped.
            generator: on the CPU, for every random draw.
            class_groups: ``[K, K]`` bool, which classes each is contrasted with (`group_classes`); None: all.
        """
        ...


class KnowledgeLoss(nn.Module):
    """The contrast of clips and knowledge texts (eq. 3).

    Args:
        bank: texts of the training classes, classes numbered as the labels are.
    """

    texts: Tensor
    text_classes: Tensor

    def __init__(self, *, alignment: KnowledgeAlignment, bank: TextBank) -> None:
        super().__init__()
        self.alignment = alignment
        self.register_buffer("texts", bank.embeddings, persistent=False)
        self.register_buffer("text_classes", bank.classes, persistent=False)
        self._of_kind: dict[str, list[int]] = {}
        for row, kind in enumerate(bank.kinds):
            self._of_kind.setdefault(kind, []).append(row)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        batch: ClipBatch,
        mirrored: Tensor,
        generator: torch.Generator,
        class_groups: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        texts, text_classes = self.texts, self.text_classes
        if self.alignment.config.negatives == "batch":
            drawn = self._draw(batch.labels, generator)
            texts, text_classes = texts[drawn], text_classes[drawn]
        loss: Tensor
        loss, logs = self.alignment(tokens, mask, batch.labels, texts, text_classes, generator, class_groups)
        return loss, logs

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Per clip one motion text and n visual texts of its class, at random (docs/design.md, D5): bank indices.

        Every clip draws as many, on every process: a class with fewer texts of a kind gives some of them twice, one
        without any gives others of its own. A bank of names alone gives one a clip.
        """
        wanted = {"motion": 1, "visual": self.alignment.config.visual_texts}
        wanted = {kind: count for kind, count in wanted.items() if count and kind in self._of_kind} or {"": 1}
        of_class = self.text_classes.cpu() == labels.cpu().unsqueeze(1)
        drawn = []
        for kind, count in wanted.items():
            of_kind = torch.zeros(of_class.shape[1], dtype=torch.bool)
            of_kind[self._of_kind.get(kind, [])] = True
            allowed = of_class & of_kind
            allowed = torch.where(allowed.any(dim=1, keepdim=True), allowed, of_class)
            keys = torch.rand(allowed.shape, generator=generator).masked_fill(~allowed, -1.0)
            turn = torch.arange(count) % allowed.sum(dim=1, keepdim=True)
            drawn.append(keys.argsort(dim=1, descending=True).gather(1, turn).flatten())
        return torch.cat(drawn).to(labels.device)


class MotionLoss(nn.Module):
    """The motion head contrasted with motion sentences of the classes and fact captions of the clips, and its claims.

    Args:
        bank: motion sentences of the training classes, classes numbered as the labels are.
        own: fact captions of the training clips.
    """

    sentences: Tensor
    classes: Tensor
    own_embeddings: Tensor

    def __init__(self, *, head: MotionHead, bank: TextBank, own: FactCaptions, config: MotionConfig) -> None:
        super().__init__()
        self.head, self.own, self.config = head, own, config
        self.register_buffer("sentences", bank.embeddings, persistent=False)
        self.register_buffer("classes", bank.classes, persistent=False)
        self.register_buffer("own_embeddings", own.embeddings, persistent=False)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        batch: ClipBatch,
        mirrored: Tensor,
        generator: torch.Generator,
        class_groups: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = self.head(tokens, mask, batch.labels, self.sentences, self.classes, class_groups=class_groups)
        drawn = self.own.draw(batch.indices, mirrored, generator).to(tokens.device)
        own = self.head.own_contrast(tokens, mask, self.own_embeddings[drawn], self.config.own_temperature)
        truth = self.own.claims(batch.indices, mirrored).to(tokens.device)
        claims = self.head.claim_loss(tokens, mask, truth)
        total = (1 - self.config.fact_captions) * loss + self.config.fact_captions * own
        total = total + self.config.claims * claims
        return total, {
            "motion": logs["contrast"],
            "own": own.detach(),
            "claims": claims.detach(),
        }


class AlignmentObjective(Objective):
    """Augment, encode, sum the weighted losses. Its forward is the loss, so that any wrapper wraps all of it.

    Args:
        losses: weight and loss, at least one.
        class_groups: as for `AlignmentLoss`.
    """

    class_groups: Tensor | None

    def __init__(
        self,
        *,
        encoder: Encoder,
        losses: Sequence[tuple[float, nn.Module]],
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        class_groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.weights = [weight for weight, _ in losses]
        self.losses = nn.ModuleList(loss for _, loss in losses)
        self.layout, self.augmentation, self.frames = layout, augmentation, frames
        self.register_buffer("class_groups", class_groups, persistent=False)

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        joints, frames, mirrored = augment(batch, self.layout, self.augmentation, self.frames, generator)
        tokens, mask = self.encoder(joints, batch.persons, frames)
        total = torch.zeros((), device=tokens.device)
        logs: dict[str, Tensor] = {}
        for weight, loss_of in zip(self.weights, self.losses, strict=True):
            loss, more = loss_of(tokens, mask, batch, mirrored, generator, self.class_groups)
            total, logs = total + weight * loss, logs | more
        return total, logs


def _knowledge_loss(context: Context) -> tuple[float, nn.Module]:
    model = context.model
    return 1.0, KnowledgeLoss(alignment=model.alignment, bank=model.trained.texts)


def _motion_loss(context: Context) -> tuple[float, nn.Module] | None:
    head, bank, config = context.model.motion, context.model.trained.motion, context.config.model.motion
    if head is None or bank is None:
        return None
    return config.weight, MotionLoss(head=head, bank=bank, own=context.fact_captions, config=config)


LOSSES: tuple[Callable[[Context], tuple[float, nn.Module] | None], ...] = (_knowledge_loss, _motion_loss)
"""The losses of stage 1: each gives its weight and module (`AlignmentLoss`), or None where the config has it off."""


class AlignmentStage:
    """Encoder, alignment and motion head."""

    name, validated = "alignment", "text"

    def build(self, context: Context) -> Objective:
        """The objective on the fresh model."""
        config = context.config
        return AlignmentObjective(
            encoder=context.model.encoder,
            losses=[made for loss in LOSSES if (made := loss(context)) is not None],
            layout=context.store.layout,
            augmentation=config.alignment.augment,
            frames=config.model.frames,
            class_groups=context.class_groups,
        )

    def finish(self, context: Context) -> None:
        """Keep of the training clips what the motion score of new actions needs."""
        if context.model.motion is not None:
            context.model.reference = _reference(context)


def _reference(context: Context) -> MotionReference:
    """Some training clips: their embeddings by the trained motion head, and what was measured of them."""
    store, seed, chosen = context.store, context.config.seed, context.split.train
    if len(chosen) > REFERENCE_CLIPS:
        rng = np.random.default_rng(stable_seed(seed, "reference"))
        chosen = np.sort(rng.choice(chosen, REFERENCE_CLIPS, replace=False))
    head = motion_embeddings(context.model, store, chosen).cpu()
    profiles = torch.stack([stated(context.pack[name].motion_sentences) for name in context.classes])
    labels = torch.from_numpy(store.labels[chosen].astype(np.int64))
    measured = context.fact_captions.measurements(chosen.tolist())
    people = torch.from_numpy(store.column("subject")[chosen].astype(np.int64))
    tolerance = fit_tolerance(measured, labels, profiles, people, seed=stable_seed(seed, "pseudo-unseen"))
    claims = fit_claims(measured, labels, profiles)
    return MotionReference(head, context.fact_captions.rates(), claims, tolerance, labels)
