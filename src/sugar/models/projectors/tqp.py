"""Temporal Query Projection: a Q-Former that reads a long token sequence segment after segment.

SUGAR (arXiv 2511.10091), step 3. The parts (`Attention`, `QFormerLayer`, `TokenReader`) also build the
projectors it is compared with, in `sugar.models.projectors.projectors`.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoidal_positions(length: int, channels: int, *, device: torch.device | None = None) -> Tensor:
    """Sine and cosine of positions 0 .. length-1, float32 ``[length, channels]`` (arXiv 1706.03762, 3.5)."""
    position = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    frequency = torch.exp(
        torch.arange(0, channels, 2, device=device, dtype=torch.float32) * (-math.log(10_000.0) / channels)
    )
    table = torch.zeros(length, channels, device=device)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: channels // 2])
    return table


class Attention(nn.Module):
    """Multi-head attention of queries ``[B, Q, C]`` over a memory ``[B, S, C]``.

    Raises:
        ValueError: ``channels`` is not a multiple of ``num_heads``.
    """

    def __init__(self, *, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"channels ({channels}) must be a multiple of num_heads ({num_heads})")
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` ``[B, S]`` is True where the memory counts; every sample needs at least one True."""
        query = self._split(self.query(queries))
        key, value = (self._split(part) for part in self.key_value(memory).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class QFormerLayer(nn.Module):
    """Self-attention of the queries, cross-attention into the memory, feed-forward; pre-norm, residual."""

    def __init__(self, *, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(channels)
        self.self_attention = Attention(channels=channels, num_heads=num_heads, dropout=dropout)
        self.cross_norm = nn.LayerNorm(channels)
        self.cross_attention = Attention(channels=channels, num_heads=num_heads, dropout=dropout)
        self.feed_norm = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """``queries`` ``[B, Q, C]``, ``memory`` ``[B, S, C]``, ``mask`` ``[B, S]`` -> ``[B, Q, C]``."""
        normed = self.self_norm(queries)
        queries = queries + self.dropout(self.self_attention(normed, normed))
        queries = queries + self.dropout(self.cross_attention(self.cross_norm(queries), memory, mask))
        return queries + self.dropout(self.feed_forward(self.feed_norm(queries)))


class TokenReader(nn.Module):
    """Encoder tokens ``[B, S, d]`` -> a memory ``[B, S, C]``: linear, norm, plus the position in the piece.

    The positions are added after the norm, where both have unit scale: a segment of four tokens shows its
    order from the first training step.
    """

    def __init__(self, *, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        memory = self.norm(self.linear(tokens))
        positions = sinusoidal_positions(memory.shape[1], memory.shape[2], device=memory.device)
        return memory + positions.to(memory.dtype)


class GatedMemory(nn.Module):
    """What a long sequence has told so far, per query and channel: a weighted mean of what its segments told.

    A state that is handed on as the next query grows with every segment, and no segment is read as the first was. Here
    a write gate weighs what each segment told, by its content, and a keep gate forgets what came before, as in an mLSTM
    (arXiv 2405.04517). At first all segments weigh the same, the keep gates of the channels span 2 to 1,000 segments
    (arXiv 1804.11188), and the query of a segment does not depend on those before.

    The state is numerator and weight of the mean, ``[B, Q, 2 C]``, zero before the first segment.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gates = nn.Linear(channels, 2 * channels)
        self.query = nn.Linear(channels, channels, bias=False)
        with torch.no_grad():
            self.gates.weight.zero_()
            self.gates.bias.zero_()
            self.gates.bias[channels:] = (torch.logspace(math.log10(2), 3, channels) - 1).log()
            self.query.weight.zero_()

    def read(self, state: Tensor) -> Tensor:
        """The mean, ``[B, Q, C]``; zero before the first segment."""
        total, weight = state.chunk(2, dim=-1)
        return total / weight.clamp_min(1e-6)

    def write(self, state: Tensor, told: Tensor) -> Tensor:
        """The state after a segment that told ``[B, Q, C]``."""
        write, keep = self.gates(self.norm(told)).chunk(2, dim=-1)
        weight = (4 * torch.tanh(write / 4)).exp()  # 1/55 to 55: no segment may silence all others for good
        return torch.sigmoid(keep).repeat(1, 1, 2) * state + torch.cat([weight * told, weight], dim=-1)


class TemporalQueryProjection(nn.Module):
    """A long token sequence ``[B, L, in_channels]`` -> ``num_queries`` tokens ``[B, Q, out_channels]``.

    The sequence is cut into segments of ``segment_length`` tokens. One stack of Q-Former layers, shared by
    all segments, reads them in order; its output on one segment is the query for the next. The layers are
    residual, so the state carries on from query to query. The first query is learned. With ``carry`` "gated" a
    `GatedMemory` is carried on instead.

    Memory in inference is that of one segment, however long the sequence.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_queries: int,
        num_layers: int,
        num_heads: int,
        segment_length: int,
        out_channels: int,
        dropout: float = 0.0,
        carry: Literal["queries", "gated"] = "queries",
    ) -> None:
        super().__init__()
        if min(num_queries, num_layers, segment_length) < 1:
            raise ValueError("num_queries, num_layers and segment_length must be at least 1")
        self.segment_length = segment_length
        self.queries = nn.Parameter(torch.randn(num_queries, channels))
        self.reader = TokenReader(in_channels=in_channels, channels=channels)
        self.layers = nn.ModuleList(
            QFormerLayer(channels=channels, num_heads=num_heads, dropout=dropout) for _ in range(num_layers)
        )
        self.carried = GatedMemory(channels) if carry == "gated" else None
        self.norm = nn.LayerNorm(channels)
        self.out = nn.Linear(channels, out_channels)

    def initial_state(self, batch: int) -> Tensor:
        """What to begin with for ``batch`` samples: the learned query ``[B, Q, C]``, or an empty memory."""
        if self.carried is not None:
            return self.queries.new_zeros(batch, self.queries.shape[0], 2 * self.queries.shape[1])
        return self.queries.expand(batch, -1, -1)

    def step(self, state: Tensor, segment: Tensor, mask: Tensor) -> Tensor:
        """Read one segment.

        Args:
            state: from `initial_state` or the step before.
            segment: ``[B, S, in_channels]``, S at most ``segment_length``; the last one may be shorter.
            mask: ``[B, S]`` bool, True at real tokens. A sample without any keeps its state.

        Raises:
            ValueError: the segment is empty or longer than ``segment_length``.
        """
        if not 1 <= segment.shape[1] <= self.segment_length:
            raise ValueError(f"a segment has 1 to {self.segment_length} tokens, this one has {segment.shape[1]}")
        present = mask.any(dim=1, keepdim=True)  # [B, 1]
        # Softmax over nothing is NaN: a sample without tokens attends to the padding and is then put back.
        readable = mask | ~present
        memory = self.reader(segment)
        queries = state if self.carried is None else self.queries + self.carried.query(self.carried.read(state))
        for layer in self.layers:
            queries = layer(queries, memory, readable)
        after = queries if self.carried is None else self.carried.write(state, queries)
        return torch.where(present[:, :, None], after, state)

    def project(self, state: Tensor) -> Tensor:
        """The state in the LLM's width, ``[B, Q, out_channels]``."""
        return self.out(self.norm(state if self.carried is None else self.carried.read(state)))

    def output_mask(self, mask: Tensor) -> Tensor:
        """Which output tokens count, ``[B, Q]``: all."""
        return mask.new_ones(mask.shape[0], self.queries.shape[0])

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """``tokens`` ``[B, L, in_channels]``, ``mask`` ``[B, L]`` bool -> ``[B, Q, out_channels]``."""
        state = self.initial_state(tokens.shape[0])
        for start in range(0, tokens.shape[1], self.segment_length):
            piece = slice(start, start + self.segment_length)
            state = self.step(state, tokens[:, piece], mask[:, piece])
        return self.project(state)
