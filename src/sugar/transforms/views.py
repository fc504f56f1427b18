"""Deterministic looks at a clip, for recognition: which part of it, mirrored or not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout
from sugar.transforms.augment import mirror_batch, own_length, resample_batch
from sugar.transforms.batches import ClipBatch


@dataclass(frozen=True)
class View:
    """One look at a clip."""

    start: float = 0.0
    """Where the look begins, as a share of the clip."""
    stop: float = 1.0
    """Where it ends."""
    mirror: bool = False
    """Left and right exchanged. Wrong where classes differ by their side."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise InputError(f"views: start and stop must rise within 0..1, not {self.start}, {self.stop}")


def view_joints(batch: ClipBatch, layout: JointLayout, view: View, frames: int) -> tuple[Tensor, Tensor]:
    """A batch through one view.

    Args:
        frames: every clip is resampled to so many; 0 keeps each clip's own length, whole.

    Returns:
        joints ``[B, T, M, V, C]`` and the mask of real frames ``[B, T]``.
    """
    if frames:
        last = (batch.lengths - 1).to(torch.float32)
        joints = resample_batch(batch.joints, batch.lengths, frames, view.start * last, view.stop * last)
        mask = torch.ones(joints.shape[:2], dtype=torch.bool, device=joints.device)
    else:
        joints, mask = own_length(batch)
    if view.mirror:
        joints = mirror_batch(joints, layout, torch.ones(len(batch), dtype=torch.bool, device=joints.device))
    return joints, mask
