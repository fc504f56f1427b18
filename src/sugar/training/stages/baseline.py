"""The linear baseline `fc`, trained on the same engine and data as the method that it is compared with."""

import torch
from torch import Tensor

from sugar.models.heads.baseline import LinearBaseline
from sugar.skeleton.layout import JointLayout
from sugar.training.class_groups import grouped_cross_entropy
from sugar.training.context import Context
from sugar.training.engine.fit import Objective
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch


class BaselineObjective(Objective):
    """Augment, encode, softmax cross-entropy; ``class_groups`` as in `AlignmentObjective`."""

    class_groups: Tensor | None

    def __init__(
        self,
        *,
        baseline: LinearBaseline,
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        label_smoothing: float,
        class_groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("class_groups", class_groups, persistent=False)
        self.baseline = baseline
        self.layout, self.augmentation, self.frames = layout, augmentation, frames
        self.label_smoothing = label_smoothing

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        joints, frames, _ = augment(batch, self.layout, self.augmentation, self.frames, generator)
        logits = self.baseline.branch_logits(joints, batch.persons, frames)
        labels = batch.labels.repeat(len(logits))
        loss = grouped_cross_entropy(logits.flatten(0, 1), labels, self.class_groups, self.label_smoothing)
        accuracy = (logits.mean(dim=0).argmax(dim=1) == batch.labels).float().mean()
        return loss, {"accuracy": accuracy.detach()}


class BaselineStage:
    """The linear baseline `fc`."""

    name, validated = "baseline", "fc"

    def build(self, context: Context) -> Objective:
        """The objective on a fresh baseline."""
        config = context.config
        context.seed("baseline")
        return BaselineObjective(
            baseline=context.model.add_baseline(),
            layout=context.store.layout,
            augmentation=config.baseline.augment,
            frames=config.model.frames,
            label_smoothing=config.baseline.label_smoothing,
            class_groups=context.class_groups,
        )

    def finish(self, context: Context) -> None:
        """Nothing more to do."""
