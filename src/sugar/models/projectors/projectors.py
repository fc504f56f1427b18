"""The projectors that SUGAR's Table on projections compares with TQP, and the choice among the four.

Each maps encoder tokens ``[B, L, d]`` and their mask ``[B, L]`` to tokens of the LLM's width ``[B, Q, out]``;
`output_mask` says which of these count.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sugar.config import at_least, between
from sugar.errors import InputError
from sugar.models.projectors.tqp import Attention, QFormerLayer, TemporalQueryProjection, TokenReader


class LinearProjector(nn.Module):
    """One linear layer over all tokens: no reduction, Q = L. Padding stays padding (`output_mask`)."""

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.out = nn.Linear(in_channels, out_channels)

    def output_mask(self, mask: Tensor) -> Tensor:
        return mask

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``[B, L, in_channels]`` -> ``[B, L, out_channels]``, zero where masked."""
        return self.out(tokens).masked_fill(~mask[..., None], 0.0)


class QFormerProjector(nn.Module):
    """One Q-Former over all tokens at once (BLIP-2, arXiv 2301.12597), with TQP's own layers."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_queries: int,
        num_layers: int,
        num_heads: int,
        out_channels: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, channels))
        self.reader = TokenReader(in_channels=in_channels, channels=channels)
        self.layers = nn.ModuleList(
            QFormerLayer(channels=channels, num_heads=num_heads, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, out_channels)

    def output_mask(self, mask: Tensor) -> Tensor:
        return mask.new_ones(mask.shape[0], self.queries.shape[0])

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``[B, L, in_channels]`` -> ``[B, Q, out_channels]``; every sample needs a real token."""
        memory = self.reader(tokens)
        queries = self.queries.expand(tokens.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, memory, mask)
        return self.out(self.norm(queries))


class CrossAttentionProjector(nn.Module):
    """A single cross-attention of learned queries: no self-attention, no feed-forward, no residual."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_queries: int,
        num_heads: int,
        out_channels: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_queries, channels))
        self.reader = TokenReader(in_channels=in_channels, channels=channels)
        self.attention = Attention(channels=channels, num_heads=num_heads, dropout=dropout)
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, out_channels)

    def output_mask(self, mask: Tensor) -> Tensor:
        return mask.new_ones(mask.shape[0], self.queries.shape[0])

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``[B, L, in_channels]`` -> ``[B, Q, out_channels]``; every sample needs a real token."""
        queries = self.queries.expand(tokens.shape[0], -1, -1)
        return self.out(self.norm(self.attention(queries, self.reader(tokens), mask)))


Projector = TemporalQueryProjection | LinearProjector | QFormerProjector | CrossAttentionProjector


@dataclass
class ProjectorConfig:
    """What stands between the encoder and the LLM."""

    kind: Literal["tqp", "linear", "qformer", "cross_attention"] = "tqp"
    """tqp (ours), or one of the paper's class_groups: linear, qformer, cross_attention"""
    channels: int = 128
    """Width inside the projector; not used by linear"""
    num_queries: int = 8
    """Tokens the LLM gets (the paper: 128); not used by linear, which keeps every token"""
    num_layers: int = 2
    """Q-Former layers; used by tqp and qformer"""
    num_heads: int = 4
    """Attention heads; a divisor of channels; not used by linear"""
    segment_length: int = 4
    """Encoder tokens in a segment; used by tqp"""
    carry: Literal["queries", "gated"] = "queries"
    """What a segment hands on to the next; used by tqp. queries: what the layers made of the query, the paper's;
    gated: a mean of what all segments told, with learned gates (`GatedMemory`), for sequences of many segments"""
    dropout: float = 0.1
    """Dropout of attention and residual branches; not used by linear"""

    def __post_init__(self) -> None:
        at_least(1, "projector", self, "channels", "num_queries", "num_layers", "num_heads", "segment_length")
        between(0, 0.99, "projector", self, "dropout")
        if self.channels % self.num_heads and self.kind != "linear":
            raise InputError(
                f"projector.num_heads is {self.num_heads}: "
                f"give a divisor of projector.channels, which is {self.channels}"
            )

    def build(self, *, in_channels: int, out_channels: int) -> Projector:
        """The projector from an encoder's ``out_channels`` to the LLM's width, with fresh weights."""
        match self.kind:
            case "tqp":
                return TemporalQueryProjection(
                    in_channels=in_channels,
                    channels=self.channels,
                    num_queries=self.num_queries,
                    num_layers=self.num_layers,
                    num_heads=self.num_heads,
                    segment_length=self.segment_length,
                    out_channels=out_channels,
                    dropout=self.dropout,
                    carry=self.carry,
                )
            case "linear":
                return LinearProjector(in_channels=in_channels, out_channels=out_channels)
            case "qformer":
                return QFormerProjector(
                    in_channels=in_channels,
                    channels=self.channels,
                    num_queries=self.num_queries,
                    num_layers=self.num_layers,
                    num_heads=self.num_heads,
                    out_channels=out_channels,
                    dropout=self.dropout,
                )
            case "cross_attention":
                return CrossAttentionProjector(
                    in_channels=in_channels,
                    channels=self.channels,
                    num_queries=self.num_queries,
                    num_heads=self.num_heads,
                    out_channels=out_channels,
                    dropout=self.dropout,
                )
