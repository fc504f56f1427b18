"""Stage 1: the skeleton encoder learns from knowledge texts (SUGAR, step 2)."""

import torch
from torch import Tensor

from sugar.datasets.augment import AugmentConfig, augment
from sugar.datasets.batches import ClipBatch
from sugar.knowledge.bank import TextBank
from sugar.models.alignment import KnowledgeAlignment
from sugar.models.encoders import Encoder
from sugar.skeleton.layout import JointLayout
from sugar.training.engine import Objective


class RepresentObjective(Objective):
    """Augment, encode, contrast with texts. Its forward is the loss, so that any wrapper wraps all of it.

    Args:
        bank: texts of the training classes, classes numbered as the labels are.
    """

    texts: Tensor
    text_classes: Tensor

    def __init__(
        self,
        *,
        encoder: Encoder,
        alignment: KnowledgeAlignment,
        bank: TextBank,
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
    ) -> None:
        super().__init__()
        self.encoder, self.alignment = encoder, alignment
        self.layout, self.augmentation, self.frames = layout, augmentation, frames
        self.register_buffer("texts", bank.embeddings, persistent=False)
        self.register_buffer("text_classes", bank.classes, persistent=False)
        self._of_kind: dict[str, list[int]] = {}
        for row, kind in enumerate(bank.kinds):
            self._of_kind.setdefault(kind, []).append(row)

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        joints, frames = augment(batch, self.layout, self.augmentation, self.frames, generator)
        tokens, mask = self.encoder(joints, batch.persons, frames)
        texts, text_classes = self.texts, self.text_classes
        if self.alignment.config.negatives == "batch":
            drawn = self._draw(batch.labels, generator)
            texts, text_classes = texts[drawn], text_classes[drawn]
        return self.alignment(tokens, mask, batch.labels, texts, text_classes)

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Per clip one motion text and n visual texts of its class, at random (DESIGN D5): bank indices."""
        wanted = {"motion": 1, "visual": self.alignment.config.visual_texts}
        drawn = []
        for kind, count in wanted.items():
            rows = torch.tensor(self._of_kind.get(kind, []), dtype=torch.long)
            if count == 0 or rows.numel() == 0:
                continue
            same_class = self.text_classes[rows.to(self.text_classes.device)].cpu() == labels.cpu().unsqueeze(1)
            keys = torch.rand(same_class.shape, generator=generator).masked_fill(~same_class, -1.0)
            drawn.append(rows[keys.topk(min(count, int(same_class.sum(dim=1).min())), dim=1).indices].flatten())
        return torch.cat(drawn).to(labels.device)
