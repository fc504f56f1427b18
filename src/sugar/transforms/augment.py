"""Augmentation of padded batches of tensors, on whatever device the batch lies.

The same mathematics as :mod:`sugar.skeleton.geometry`, for all clips at once. Every random number comes
from the generator that is handed in, so a caller who seeds it by (seed, epoch, step, rank) gets other draws
in every epoch and process and the same ones in every run.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout
from sugar.transforms.batches import ClipBatch


@dataclass(frozen=True)
class AugmentConfig:
    """How training clips are varied. Lengths are in units of the preprocessed clip (body scale 1)."""

    min_crop: float = 0.5
    """Shortest random crop in time, as a share of the clip; 1 is no crop."""
    max_crop: float = 1.0
    """Longest random crop in time."""
    speed_warp: float = 0.0
    """Speed changes through the clip by up to this share, below 1: faster at first, then slower, or
    reversed."""
    yaw: float = 60.0
    """Largest turn about the vertical, degrees to either side."""
    tilt: float = 17.0
    """Largest turn about each horizontal axis (for 2-D: in the image plane), degrees to either side."""
    scale: float = 0.15
    """Largest change of size along each axis, as a share; an own one for width, height and depth."""
    mirror: float = 0.5
    """Probability of a reflection with left and right joints swapped. Use 0 where classes differ by side."""
    jitter: float = 0.0
    """Standard deviation of Gaussian noise on every coordinate."""
    joint_drop: float = 0.0
    """Probability of each joint to be zero through the whole clip."""

    def __post_init__(self) -> None:
        if not 0 < self.min_crop <= self.max_crop <= 1:
            raise InputError(
                f"augment.min_crop and max_crop must rise within 0..1, not {self.min_crop}, {self.max_crop}"
            )
        for name, top in (("speed_warp", 0.99), ("scale", 0.99), ("mirror", 1.0), ("joint_drop", 0.99)):
            if not 0 <= getattr(self, name) <= top:
                raise InputError(f"augment.{name} must lie between 0 and {top}, not {getattr(self, name)}")
        if self.yaw < 0 or self.tilt < 0 or self.jitter < 0:
            raise InputError("augment.yaw, tilt and jitter must not be negative")


class Augmented(NamedTuple):
    """Varied clips.

    Args:
        joints: ``[B, T, M, V, C]``.
        frames: ``[B, T]`` the mask of real frames.
        mirrored: ``[B]`` bool, which clips were reflected: what is said of their sides must be swapped too.
    """

    joints: Tensor
    frames: Tensor
    mirrored: Tensor


def augment(
    batch: ClipBatch, layout: JointLayout, config: AugmentConfig, frames: int, generator: torch.Generator
) -> Augmented:
    """Crop, resample, reflect, rotate, scale, add noise and drop joints, each clip with its own draws.

    Args:
        frames: length of the result; 0 keeps each clip's own length, padded, and does not crop.
    """
    draw = _Draw(generator, batch.joints.device, len(batch))
    joints, mask = _crop(batch, config, frames, draw) if frames else own_length(batch)
    flip = torch.zeros(len(batch), dtype=torch.bool, device=joints.device)
    if config.mirror:
        flip = draw.between(0, 1) < config.mirror
        joints = mirror_batch(joints, layout, flip)
    # A caller may be inside autocast, whose bfloat16 products would round the coordinates to three digits.
    with torch.autocast(joints.device.type, enabled=False):
        joints = _linear_map(joints, _random_matrices(layout, config, draw))
    if config.jitter:
        # What was not measured stays exactly zero.
        noise = draw.normal(joints.shape) * config.jitter
        joints = torch.where((joints != 0).any(-1, keepdim=True), joints + noise, joints)
    if config.joint_drop:
        kept = draw.between(0, 1, layout.num_joints) >= config.joint_drop
        joints = joints * kept[:, None, None, :, None]
    return Augmented(joints, mask, flip)


def _crop(batch: ClipBatch, config: AugmentConfig, frames: int, draw: "_Draw") -> tuple[Tensor, Tensor]:
    last = (batch.lengths - 1).to(torch.float32)
    share = draw.between(config.min_crop, config.max_crop)
    start = (1 - share) * draw.between(0, 1) * last
    warp = draw.between(-config.speed_warp, config.speed_warp) if config.speed_warp else None
    joints = resample_batch(batch.joints, batch.lengths, frames, start, start + share * last, warp)
    return joints, torch.ones(joints.shape[:2], dtype=torch.bool, device=joints.device)


def own_length(batch: ClipBatch) -> tuple[Tensor, Tensor]:
    """The padded clips as they are, ``[B, T, M, V, C]``, and the mask of their real frames ``[B, T]``."""
    steps = torch.arange(batch.joints.shape[1], device=batch.joints.device)
    return batch.joints, steps < batch.lengths[:, None]


def resample_batch(
    joints: Tensor, lengths: Tensor, frames: int, start: Tensor, stop: Tensor, warp: Tensor | None = None
) -> Tensor:
    """Linear interpolation in time of each clip's own stretch to a common length.

    Args:
        joints: ``[B, T, M, V, C]`` padded.
        lengths: ``[B]`` real frames of each clip.
        frames: length of the result.
        start, stop: ``[B]`` first and last frame position, fractional, within 0..length-1.
        warp: ``[B]`` in (-1, 1): time p in 0..1 becomes ``p + warp sin(pi p) / pi``, whose ends stay and
            whose speed runs from ``1 + warp`` to ``1 - warp``.

    Returns:
        ``[B, frames, M, V, C]``. Where one neighbor lacks a person, the nearer one is taken as it is.
    """
    size, length = joints.shape[:2]
    steps = torch.arange(frames, device=joints.device, dtype=torch.float32)
    time = (steps / (frames - 1) if frames > 1 else steps + 0.5).expand(size, frames)
    if warp is not None:
        time = time + warp[:, None] * torch.sin(math.pi * time) / math.pi
    position = start[:, None] + (stop - start)[:, None] * time
    last = (lengths - 1)[:, None]
    low = torch.minimum(position.floor().long().clamp_min(0), last)
    high = torch.minimum(low + 1, last)
    weight = (position - low).clamp(0, 1)
    # One gather of whole frames: rows of [B * T, M * V * C].
    rows = torch.cat([low, high]) + (torch.arange(size, device=joints.device) * length).repeat(2)[:, None]
    taken = joints.flatten(0, 1).index_select(0, rows.flatten()).view(2, size, frames, *joints.shape[2:])
    before, after = taken[0], taken[1]
    weight = weight[:, :, None].expand(size, frames, joints.shape[2])
    both = (before != 0).any(-1).any(-1) & (after != 0).any(-1).any(-1)
    weight = torch.where(both, weight, (weight >= 0.5).to(weight.dtype))
    return torch.lerp(before, after, weight[..., None, None])


def mirror_batch(joints: Tensor, layout: JointLayout, flip: Tensor) -> Tensor:
    """Reflect the first level axis and swap left and right joints of the clips chosen by ``flip`` ``[B]``."""
    mirrored = joints.index_select(3, torch.tensor(layout.mirror, device=joints.device))
    mirrored[..., layout.level_axes[0]].neg_()
    return torch.where(flip[:, None, None, None, None], mirrored, joints)


def _linear_map(joints: Tensor, matrices: Tensor) -> Tensor:
    """Multiply the joints of each clip, as row vectors, by its ``[C, C]`` matrix."""
    return torch.bmm(joints.flatten(1, 3), matrices).view(joints.shape)


def _random_matrices(layout: JointLayout, config: AugmentConfig, draw: "_Draw") -> Tensor:
    """``[B, C, C]`` random stretch of the axes, then rotation; transposed, for row vectors."""
    stretch = draw.between(1 - config.scale, 1 + config.scale, layout.dimension)[:, :, None]
    if layout.dimension == 2:
        matrix = axis_rotation(2, draw.degrees(config.tilt))[:, :2, :2]
    else:
        first, second = layout.level_axes
        matrix = axis_rotation(layout.up, draw.degrees(config.yaw))
        matrix = axis_rotation(first, draw.degrees(config.tilt)) @ matrix
        matrix = axis_rotation(second, draw.degrees(config.tilt)) @ matrix
    return stretch * matrix.transpose(1, 2)


def axis_rotation(axis: int, angle: Tensor) -> Tensor:
    """``[B, 3, 3]`` right-handed rotations about a coordinate axis by ``angle`` ``[B]`` radians."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.zeros(len(angle), 3, 3, device=angle.device)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = cos
    matrix[:, i, j] = -sin
    matrix[:, j, i] = sin
    return matrix


class _Draw:
    """Random tensors from one generator (on its device), moved to the batch's device."""

    def __init__(self, generator: torch.Generator, device: torch.device, size: int) -> None:
        self.generator, self.device, self.size = generator, device, size

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        draws = torch.rand(self.size, *shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * draws).to(self.device)

    def degrees(self, largest: float) -> Tensor:
        return torch.deg2rad(self.between(-largest, largest))

    def normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(self.device)
