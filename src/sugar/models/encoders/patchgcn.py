"""PatchGCN, the default encoder: small enough to train on one CPU thread, and made for what joints tell.

Postures and velocities are cut into short patches of frames. Blocks of joint mixing (a learned topology plus
one that each clip's own features refine) work on `[patch, joint]` tokens; one linear layer then reads the whole
body of a patch, and dense temporal convolutions work on one token a patch. Almost all arithmetic is in large
matrix products; element-wise dropout, depthwise kernels and GELU are avoided because they dominate on a CPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sugar.config import at_least, between
from sugar.errors import InputError
from sugar.models.encoders.base import Encoder
from sugar.models.encoders.streams import Stream, StreamReader
from sugar.models.encoders.token_norm import Norm, normalize, token_norm
from sugar.skeleton.layout import JointLayout


@dataclass(frozen=True)
class PatchGCNConfig:
    """The default encoder."""

    patch_frames: int = 4
    """Frames that make one token."""
    joint_channels: int = 32
    """Channels of a joint's token."""
    joint_blocks: int = 1
    """Number of blocks that mix joints."""
    channels: int = 128
    """Channels of a patch's token, the width of the output."""
    temporal_blocks: int = 4
    """Number of blocks that mix time."""
    dilations: tuple[int, ...] = (1, 1, 2, 2)
    """Dilations of the temporal kernels, repeated as needed."""
    num_heads: int = 4
    """Topologies a joint-mixing block learns side by side."""
    expansion: int = 2
    """Hidden channels of the feed-forward layers, as a multiple."""
    channel_dropout: float = 0.2
    """Probability that a channel is dropped for a whole clip."""
    path_dropout: float = 0.1
    """Probability that a residual branch is dropped for a whole clip."""
    norm: Norm = "batch"
    """`batch`: each channel over a batch, as graph convolution networks have it; `layer`: each token by itself."""
    streams: tuple[Stream, ...] = ("posture", "velocity")
    """What is read of the joints (`StreamReader`)."""

    def __post_init__(self) -> None:
        at_least(
            1, "patchgcn", self, "patch_frames", "joint_channels", "channels", "dilations", "num_heads", "expansion"
        )
        at_least(0, "patchgcn", self, "joint_blocks", "temporal_blocks")
        between(0, 0.99, "patchgcn", self, "channel_dropout", "path_dropout")
        if self.joint_channels % self.num_heads:
            raise InputError(
                f"patchgcn.num_heads is {self.num_heads}: give a divisor of patchgcn.joint_channels, which is "
                f"{self.joint_channels}"
            )
        if not self.streams:
            raise InputError("patchgcn.streams is empty: name one at least, such as posture")


class PatchGCN(Encoder):
    """Tokens of `patch_frames` frames each from postures and velocities.

    Expects joints in units of the body (its bones add up to 1). Padded frames are set to zero wherever time is mixed or
    averaged, so the valid tokens of a padded clip are those of the clip alone.
    """

    def __init__(self, *, layout: JointLayout, config: PatchGCNConfig | None = None) -> None:
        super().__init__()
        config = config or PatchGCNConfig()
        self.patch_frames = config.patch_frames
        self.out_channels = config.channels
        self.read = StreamReader(config.streams, layout)
        width = config.joint_channels
        self.embed = nn.Linear(self.read.channels * config.patch_frames, width)
        self.joint_embedding = nn.Parameter(0.02 * torch.randn(layout.num_joints, width))
        self.joint_blocks = nn.ModuleList(
            JointBlock(
                channels=width,
                num_joints=layout.num_joints,
                num_heads=config.num_heads,
                expansion=config.expansion,
                channel_dropout=config.channel_dropout,
                path_dropout=config.path_dropout,
                norm=config.norm,
            )
            for _ in range(config.joint_blocks)
        )
        self.body_norm = token_norm(config.norm, width)
        self.body = nn.Linear(layout.num_joints * width, config.channels)
        self.body_dropout = ClipDropout(config.channel_dropout)
        self.temporal_blocks = nn.ModuleList(
            TemporalBlock(
                channels=config.channels,
                dilation=config.dilations[index % len(config.dilations)],
                expansion=config.expansion,
                channel_dropout=config.channel_dropout,
                path_dropout=config.path_dropout,
                norm=config.norm,
            )
            for index in range(config.temporal_blocks)
        )
        self.norm = token_norm(config.norm, config.channels)

    def encode(self, joints: Tensor, frames: Tensor | None) -> Tensor:
        """See `Encoder.encode`; `L` is `ceil(T / patch_frames)`."""
        if frames is not None:
            joints = joints * frames[:, :, None, None].to(joints.dtype)
        streams = self.read(joints)
        if frames is not None:
            # The first padded frame has a velocity.
            streams = streams * frames[:, :, None, None].to(streams.dtype)
        persons, _, num_joints, _ = streams.shape
        rest = -streams.shape[1] % self.patch_frames
        patches = F.pad(streams, (0, 0, 0, 0, 0, rest)).unflatten(1, (-1, self.patch_frames))
        patches = patches.transpose(2, 3).reshape(persons, -1, num_joints, self.embed.in_features)
        mask = None if frames is None else self.token_mask(frames)
        x = self.embed(patches)
        x = x + self.joint_embedding.to(x.dtype)
        for block in self.joint_blocks:
            x = block(x, mask)
        x = self.body(self.body_dropout(normalize(self.body_norm, x, mask).flatten(2)))
        for block in self.temporal_blocks:
            x = block(x, mask)
        return normalize(self.norm, x, mask)

    def token_mask(self, frames: Tensor) -> Tensor:
        """See `Encoder.token_mask`."""
        rest = -frames.shape[1] % self.patch_frames
        return F.pad(frames, (0, rest)).unflatten(1, (-1, self.patch_frames)).any(-1)


class JointBlock(nn.Module):
    """Joint mixing and a feed-forward layer, pre-norm and residual, on `[P, L, V, C]`."""

    def __init__(
        self,
        *,
        channels: int,
        num_joints: int,
        num_heads: int,
        expansion: int,
        channel_dropout: float,
        path_dropout: float,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.mix_norm = token_norm(norm, channels)
        self.mix = JointMixing(channels=channels, num_joints=num_joints, num_heads=num_heads)
        self.time_norm = token_norm(norm, channels)
        self.time = TemporalConvolution(channels=channels, dilation=1)
        self.feed_norm = token_norm(norm, channels)
        self.feed = feed_forward(channels, expansion, channel_dropout)
        self.path_dropout = PathDropout(path_dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`mask` bool `[P, L]` or None."""
        x = x + self.path_dropout(self.mix(normalize(self.mix_norm, x, mask), mask))
        x = x + self.path_dropout(F.silu(self.time(normalize(self.time_norm, x, mask), mask)))
        return x + self.path_dropout(self.feed(normalize(self.feed_norm, x, mask)))


class JointMixing(nn.Module):
    """Every joint takes from every other: per head a learned topology plus attention between a clip's joints.

    The attention is computed once a clip, on features averaged over its valid patches, as CTR-GCN
    (arXiv 2107.12213) infers its topology; its weight starts at zero.
    """

    def __init__(self, *, channels: int, num_joints: int, num_heads: int, key_channels: int = 8) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_channels = key_channels
        topology = 0.5 * torch.eye(num_joints) + 0.05 * torch.randn(num_heads, num_joints, num_joints)
        self.topology = nn.Parameter(topology)
        self.strength = nn.Parameter(torch.zeros(num_heads))
        self.query_key = nn.Linear(channels, 2 * num_heads * key_channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`[P, L, V, C]` to the same; `mask` bool `[P, L]` or None."""
        persons, length, num_joints, channels = x.shape
        if mask is None:
            mean = x.mean(1)
        else:
            weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
            mean = (x * weight[:, :, None, None].to(x.dtype)).sum(1)
        pairs = self.query_key(mean).view(persons, num_joints, 2, self.num_heads, self.key_channels)
        query, key = pairs.permute(2, 0, 3, 1, 4)
        attention = torch.softmax(query @ key.transpose(-1, -2) / self.key_channels**0.5, dim=-1)
        topology = self.topology + self.strength[:, None, None] * attention
        # One matrix product a head with time and channels side by side on its outer axis.
        value = self.value(x).view(persons, length, num_joints, self.num_heads, -1)
        value = value.permute(0, 3, 2, 1, 4).flatten(3)
        mixed = topology.to(value.dtype) @ value
        mixed = mixed.view(persons, self.num_heads, num_joints, length, -1).permute(0, 3, 2, 1, 4)
        return self.out(mixed.reshape(persons, length, num_joints, channels))


class TemporalBlock(nn.Module):
    """Temporal convolution and a feed-forward layer, pre-norm and residual, on `[P, L, C]`."""

    def __init__(
        self, *, channels: int, dilation: int, expansion: int, channel_dropout: float, path_dropout: float, norm: Norm
    ) -> None:
        super().__init__()
        self.time_norm = token_norm(norm, channels)
        self.time = TemporalConvolution(channels=channels, dilation=dilation)
        self.dropout = ClipDropout(channel_dropout)
        self.feed_norm = token_norm(norm, channels)
        self.feed = feed_forward(channels, expansion, channel_dropout)
        self.path_dropout = PathDropout(path_dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`mask` bool `[P, L]` or None."""
        x = x + self.path_dropout(self.dropout(F.silu(self.time(normalize(self.time_norm, x, mask), mask))))
        return x + self.path_dropout(self.feed(normalize(self.feed_norm, x, mask)))


class TemporalConvolution(nn.Module):
    """A dense kernel of three along axis 1, as one matrix product: faster than `Conv1d` on a CPU in bfloat16."""

    def __init__(self, *, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.linear = nn.Linear(3 * channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`[P, L, ..., C]` to the same; padded tokens count as zero, like the convolution's own padding."""
        if mask is not None:
            x = x * mask.view(*mask.shape, *([1] * (x.ndim - 2))).to(x.dtype)
        length = x.shape[1]
        padded = F.pad(x, (*([0, 0] * (x.ndim - 2)), self.dilation, self.dilation))
        taps = [padded[:, :length], x, padded[:, 2 * self.dilation :]]
        return self.linear(torch.cat(taps, dim=-1))


class ClipDropout(nn.Module):
    """Drop whole channels of a clip: one random number a channel, where element-wise dropout draws one each."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """`[P, ..., C]` to the same."""
        if not self.training or self.probability == 0.0:
            return x
        return drop(x, (x.shape[0], *([1] * (x.ndim - 2)), x.shape[-1]), self.probability)


class PathDropout(nn.Module):
    """Stochastic depth (arXiv 1603.09382): drop a residual branch for a whole clip."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """`[P, ...]` to the same."""
        if not self.training or self.probability == 0.0:
            return x
        return drop(x, (x.shape[0], *([1] * (x.ndim - 1))), self.probability)


def drop(x: Tensor, shape: tuple[int, ...], probability: float) -> Tensor:
    """Zero with a probability, one draw for each element of `shape`, and scale up what is kept."""
    keep = torch.rand(shape, device=x.device) >= probability
    return x * (keep / (1.0 - probability)).to(x.dtype)


def feed_forward(channels: int, expansion: int, channel_dropout: float) -> nn.Module:
    """Two linear layers with SiLU and channel dropout between them."""
    return nn.Sequential(
        nn.Linear(channels, expansion * channels),
        nn.SiLU(),
        ClipDropout(channel_dropout),
        nn.Linear(expansion * channels, channels),
    )
