"""Stage 1: the skeleton encoder learns from knowledge texts (SUGAR, step 2)."""

import torch
from torch import Tensor, nn

from sugar.knowledge.bank import TextBank
from sugar.knowledge.fact_captions import FactCaptions
from sugar.models.encoders import Encoder
from sugar.models.heads.alignment import KnowledgeAlignment
from sugar.models.heads.motion import MotionConfig, MotionHead
from sugar.skeleton.layout import JointLayout
from sugar.training.engine import Objective
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch


class MotionTask(nn.Module):
    """The motion head and what it learns from: motion sentences of the classes, fact captions of the clips.

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
        """The weighted loss of one batch of encoded clips; ``mirrored`` ``[B]`` says whose sides are swapped."""
        loss, logs = self.head(tokens, mask, batch.labels, self.sentences, self.classes, class_groups=class_groups)
        drawn = self.own.draw(batch.indices, mirrored, generator).to(tokens.device)
        own = self.head.own_contrast(tokens, mask, self.own_embeddings[drawn], self.config.own_temperature)
        truth = self.own.claims(batch.indices, mirrored).to(tokens.device)
        claims = self.head.claim_loss(tokens, mask, truth)
        total = (1 - self.config.fact_captions) * loss + self.config.fact_captions * own
        total = total + self.config.claims * claims
        return self.config.weight * total, {
            "motion": logs["contrast"],
            "own": own.detach(),
            "claims": claims.detach(),
        }


class AlignmentObjective(Objective):
    """Augment, encode, contrast with texts. Its forward is the loss, so that any wrapper wraps all of it.

    Args:
        bank: texts of the training classes, classes numbered as the labels are.
        motion: the motion head's task; None: knowledge texts alone, as in the paper.
        class_groups: ``[K, K]`` bool, which classes each is told apart from (`group_classes`); None: from all.
    """

    texts: Tensor
    text_classes: Tensor
    class_groups: Tensor | None

    def __init__(
        self,
        *,
        encoder: Encoder,
        alignment: KnowledgeAlignment,
        bank: TextBank,
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        motion: MotionTask | None = None,
        class_groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.alignment, self.motion = encoder, alignment, motion
        self.layout, self.augmentation, self.frames = layout, augmentation, frames
        self.register_buffer("texts", bank.embeddings, persistent=False)
        self.register_buffer("text_classes", bank.classes, persistent=False)
        self.register_buffer("class_groups", class_groups, persistent=False)
        self._of_kind: dict[str, list[int]] = {}
        for row, kind in enumerate(bank.kinds):
            self._of_kind.setdefault(kind, []).append(row)

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        joints, frames, mirrored = augment(batch, self.layout, self.augmentation, self.frames, generator)
        tokens, mask = self.encoder(joints, batch.persons, frames)
        texts, text_classes = self.texts, self.text_classes
        if self.alignment.config.negatives == "batch":
            drawn = self._draw(batch.labels, generator)
            texts, text_classes = texts[drawn], text_classes[drawn]
        loss, logs = self.alignment(tokens, mask, batch.labels, texts, text_classes, generator, self.class_groups)
        if self.motion is not None:
            motion_loss, motion_logs = self.motion(tokens, mask, batch, mirrored, generator, self.class_groups)
            loss, logs = loss + motion_loss, logs | motion_logs
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
