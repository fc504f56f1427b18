"""From clips to padded batches of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sugar.errors import InputError
from sugar.facts.body_frame import straighten
from sugar.skeleton import geometry as transforms
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.skeleton.retarget import retarget


@dataclass(frozen=True)
class PreprocessConfig:
    """What every clip goes through once, in training and in use alike."""

    straighten: bool = True
    """Take out the sensor's tilt and its mistaking of left for right (3-D only; `sugar.facts.body_frame`)."""
    trim: bool = True
    """Leave out the frames at both ends in which nobody is there."""
    align_heading: bool = True
    """Turn the clip about the vertical so that the median shoulder-and-hip axis lies on x (3-D only)."""
    scale: bool = True
    """Divide by the median total bone length, so that body size goes out of the data."""
    center: bool = True
    """Subtract the first person's root joint in its first frame."""
    max_persons: int = 2
    """Keep the persons with most motion."""

    def __post_init__(self) -> None:
        if self.max_persons < 1:
            raise InputError(f"preprocess.max_persons must be at least 1, not {self.max_persons}")


def preprocess(clip: SkeletonClip, config: PreprocessConfig) -> npt.NDArray[np.float32]:
    """Joints ``[T, M, V, C]`` of a clip as the models take them.

    Raises:
        InputError: all joints lie at one point.
    """
    layout = clip.layout
    joints = straighten(clip) if config.straighten else clip.joints
    if config.trim:
        joints = transforms.trim(joints)
    if clip.num_persons > config.max_persons:
        joints, _ = transforms.select_persons(joints, config.max_persons)
    if config.align_heading and layout.dimension == 3:
        joints = transforms.align_heading(joints, layout)
    if config.scale:
        joints = transforms.normalize_scale(joints, layout)
    # Last, because it makes the first root joint exactly zero, which elsewhere means "not measured".
    joints = transforms.center(joints, layout) if config.center else joints
    if not joints.any():
        raise InputError(f"clip {clip.clip_id!r}: all its joints lie at one point, so there is no body; leave it out")
    return joints


@dataclass
class ClipBatch:
    """Clips padded with zeros to the longest and to the most persons.

    Args:
        joints: ``[B, T, M, V, C]`` float32.
        lengths: ``[B]`` frames of each clip.
        persons: ``[B, M]`` true where a person is present in any frame.
        labels: ``[B]`` class indices, -1 for none.
        indices: ``[B]`` positions in the store (or in the list that was batched).
    """

    joints: Tensor
    lengths: Tensor
    persons: Tensor
    labels: Tensor
    indices: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device | str) -> "ClipBatch":
        """The batch on another device."""
        return ClipBatch(**{name: t.to(device, non_blocking=True) for name, t in vars(self).items()})

    def pin_memory(self) -> "ClipBatch":
        """In page-locked memory; torch's DataLoader calls it when asked to pin."""
        return ClipBatch(**{name: t.pin_memory() for name, t in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Item:
    """One preprocessed clip: joints ``[T, M, V, C]``, its class index or -1, and its position."""

    joints: npt.NDArray[np.float32]
    label: int
    index: int


def collate(items: Sequence[Item]) -> ClipBatch:
    """Pad items to one batch; the ``collate_fn`` of a DataLoader."""
    frames = max(item.joints.shape[0] for item in items)
    persons = max(item.joints.shape[1] for item in items)
    joints = np.zeros((len(items), frames, persons, *items[0].joints.shape[2:]), dtype=np.float32)
    for row, item in zip(joints, items, strict=True):
        row[: item.joints.shape[0], : item.joints.shape[1]] = item.joints
    return ClipBatch(
        joints=torch.from_numpy(joints),
        lengths=torch.tensor([len(item.joints) for item in items]),
        persons=torch.from_numpy(joints.any(axis=(1, 3, 4))),
        labels=torch.tensor([item.label for item in items]),
        indices=torch.tensor([item.index for item in items]),
    )


def batch_clips(clips: Sequence[SkeletonClip], config: PreprocessConfig, layout: JointLayout) -> ClipBatch:
    """Preprocess and pad clips that are in no store, for prediction; labels are -1, indices count from 0.

    Raises:
        InputError: a clip of another layout that cannot be brought to ``layout``.
    """
    brought = [clip if clip.layout == layout else retarget(clip, layout) for clip in clips]
    return collate([Item(preprocess(clip, config), -1, i) for i, clip in enumerate(brought)])
