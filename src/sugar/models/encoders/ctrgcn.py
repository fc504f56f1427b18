"""CTR-GCN, written from the formulas of its paper (arXiv 2107.12213), with the time axis kept to the end.

Two departures, both on purpose (SUGAR, arXiv 2511.10091, "discard the pooling"): the temporal module has no
max-pooling branch, its pointwise branch takes that branch's channels, so the number of weights is the published
one; and nothing is averaged over time at the end.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sugar.config import at_least
from sugar.errors import InputError
from sugar.models.encoders.base import Encoder
from sugar.models.encoders.graph import adjacency_subsets
from sugar.skeleton.layout import JointLayout


@dataclass(frozen=True)
class CTRGCNConfig:
    """CTR-GCN; the defaults are the published network."""

    channels: tuple[int, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    """Output channels of each block."""
    temporal_strides: tuple[int, ...] = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    """Stride in time of each block."""
    reduction: int = 8
    """Divisor of the channels in which joint relations are computed (eight channels at least)."""
    kernel_size: int = 5
    """Length of the temporal kernels."""
    dilations: tuple[int, ...] = (1, 2)
    """Dilations of the temporal branches, three at most; each takes a quarter of the block's channels."""

    def __post_init__(self) -> None:
        at_least(4, "ctrgcn", self, "channels")
        at_least(1, "ctrgcn", self, "temporal_strides", "reduction", "kernel_size", "dilations")
        if len(self.channels) != len(self.temporal_strides):
            raise InputError(
                f"ctrgcn.channels has {len(self.channels)} entries, temporal_strides {len(self.temporal_strides)}: "
                "give both the same length, one entry a block"
            )
        if self.kernel_size % 2 == 0:
            raise InputError(f"ctrgcn.kernel_size is {self.kernel_size}: give an odd number")
        if len(self.dilations) > 3:
            raise InputError(f"ctrgcn.dilations has {len(self.dilations)} entries: give three at most")


class CTRGCN(Encoder):
    """Channel-wise topology refinement graph convolution network: 1.4 M weights, tokens at a quarter of the rate.

    Padding is kept at zero through every convolution, so in evaluation the tokens of a padded clip are those of
    the clip alone; in training the batch statistics see the padded frames.
    """

    def __init__(self, *, layout: JointLayout, config: CTRGCNConfig | None = None) -> None:
        super().__init__()
        config = config or CTRGCNConfig()
        subsets = adjacency_subsets(layout)
        self.out_channels = config.channels[-1]
        self.temporal_strides = config.temporal_strides
        self.input_norm = nn.BatchNorm1d(layout.dimension * layout.num_joints)
        blocks = []
        channels = layout.dimension
        for index, (width, stride) in enumerate(zip(config.channels, config.temporal_strides, strict=True)):
            blocks.append(
                CTRGCNBlock(
                    in_channels=channels,
                    out_channels=width,
                    subsets=subsets,
                    stride=stride,
                    reduction=config.reduction,
                    kernel_size=config.kernel_size,
                    dilations=config.dilations,
                    residual=index > 0,
                )
            )
            channels = width
        self.blocks = nn.ModuleList(blocks)

    def encode(self, joints: Tensor, frames: Tensor | None) -> Tensor:
        """See `Encoder.encode`; `L` is `T` halved, rounding up, at each stride."""
        persons, length, num_joints, channels = joints.shape
        normed = self.input_norm(joints.reshape(persons, length, -1).transpose(1, 2))
        x = normed.view(persons, num_joints, channels, length).permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            x = block(x, frames)
            frames = frames if frames is None else frames[:, :: block.stride]
        return x.mean(-1).transpose(1, 2)

    def token_mask(self, frames: Tensor) -> Tensor:
        """See `Encoder.token_mask`."""
        for stride in self.temporal_strides:
            frames = frames[:, ::stride]
        return frames


class CTRGCNBlock(nn.Module):
    """Graph convolution over joints, then multi-scale temporal convolution, each with its residual."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        subsets: Tensor,
        stride: int,
        reduction: int,
        kernel_size: int,
        dilations: tuple[int, ...],
        residual: bool,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.graph = ChannelTopologyConvolution(
            in_channels=in_channels, out_channels=out_channels, subsets=subsets, reduction=reduction
        )
        self.temporal = MultiScaleTemporalConvolution(
            channels=out_channels, kernel_size=kernel_size, dilations=dilations, stride=stride
        )
        self.residual: nn.Module | None = None
        if residual:
            self.residual = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor, frames: Tensor | None) -> Tensor:
        """`[P, C, T, V]` to `[P, C', ceil(T / stride), V]`; `frames` bool `[P, T]` or None."""
        x = keep_valid(x, frames)
        y = self.temporal(self.graph(x, frames), frames)
        if self.residual is not None:
            y = y + self.residual(x)
        return torch.relu(y)


class ChannelTopologyConvolution(nn.Module):
    """Channel-wise topology refinement (equations 3 to 8): `sum_k (A_k + alpha M_k(x)) W_k x`, norm, residual.

    `M(x)_ij = xi(tanh(psi(x)_i - phi(x)_j))` on time-averaged features. Averaging before the 1x1 convolutions
    psi and phi is the same by linearity and saves their cost at every frame.
    """

    def __init__(self, *, in_channels: int, out_channels: int, subsets: Tensor, reduction: int) -> None:
        super().__init__()
        num_subsets = len(subsets)
        relation_channels = max(in_channels // reduction, 8)
        self.topology = nn.Parameter(subsets.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.psi = nn.Conv1d(in_channels, num_subsets * relation_channels, 1)
        self.phi = nn.Conv1d(in_channels, num_subsets * relation_channels, 1)
        self.xi = nn.Conv2d(num_subsets * relation_channels, num_subsets * out_channels, 1, groups=num_subsets)
        self.value = nn.Conv2d(in_channels, num_subsets * out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.residual = shortcut(in_channels, out_channels, 1)

    def forward(self, x: Tensor, frames: Tensor | None) -> Tensor:
        """`[P, C, T, V]` to `[P, C', T, V]`."""
        persons, _, length, num_joints = x.shape
        num_subsets = len(self.topology)
        if frames is None:
            mean = x.mean(2)
        else:
            mean = x.sum(2) / frames.sum(1).clamp(min=1)[:, None, None].to(x.dtype)
        relation = torch.tanh(self.psi(mean)[..., :, None] - self.phi(mean)[..., None, :])
        refined = self.xi(relation).view(persons, num_subsets, -1, num_joints, num_joints)
        topology = self.topology[:, None] + self.alpha * refined
        value = self.value(x).view(persons, num_subsets, -1, length, num_joints)
        # One matrix product per channel; the subsets lie side by side on its inner axis, so their sum is free.
        left = value.permute(0, 2, 3, 1, 4).flatten(3)
        right = topology.permute(0, 2, 1, 4, 3).flatten(2, 3)
        mixed = left @ right.to(left.dtype)
        return torch.relu(self.norm(mixed) + self.residual(x))


class MultiScaleTemporalConvolution(nn.Module):
    """Parallel temporal branches: one per dilation (1x1, then a dilated kernel) and a pointwise one."""

    def __init__(self, *, channels: int, kernel_size: int, dilations: tuple[int, ...], stride: int) -> None:
        super().__init__()
        width = channels // 4
        rest = channels - width * len(dilations)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()) for _ in dilations
        )
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    width,
                    width,
                    (kernel_size, 1),
                    stride=(stride, 1),
                    padding=(dilation * (kernel_size - 1) // 2, 0),
                    dilation=(dilation, 1),
                ),
                nn.BatchNorm2d(width),
            )
            for dilation in dilations
        )
        self.pointwise = nn.Sequential(nn.Conv2d(channels, rest, 1, stride=(stride, 1)), nn.BatchNorm2d(rest))

    def forward(self, x: Tensor, frames: Tensor | None) -> Tensor:
        """`[P, C, T, V]` to `[P, C, ceil(T / stride), V]`."""
        branches = [
            dilated(keep_valid(reduce(x), frames)) for reduce, dilated in zip(self.reduce, self.dilated, strict=True)
        ]
        return torch.cat([*branches, self.pointwise(x)], dim=1)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Identity where the shapes agree, else a strided 1x1 convolution with batch norm."""
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=(stride, 1)), nn.BatchNorm2d(out_channels))


def keep_valid(x: Tensor, frames: Tensor | None) -> Tensor:
    """Set the padded frames of `[P, C, T, V]` to zero, as a convolution's own padding is."""
    return x if frames is None else x * frames[:, None, :, None].to(x.dtype)
