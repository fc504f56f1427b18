"""Normalization of tokens, of each by itself or of each channel over a batch; padded tokens have no say."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["layer", "batch"]


def token_norm(kind: Norm, channels: int) -> nn.LayerNorm | nn.BatchNorm1d:
    """The normalization that ``kind`` names, to be used by `normalize`."""
    return nn.LayerNorm(channels) if kind == "layer" else nn.BatchNorm1d(channels)


def normalize(norm: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """`[P, L, ..., C]` to the same.

    Where `mask` bool `[P, L]` is false a token is padding, of which the statistics of a batch hear nothing.
    """
    if not isinstance(norm, nn.BatchNorm1d):
        return norm(x)
    if mask is None:
        return _over_batch(norm, x.flatten(0, -2)).view(x.shape)
    valid = x[mask]
    normed = _over_batch(norm, valid.flatten(0, -2)).view(valid.shape)
    return normed.new_zeros(x.shape).masked_scatter(mask.view(*mask.shape, *([1] * (x.ndim - 2))), normed)


def _over_batch(norm: nn.BatchNorm1d, tokens: Tensor) -> Tensor:
    """`[N, C]` to the same; a single token of a training batch has no spread and takes the running statistics."""
    if norm.training and len(tokens) == 1:
        return F.batch_norm(tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(tokens)
